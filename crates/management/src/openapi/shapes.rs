//! What the generator of the description leaves open: items of lists get the names of their types,
//! descriptions stand where readers look for them.

use serde_json::{Map, Value, json};

/// Mends every schema.
pub(super) fn mend(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    name_items(schemas);
    schemas.values_mut().for_each(raise_descriptions);
    if let Some(paths) = document.get_mut("paths") {
        raise_descriptions(paths);
    }
}

/// `ListOf_Route` repeats what `Route` is: it refers to it instead.
fn name_items(schemas: &mut Map<String, Value>) {
    let lists: Vec<String> =
        schemas.keys().filter(|name| name.starts_with("ListOf_")).cloned().collect();
    for list in lists {
        let item = list.trim_start_matches("ListOf_").to_owned();
        if schemas.contains_key(&item)
            && let Some(items) = schemas[&list].pointer_mut("/properties/items/items")
        {
            *items = json!({"$ref": format!("#/components/schemas/{item}")});
        }
    }
}

/// What may be `null` is described as one of two, and its description stood with one of them.
fn raise_descriptions(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if !members.contains_key("description")
                && let Some(Value::Array(choices)) = members.get_mut("oneOf")
                && choices.iter().any(|choice| choice["type"] == "null")
            {
                let words = choices.iter_mut().filter_map(Value::as_object_mut);
                let words = words.filter_map(|choice| choice.shift_remove("description")).next();
                members.extend(words.map(|words| ("description".to_owned(), words)));
            }
            members.values_mut().for_each(raise_descriptions);
        }
        Value::Array(list) => list.iter_mut().for_each(raise_descriptions),
        _ => {}
    }
}
