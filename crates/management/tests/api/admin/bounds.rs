//! The bounds of numbers in the API's description are those of the server: it takes the least and the
//! most, and refuses what is beyond.

use serde_json::{Number, Value, json};

use crate::app::App;

/// `{"a": {"b": value}}` for the path `a.b`.
fn at(path: &str, value: &Value) -> Value {
    path.rsplit('.').fold(value.clone(), |inner, name| json!({ name: inner }))
}

/// A number with the distance of one step to a bound of this field.
fn beyond(bound: &Value, step: f64) -> Value {
    match bound.as_i64() {
        Some(whole) => json!(whole + step as i64),
        None => Number::from_f64(bound.as_f64().unwrap() + step).unwrap().into(),
    }
}

#[tokio::test]
async fn numbers_are_bounded_as_the_description_says() {
    let app = App::start().await;
    let admin = app.admin().await;
    let upstream = app.upstream(&admin, "openai").await;
    let target = format!("/api/admin/upstreams/{upstream}");
    let document = serde_json::to_value(management::document()).unwrap();
    let mut checked = 0;
    for (schema, place) in [
        ("EditUpstream", ""),
        ("EditPolicy", "policy."),
        ("BreakerPolicy", "policy.breaker."),
        ("FetchMedia", "policy.fetch_media."),
        ("Sticky", "policy.sticky."),
    ] {
        let properties = &document["components"]["schemas"][schema]["properties"];
        for (name, property) in properties.as_object().unwrap() {
            let path = format!("{place}{name}");
            for (bound, step) in [("minimum", -1.0), ("maximum", 1.0)] {
                // Types that cannot hold more, or less, need no bound of their own.
                let Some(value) = property.get(bound) else { continue };
                let good = admin.patch(&target, at(&path, value)).await;
                assert_eq!(good.status, 200, "{path}: {value} is the {bound}: {}", good.json());
                let bad = admin.patch(&target, at(&path, &beyond(value, step))).await;
                let faults = bad.faults(422);
                let named = faults.keys().any(|field| path.starts_with(field.as_str()));
                assert!(named, "{path}, beyond the {bound} {value}: {faults:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "{checked} bounds are described");
}
