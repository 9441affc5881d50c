//! Faults of a request, and members that are not known here.

use crate::{failure::Failure, value::Value};

/// Creates the failure of an invalid request; `param` is the invalid field.
pub(super) fn bad(param: &str, message: String) -> Failure {
    let failure = Failure::new(crate::FailureKind::BadRequest, message);
    Failure { param: (!param.is_empty()).then(|| param.to_owned()), ..failure }
}

pub(super) fn missing(name: &str) -> Failure {
    bad(name, format!("`{name}` is required"))
}

/// Notes unknown members of `object`. Empty ones are ignored.
pub(super) fn unknown(object: &Value<'_>, known: &[&str], prefix: &str, dropped: &mut Vec<String>) {
    for (name, value) in object.members() {
        let asks_nothing = matches!(value.raw(), "null" | "[]" | "{}" | "false");
        if !asks_nothing && !known.contains(&name.as_ref()) {
            let path = format!("{prefix}{name}");
            if !dropped.contains(&path) {
                dropped.push(path);
            }
        }
    }
}
