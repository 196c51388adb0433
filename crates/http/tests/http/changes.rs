//! Changes of a view: a follower that reconnects has the rows of the engine, and no row goes back.

use std::collections::BTreeMap;

use dayfold_sinks::{Feed, SinkOptions};
use tempfile::TempDir;

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// The rows of a follower: the count for each day and shop, and `as_of`.
#[derive(Default)]
struct Follower {
    rows: BTreeMap<(String, String), (u64, i64)>,
    last: Option<String>,
    taken: Vec<String>,
}

impl Follower {
    /// Reads events from its last position on, until `is_enough`.
    fn follow(&mut self, address: SocketAddr, is_enough: impl Fn(&Follower) -> bool) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let last = self.last.as_ref().map(|id| format!("last-event-id: {id}\r\n"));
        let head = "GET /api/views/by-shop/changes HTTP/1.1\r\nhost: localhost\r\n";
        write!(stream, "{head}{}\r\n", last.unwrap_or_default()).unwrap();
        let (mut kind, mut id) = (String::new(), None);
        self.taken.clear();
        for line in BufReader::new(stream).lines() {
            let line = line.unwrap();
            if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut kind);
            } else if let Some(number) = line.strip_prefix("id: ") {
                id = Some(number.to_owned());
            } else if let Some(data) = line.strip_prefix("data: ") {
                self.take(&kind, &serde_json::from_str(data).unwrap());
                self.last = id.take().or(self.last.take());
                if is_enough(self) {
                    return;
                }
            }
        }
        panic!("the stream has ended: {:?} {:?}", self.taken, self.rows);
    }

    fn take(&mut self, kind: &str, data: &Value) {
        let as_of = data["as_of"].as_i64().unwrap_or_else(|| panic!("{kind}: {data}"));
        let text = |name: &str| data[name].as_str().unwrap().to_owned();
        match kind {
            "row" => {
                self.taken.push(format!("{} {}", text("shop"), data["sales"]));
                let new = (data["sales"].as_u64().unwrap(), as_of);
                if let Some(old) = self.rows.insert((text("day"), text("shop")), new) {
                    assert!(old.0 <= new.0 && old.1 <= new.1, "{old:?} {data}");
                }
            }
            "removed" => self.rows.retain(|key, row| key.0 != text("period") || row.1 >= as_of),
            "removed_all_but" => {
                let kept = data["periods"].as_array().unwrap();
                self.rows.retain(|key, row| kept.iter().any(|day| *day == key.0) || row.1 >= as_of);
            }
            kind => panic!("{kind}: {data}"),
        }
    }

    fn count(&self, shop: &str) -> u64 {
        self.rows.iter().filter(|(key, _)| key.1 == shop).map(|(_, row)| row.0).sum()
    }
}

#[test]
fn a_follower_goes_on_where_it_was() {
    let data = TempDir::new().unwrap();
    for run in 0..2 {
        let clock = MAY + DAY / 2;
        let mut engine = Engine::<Sale>::new()
            .clock(move || clock)
            .data(data.path())
            .log(dayfold::log::Durability::Every(Duration::from_millis(1)), |sale: &Sale| sale.0);
        let view = View::new("by-shop").unwrap().key_columns(["shop"]).unwrap();
        let view = view.measure_names([["sales"], ["cents"]]).unwrap();
        engine.view(view, Measures::none(), |sale: &Sale| {
            Some((sale.0, sale.1.clone(), (Count::one(), Sum::of(sale.3))))
        });
        let pusher = engine.live(LiveOptions::new(|sale: &Sale| sale.0));
        let running = engine.start(Cluster::workers(2)).unwrap();
        while running.observer().state() == EngineState::Recovering {
            std::thread::yield_now();
        }
        let (views, observer) = (running.views(), running.observer());
        let folder = data.path().to_owned();
        let start = move |view: &str| {
            let options = SinkOptions::default().every(Duration::from_millis(5));
            Feed::start(&views, &observer, &folder, view, options)
        };
        let server = Server::new("sales").views(&running.views()).changes(start);
        let serving = server.serve("127.0.0.1:0").unwrap();
        let address = serving.address();
        let push = |shop: &str| {
            let pushed = pusher.push(vec![(MAY + 1, shop.to_owned(), 1, 100)]).unwrap();
            pushed.receipt.wait_visible(LONG).unwrap();
        };

        let before = 3 * run;
        push("north");
        push("south");
        let mut follower = Follower::default();
        // A row of an earlier run that no longer exists.
        let gone = ("1999-01-01".to_owned(), "east".to_owned());
        follower.rows.insert(gone.clone(), (1, 1));
        follower.last = Some(format!("{run}.777"));
        follower.follow(address, |follower| {
            follower.last.as_ref().is_some_and(|id| !id.ends_with(".777"))
        });
        assert_eq!((follower.count("north"), follower.count("south")), (before + 1, before + 1));
        assert!(!follower.rows.contains_key(&gone), "{:?}", follower.rows);

        // A follower that continues gets only what has changed.
        push("north");
        follower.follow(address, |follower| follower.count("north") == before + 2);
        push("south");
        push("north");
        follower.follow(address, |follower| follower.count("north") == before + 3);
        assert!(
            follower.taken.iter().all(|row| *row != format!("north {}", before + 1)),
            "{:?}",
            follower.taken
        );
        push("south");
        follower.follow(address, |follower| follower.count("south") == before + 3);

        let refused = get(address, "/api/views/by-shop/changes?of=total");
        assert_eq!((refused.0, &refused.1["error"]["code"]), (400, &json!("bad_parameter")));
        serving.stop();
        drop(pusher);
        running.finish().unwrap();
    }
    let served = served(|server| server);
    served.refused("/api/views/by-shop/changes", 404, "no_changes");
    served.refused("/api/views/by-shoe/changes", 404, "no_such_view");
    served.end();
}
