//! The cases of RFC 7396, and what a patch of ours does with them.

use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::*;
use crate::input::nullable;

/// The table of RFC 7396, appendix A.
#[test]
fn merges_as_the_standard_says() {
    for (target, patch, result) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), json!(null), json!(null)),
        (json!({"a": "foo"}), json!("bar"), json!("bar")),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        let mut merged = target.clone();
        merge(&mut merged, patch.clone());
        assert_eq!(merged, result, "{target} {patch}");
    }
}

#[derive(Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Edit {
    name: Option<String>,
    size: Option<u64>,
    #[serde(default, deserialize_with = "nullable")]
    until: Option<Option<u64>>,
    part: Option<Part>,
    parts: Option<Vec<Part>>,
    policy: Option<Policy>,
}

#[derive(Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Part {
    weight: u64,
    #[serde(default)]
    share: u64,
}

#[derive(Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Policy {
    wait: Option<u64>,
    part: Option<Part>,
}

impl Input for Edit {
    const NULLABLE: Option<&'static [&'static str]> = Some(&["until"]);
    const REQUIRED: &'static [&'static str] = &["name"];
    const PARTS: &'static [&'static str] = &["policy"];
}

/// What the patch comes to, for a thing that has something of everything.
fn edit(patch: Value) -> Result<Edit, String> {
    let now = json!({
        "name": "a", "size": 3, "until": 5, "part": {"weight": 1, "share": 2}, "parts": [],
        "policy": {"wait": 9, "part": {"weight": 7, "share": 8}},
    });
    let usual = json!({
        "size": 1, "until": null, "part": {"weight": 10, "share": 10}, "parts": [],
        "policy": {"wait": 4, "part": {"weight": 5, "share": 6}},
    });
    let Value::Object(fields) = patch else { unreachable!() };
    let patch = Patch::<Edit>::of(fields).map_err(|faults| faults.to_string())?;
    patch.onto(&now, &usual).map_err(|faults| faults.to_string())
}

fn nothing() -> Edit {
    Edit { name: None, size: None, until: None, part: None, parts: None, policy: None }
}

#[test]
fn an_object_keeps_what_the_patch_does_not_name() {
    let part = |weight, share| Some(Part { weight, share });
    assert_eq!(edit(json!({})), Ok(nothing()));
    assert_eq!(edit(json!({"part": {"share": 5}})), Ok(Edit { part: part(1, 5), ..nothing() }));
    let policy = Some(Policy { wait: None, part: part(6, 8) });
    assert_eq!(edit(json!({"policy": {"part": {"weight": 6}}})), Ok(Edit { policy, ..nothing() }));
}

#[test]
fn null_puts_back_what_is_usual() {
    let part = |weight, share| Some(Part { weight, share });
    let row =
        |patch: Value, expected: Edit| assert_eq!(edit(patch.clone()), Ok(expected), "{patch}");
    row(json!({"size": null}), Edit { size: Some(1), ..nothing() });
    row(json!({"until": null}), Edit { until: Some(None), ..nothing() });
    row(json!({"part": {"share": null}}), Edit { part: part(1, 0), ..nothing() });
    row(json!({"part": null}), Edit { part: part(10, 10), ..nothing() });
    let policy = Some(Policy { wait: Some(4), part: part(5, 6) });
    row(json!({"policy": {"wait": null, "part": null}}), Edit { policy, ..nothing() });
}

#[test]
fn what_cannot_be_is_told_with_its_place() {
    let refused = |patch: Value| edit(patch).unwrap_err();
    assert!(refused(json!({"name": null})).starts_with("name: must not be null"));
    assert_eq!(refused(json!({"part": {"weight": null}})), "part.weight: is required");
    assert_eq!(refused(json!({"parts": [{}]})), "parts[0].weight: is required");
    assert_eq!(refused(json!({"parts": [null]})), "parts[0]: must be an object");
    let words = refused(json!({"size": "x", "policy": {"part": {"wait": 1}}}));
    assert!(words.contains("size: must be") && words.contains("policy.part.wait: is not known"));
}
