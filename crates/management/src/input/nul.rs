//! U+0000 in texts: JSON and URLs can hold it, texts of a database cannot.

use domain::Faults;
use serde_json::{Map, Value};

/// So many faults are told at once; looking for more would cost more than they help.
pub(super) const FAULTS_MAX: usize = 32;
/// What is said of a field that holds it.
pub(crate) const WORDS: &str = "must not hold the character U+0000";

/// Takes fields that hold it out, and notes each place; those called `but` are left alone.
pub(super) fn take_out(fields: &mut Map<String, Value>, but: &[&str], faults: &mut Faults) {
    let mut found = Vec::new();
    for (name, value) in fields.iter().filter(|(name, _)| !but.contains(&name.as_str())) {
        let before = faults.0.len();
        look(value, name, faults);
        if faults.0.len() > before {
            found.push(name.clone());
        }
    }
    fields.retain(|name, _| !found.contains(name));
}

/// Notes each place of `value` that holds it. A name that does is a fault of its object.
fn look(value: &Value, place: &str, faults: &mut Faults) {
    if faults.0.len() >= FAULTS_MAX {
        return;
    }
    match value {
        Value::String(text) if text.contains('\0') => faults.add(short(place), WORDS),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                look(item, &format!("{place}[{i}]"), faults);
            }
        }
        Value::Object(fields) => {
            if fields.keys().any(|name| name.contains('\0')) {
                faults.add(short(place), WORDS);
            }
            for (name, value) in fields.iter().filter(|(name, _)| !name.contains('\0')) {
                look(value, &format!("{place}.{name}"), faults);
            }
        }
        _ => {}
    }
}

/// Names that callers made up can be long.
pub(super) fn short(field: &str) -> String {
    match field.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &field[..end]),
        None => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_place_is_noted_and_its_field_taken_out() {
        let Value::Object(mut fields) = json!({
            "name": "a\0", "defaults": {"note": "\0", "weight": 3}, "text": "a\0b",
            "targets": [{"model": "gpt\0"}, {"model": "gpt"}], "headers": {"x\0": "a"},
            "size": 3, "at": null,
        }) else {
            unreachable!()
        };
        let mut faults = Faults::default();
        take_out(&mut fields, &["text"], &mut faults);
        let places: Vec<_> = faults.0.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(places, ["name", "defaults.note", "targets[0].model", "headers"]);
        assert!(fields.keys().eq(["text", "size", "at"]));
    }
}
