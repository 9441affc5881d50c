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

/// Programs are generated from the description: it must spell what the API spells.
#[test]
fn words_are_described_as_they_are_spelled() {
    let document = serde_json::to_value(management::document()).unwrap();
    let schemas = &document["components"]["schemas"];
    for (name, schema) in schemas.as_object().unwrap() {
        for word in schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(!word.starts_with(char::is_uppercase), "{name}: {word}");
        }
    }
    let outcomes = &schemas["Outcome"]["enum"];
    assert_eq!((&outcomes[0], &outcomes[3]), (&"completed".into(), &"upstream_broke".into()));
}

/// Of two types of one name only one would be described.
#[test]
fn types_that_were_called_alike_are_both_described() {
    let document = serde_json::to_value(management::document()).unwrap();
    let schemas = &document["components"]["schemas"];
    for (name, field) in [
        ("Health", "status"),
        ("UpstreamHealth", "rests_until"),
        ("Breaker", "until"),
        ("BreakerPolicy", "open_for"),
    ] {
        assert!(schemas[name]["properties"][field].is_object(), "{name}");
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
