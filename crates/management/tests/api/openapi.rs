//! The description of the API as a snapshot: who changes it sees what callers will see.

use serde_json::Value;

#[test]
fn the_description() {
    insta::assert_json_snapshot!(management::document());
}

/// What programs are generated from must be whole.
#[test]
fn every_reference_leads_somewhere() {
    let document = serde_json::to_value(management::document()).unwrap();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.push(reference.clone());
            }
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
