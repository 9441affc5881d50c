//! Bounds of how the pool of an upstream is used, of its timeouts, and of the times of rules. Those of
//! durations stand in `domain` as texts of refusals: `tests/api/admin/bounds.rs` holds both to each
//! other.

use domain::{
    KeyLimit, PoolPolicy, Price, Quota,
    policy::{FetchMedia, HeaderScript},
};
use serde_json::{Value, json};

/// The schema, its field, and what holds for its value. The smallest duration is a millisecond.
pub(super) fn table() -> Vec<(&'static str, &'static str, Value)> {
    let range = |least: f64, most: f64| json!({"minimum": least, "maximum": most});
    let whole = |least: u64, most: u64| json!({"minimum": least, "maximum": most});
    let items = |most: usize| json!({"maxItems": most});
    let model = json!({"minLength": 1, "maxLength": 256});
    let trials = json!({"maximum": DAY, "anyOf": [{"maximum": 0}, {"minimum": 10}]});
    let mut rows = vec![
        ("EditPolicy", "error_rules", items(PoolPolicy::ERROR_RULES_MAX)),
        ("EditPolicy", "key_limits", items(KeyLimit::PER_POOL_MAX)),
        ("EditPolicy", "key_quotas", items(Quota::PER_KEY_MAX)),
        ("EditPolicy", "prices", items(Price::PER_UPSTREAM_MAX)),
        ("EditPolicy", "queue_timeout", range(0.0, 600.0)),
        ("EditPolicy", "max_in_flight", json!({"minimum": 1})),
        ("EditPolicy", "trial_every", trials),
        ("EditPolicy", "drain", range(0.0, 600.0)),
        ("EditPolicy", "revocation_grace", range(0.0, 3600.0)),
        ("EditPolicy", "answer_timeout", range(0.001, DAY)),
        ("BreakerPolicy", "window", range(1.0, 3600.0)),
        ("BreakerPolicy", "min_calls", json!({"minimum": 1})),
        ("BreakerPolicy", "failure_percent", whole(1, 100)),
        ("BreakerPolicy", "failures_in_a_row", json!({"minimum": 1})),
        ("BreakerPolicy", "open_for", range(1.0, 3600.0)),
        ("FetchMedia", "max_bytes", whole(1, FetchMedia::BYTES_MAX)),
        ("FetchMedia", "max_files", whole(1, FetchMedia::FILES_MAX.into())),
        ("FetchMedia", "timeout", range(0.001, 120.0)),
        ("Sticky", "ttl", range(0.001, DAY)),
        ("Sticky", "max_load_percent", whole(100, 10_000)),
        ("HeaderScript", "source", json!({"minLength": 1, "maxLength": HeaderScript::SOURCE_MAX})),
        ("Price", "model", model.clone()),
        ("KeyLimit", "model", model),
        ("KeyLimit", "limit", json!({"minimum": 1})),
        ("ErrorRule", "code", json!({"maxLength": 1024})),
        ("ErrorRule", "contains", json!({"maxLength": 1024})),
        ("Probe", "path", json!({"pattern": "^/[!\"$-~]{0,1023}$"})),
        ("Threshold", "window_seconds", range(1.0, 7.0 * DAY)),
    ];
    for schema in ["NewUpstream", "EditUpstream"] {
        for field in ["timeout", "connect_timeout", "idle_timeout", "total_timeout"] {
            rows.push((schema, field, range(0.001, DAY)));
        }
    }
    for schema in ["NewRule", "EditRule"] {
        rows.push((schema, "auto_enable_delay_seconds", range(60.0, 365.0 * DAY)));
        rows.push((schema, "auto_enable_delay_hours", json!({"maximum": 365.0 * 24.0})));
        rows.push((schema, "cool_down_seconds", range(0.0, 30.0 * DAY)));
    }
    rows
}

/// Seconds of a day.
const DAY: f64 = 86_400.0;
