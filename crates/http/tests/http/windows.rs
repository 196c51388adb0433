//! Queries of the last periods as of now.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::{DAY, MAY, served};

#[test]
fn a_window_ends_with_the_clock() {
    let served = served(|server| server);
    served.push(&[(MAY - DAY, "north", 1, 5), (MAY, "north", 1, 10), (MAY, "south", 1, 20)]);
    let sales = |path: &str| {
        let (status, body) = served.get(&format!("/api/views/by-shop/{path}"));
        assert_eq!(status, 200, "{path}: {body}");
        body["value"]["sales"].as_u64()
    };
    assert_eq!(sales("total?last=1d"), Some(2));
    assert_eq!(sales("total?last=2d"), Some(3));
    assert_eq!(sales("value?key=north&last=1w"), Some(2), "the week began on 29 April");
    assert_eq!(sales("top?by=sales&last=1mo"), Some(2));
    assert_eq!(sales("series?by=month&last=2d"), Some(3));
    let (_, body) = served.get("/api/views/by-shop/rows?last=1d");
    assert_eq!((&body["last"], body["rows"].as_array().unwrap().len()), (&json!("1d"), 2));
    served.clock.store(MAY + DAY, Ordering::SeqCst);
    assert_eq!((sales("total?last=1d"), sales("total?last=2d")), (None, Some(2)));
    served.end();
}
