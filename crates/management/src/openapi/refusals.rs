//! The refusals that every operation can meet: sessions, permissions and bodies are judged around
//! the handlers, so a handler describes only what is its own.

use serde_json::{Map, Value, json};

/// A refusal that several operations share: its status, its name among the components, its words.
const SHARED: [(&str, &str, &str); 11] = [
    ("400", "MalformedBody", "The body is not valid JSON"),
    ("401", "Unauthenticated", "Not signed in, or the session has expired"),
    ("403", "Forbidden", "The role lacks the permission"),
    ("408", "BodyTimeout", "The body did not arrive in time"),
    ("409", "Conflict", "Conflicts with another resource, see `error.fields`"),
    ("412", "Changed", "Changed meanwhile; the current version is in `ETag`"),
    ("413", "TooLarge", "The body is too large"),
    ("415", "NotJson", "The content type is not one that is accepted"),
    ("422", "Invalid", "Invalid fields, see `error.fields`"),
    ("500", "Internal", "The gateway failed"),
    ("503", "Unavailable", "The database is not available or the gateway is busy"),
];

/// Describes the refusals of every operation.
pub(super) fn describe(document: &mut Value) {
    let mut shared = Map::new();
    for (status, name, words) in SHARED {
        shared.insert(name.to_owned(), refusal(status, words));
    }
    document["components"]["responses"] = shared.into();
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, operations) in paths {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            add(path, method, operation);
        }
    }
}

fn add(path: &str, method: &str, operation: &mut Value) {
    let admin = path.starts_with("/api/admin");
    let api = path.starts_with("/api");
    let open = operation["security"] == json!([{}]);
    let body = operation.get("requestBody").is_some();
    let mut parameters = operation["parameters"].as_array().into_iter().flatten();
    let query = parameters.any(|parameter| parameter["in"] == "query");
    let creates = operation["responses"].get("201").is_some();
    let changes = admin && (creates || matches!(method, "patch" | "delete"));
    let one = path.ends_with("/{id}") || path.ends_with("/rotate");
    let versioned = changes && one || path.ends_with("/rotate");
    if versioned {
        say_header(
            operation,
            "If-Match",
            "The `ETag` under which it was read: a 412 if it was changed since",
        );
    }
    if api && method == "get" {
        say_header(
            operation,
            "If-None-Match",
            "The `ETag` of an answer that is there already: a 304 if it has not changed",
        );
    }
    let thing = thing(path, &operation["tags"][0]);
    let statuses = [
        ("400", body),
        ("401", api && !open),
        ("403", admin),
        ("408", body),
        ("409", changes),
        ("412", versioned),
        ("413", body),
        ("415", body),
        ("422", query || body || changes),
        ("500", api),
        ("503", api),
    ];
    let Some(answers) = operation["responses"].as_object_mut() else { return };
    if path.contains('{') {
        answers.entry("404").or_insert(refusal("404", &format!("No such {thing}")));
    }
    if api && method == "get" {
        let words = "It has not changed since the answer of this `If-None-Match`";
        answers.entry("304").or_insert(json!({"description": words}));
    }
    for (status, _) in statuses.into_iter().filter(|(_, can)| *can) {
        let name = SHARED.iter().find(|(of, ..)| *of == status).map(|(_, name, _)| name);
        let reference = name.map(|name| json!({"$ref": format!("#/components/responses/{name}")}));
        answers.entry(status).or_insert(reference.unwrap_or_default());
    }
    answers.sort_keys();
}

/// Describes a header of the request.
fn say_header(operation: &mut Value, name: &str, words: &str) {
    let header = json!({
        "name": name, "in": "header", "required": false, "description": words,
        "schema": {"type": "string"},
    });
    match operation.get_mut("parameters").and_then(Value::as_array_mut) {
        Some(parameters) => parameters.push(header),
        None => operation["parameters"] = json!([header]),
    }
}

/// What the last part of the path is about, as people call it.
fn thing(path: &str, tag: &Value) -> String {
    if path.contains("rule") {
        return "rule".to_owned();
    }
    match tag.as_str() {
        Some("logs") => "log entry".to_owned(),
        Some(plural) => plural.trim_end_matches('s').to_owned(),
        None => "resource".to_owned(),
    }
}

fn refusal(status: &str, words: &str) -> Value {
    let mut refusal = json!({
        "description": words,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}},
    });
    if matches!(status, "429" | "503") {
        refusal["headers"] = json!({"Retry-After": {
            "description": "After how many seconds trying again makes sense, where that is known",
            "schema": {"type": "integer", "minimum": 0},
        }});
    }
    refusal
}
