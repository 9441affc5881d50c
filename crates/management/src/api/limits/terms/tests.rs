//! Windows and networks as people write them.

use super::*;

#[test]
fn a_window_is_shown_in_its_largest_unit() {
    let rows = [
        ("\"1h\"", "1h"),
        ("\"90m\"", "90m"),
        ("3600", "1h"),
        ("86400", "1d"),
        ("\"1d 1s\"", "86401s"),
        ("1.5", "1500ms"),
    ];
    for (given, told) in rows {
        let window: Stretch = serde_json::from_str(given).unwrap();
        assert_eq!(serde_json::to_value(window).unwrap(), told, "{given}");
    }
    for bad in ["\"soon\"", "-1", "true", "1e300"] {
        assert!(serde_json::from_str::<Stretch>(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_address_is_a_network_of_one() {
    let at = |text: &str| network(text).map(|net| net.to_string());
    assert_eq!(at("203.0.113.7").as_deref(), Some("203.0.113.7/32"));
    assert_eq!(at("203.0.113.7/24").as_deref(), Some("203.0.113.0/24"));
    assert_eq!(at("2001:db8::1").as_deref(), Some("2001:db8::1/128"));
    assert_eq!(at("here"), None);
}
