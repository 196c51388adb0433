//! Keys with any kind of column, null included, to text and back.

use super::*;

/// Time, shop or none, desk or none.
type Visit = (EventTime, Option<String>, Option<i32>);

#[test]
fn keys_with_nulls_are_asked_for_as_they_are_told() {
    let mut engine = Engine::<Visit>::new();
    let view = View::new("visits").unwrap().key_columns(["shop", "desk"]).unwrap();
    let view = view.measure_names([["visits"]]).unwrap();
    engine.view(view, Measures::none(), |(time, shop, desk): &Visit| {
        Some((*time, (shop.clone(), *desk), Count::one()))
    });
    let pusher = engine.live(LiveOptions::new(|visit: &Visit| visit.0));
    let running = engine.clock(|| MAY).start(Cluster::workers(1)).unwrap();
    let serving = Server::new("kinds").views(&running.views()).serve("127.0.0.1:0").unwrap();
    let shops = [None, Some(""), Some("\\N"), Some("\\"), Some("a\\b"), Some("N")];
    let visits: Vec<Visit> = shops
        .iter()
        .enumerate()
        .flat_map(|(at, shop)| vec![(MAY, shop.map(str::to_owned), (at > 0).then_some(-7)); at + 1])
        .collect();
    let pushed = pusher.push(visits).unwrap();
    pushed.receipt.wait_visible(Duration::from_secs(60)).unwrap();
    let ask = |path: &str| get(serving.address(), &format!("/api/views/visits/{path}"));
    let (_, listed) = ask("keys");
    let listed = listed["keys"].as_array().unwrap().clone();
    assert_eq!(listed.len(), shops.len());
    for (at, shop) in shops.iter().enumerate() {
        let (text, desk) = match shop {
            None => ("%5CN".to_owned(), "%5CN"),
            Some(shop) if shop.starts_with('\\') => {
                (format!("\\{shop}").replace('\\', "%5C"), "-7")
            }
            Some(shop) => (shop.replace('\\', "%5C"), "-7"),
        };
        let (status, body) = ask(&format!("value?key={text}&key={desk}"));
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["value"]["visits"], at + 1, "{shop:?}: {body}");
        let key = json!([shop, (at > 0).then_some("-7")]);
        assert_eq!(body["key"], key);
        assert!(listed.contains(&key), "{key} in {listed:?}");
    }
    let (_, body) = ask("top?by=visits&n=1");
    assert_eq!(body["rows"][0]["key"], json!(["N", "-7"]));
    let (status, body) = ask("value?key=%5Cx&key=1");
    assert_eq!((status, &body["error"]["parameter"]), (400, &json!("key")), "{body}");
    serving.stop();
    drop(pusher);
    running.finish().unwrap();
}
