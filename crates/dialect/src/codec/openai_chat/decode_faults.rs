//! Faults of a request, and members that are not known here.

use crate::{failure::Failure, value::Value};

/// Most dropped members that are reported.
const MAX_DROPPED: usize = 64;

/// Notes every member of `object` that is in none of the lists, because other dialects cannot
/// express it. Members within lists are noted once for all items (`messages[].name`).
pub(super) fn unknown(
    object: &Value<'_>,
    path: &str,
    known: &[&[&str]],
    dropped: &mut Vec<String>,
) {
    for (name, value) in object.members() {
        if value.is_null() || known.iter().any(|list| list.contains(&name.as_ref())) {
            continue;
        }
        let mut told = String::with_capacity(path.len() + name.len() + 1);
        for part in path.split_inclusive('[') {
            told.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
        if !told.is_empty() {
            told.push('.');
        }
        told.push_str(name);
        if dropped.len() < MAX_DROPPED && !dropped.contains(&told) {
            dropped.push(told);
        }
    }
}

pub(super) fn wrong(path: impl Into<String>, wanted: &str) -> Failure {
    let path = path.into();
    let message = format!("`{path}` must be {wanted}");
    Failure::unsayable(path, message)
}

pub(super) fn missing(path: impl Into<String>) -> Failure {
    let path = path.into();
    let message = format!("`{path}` is missing");
    Failure::unsayable(path, message)
}

/// Reads an optional member of `object` with its type.
pub(super) fn optional<'a, T>(
    object: &Value<'a>,
    path: &str,
    name: &str,
    wanted: &str,
    read: impl Fn(&Value<'a>) -> Option<T>,
) -> Result<Option<T>, Failure> {
    let Some(value) = object.find(name) else { return Ok(None) };
    read(value).map(Some).ok_or_else(|| wrong(format!("{path}.{name}"), wanted))
}
