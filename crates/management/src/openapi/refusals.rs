//! Describes the refusals that every operation shares: sessions, permissions and bodies are checked
//! around the handlers, so that a handler describes only its own.

use serde_json::{Map, Value, json};

/// The shared refusals: status, name among the components, description.
const SHARED: [(&str, &str, &str); 11] = [
    ("400", "MalformedBody", "The body is not valid JSON"),
    ("401", "Unauthenticated", "Not signed in, or the session has expired"),
    ("403", "Forbidden", "The role lacks the permission"),
    ("408", "BodyTimeout", "The body did not arrive in time"),
    ("409", "Conflict", "Conflicts with another resource, see `error.fields`"),
    ("412", "Changed", "Changed meanwhile; `ETag` has the current version"),
    ("413", "TooLarge", "The body is too large"),
    ("415", "NotJson", "The content type is not supported"),
    ("422", "Invalid", "Invalid fields, see `error.fields`"),
    ("500", "Internal", "The gateway failed"),
    ("503", "Unavailable", "The database is not available or the gateway is busy"),
];

/// The content type of every refusal (RFC 9457).
const PROBLEM: &str = "application/problem+json";
/// Where the schema of refusals is.
const FAILURE: &str = "#/components/schemas/Failure";

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
            "The `ETag` of the version that was read; if the resource has another version, the answer is a 412",
        );
    }
    if api && method == "get" {
        say_header(
            operation,
            "If-None-Match",
            "The `ETag` of an earlier answer; if nothing has changed, the answer is a 304",
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
        let words = "Not changed since the answer with this `ETag`";
        answers.entry("304").or_insert(json!({"description": words}));
    }
    for (status, _) in statuses.into_iter().filter(|(_, can)| *can) {
        let name = SHARED.iter().find(|(of, ..)| *of == status).map(|(_, name, _)| name);
        let reference = name.map(|name| json!({"$ref": format!("#/components/responses/{name}")}));
        answers.entry(status).or_insert(reference.unwrap_or_default());
    }
    answers.values_mut().for_each(as_problem);
    answers.sort_keys();
}

/// Gives a refusal that a handler describes the content type of all refusals.
fn as_problem(answer: &mut Value) {
    let Some(content) = answer.get_mut("content").and_then(Value::as_object_mut) else { return };
    let json = "application/json";
    if content.get(json).is_some_and(|it| it["schema"]["$ref"] == FAILURE) {
        let schema = content.shift_remove(json).unwrap_or_default();
        content.insert(PROBLEM.to_owned(), schema);
    }
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

/// The name of the resource that the last part of the path is about.
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
        "content": {PROBLEM: {"schema": {"$ref": FAILURE}}},
    });
    if matches!(status, "429" | "503") {
        refusal["headers"] = json!({"Retry-After": {
            "description": "Seconds after which a retry makes sense, where that is known",
            "schema": {"type": "integer", "minimum": 0},
        }});
    }
    refusal
}
