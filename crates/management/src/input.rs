//! Reading what callers send: bodies, queries, ids. Every field at fault is told at once, and
//! nothing of what was sent is repeated in the answer: it may be a secret.

pub(crate) mod form;
pub(crate) mod nul;
pub(crate) mod patch;

use std::time::Duration;

use axum::{
    body::{Bytes, to_bytes},
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, header, request::Parts},
};
use domain::Faults;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value, error::Category};
use utoipa::{
    PartialSchema,
    openapi::{RefOr, Schema},
};
use uuid::Uuid;

use self::{
    form::Form,
    nul::{FAULTS_MAX, short},
};
use crate::{app::Management, error::ApiError};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a body can be.
pub(crate) trait Input: DeserializeOwned + PartialSchema {
    /// The fields that `null` empties. None where `null` says as much as leaving a field out.
    const NULLABLE: Option<&'static [&'static str]> = None;
    /// The fields that a patch cannot remove: nothing is usual in their place.
    const REQUIRED: &'static [&'static str] = &[];
    /// The fields that are objects of further fields, each of which an edit may leave out.
    const PARTS: &'static [&'static str] = &[];
    /// The fields that are judged line by line: a U+0000 in them is a fault of its line.
    const BY_THE_LINE: &'static [&'static str] = &[];

    /// What is wrong with it, as far as it can be judged alone. It is asked only when a field has
    /// not even its form, so that the caller learns of all others too; a body in good form is
    /// judged by the store, together with what only the store knows.
    fn faults(&self) -> Faults {
        Faults::default()
    }
}

/// A body in JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Input> FromRequest<Management> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Management) -> Result<Self, ApiError> {
        if !is_json(request.headers(), &["application/json"]) {
            return Err(ApiError::NotJson);
        }
        let body = whole(request, app.settings.body_limit).await?;
        object(&body).map(Self)
    }
}

/// The whole body of a request, of at most `limit` bytes.
pub(crate) async fn whole(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(ApiError::TooLarge(limit));
    }
    tokio::time::timeout(BODY_TIMEOUT, to_bytes(request.into_body(), limit))
        .await
        .map_err(|_| ApiError::BodyTimeout)?
        .map_err(|_| ApiError::TooLarge(limit))
}

/// Reads a body in JSON.
pub(crate) fn object<T: Input>(body: &[u8]) -> Result<T, ApiError> {
    read_body(fields_of(body)?).map_err(ApiError::Invalid)
}

/// The fields of a body in JSON.
fn fields_of(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(ApiError::NotAnObject),
        Err(error) => Err(malformed(body, &error)),
    }
}

/// Why a body is not JSON, and where.
fn malformed(body: &[u8], error: &serde_json::Error) -> ApiError {
    let (line, column) = (error.line(), error.column());
    let words = match error.classify() {
        _ if body.trim_ascii().is_empty() => "it is empty".to_owned(),
        Category::Eof => "it ends too early".to_owned(),
        _ if std::str::from_utf8(body).is_err() => "it is not UTF-8".to_owned(),
        _ if error.to_string().starts_with("recursion limit") => {
            "it is nested more than 128 levels deep".to_owned()
        }
        _ => format!("see line {line}, column {column}"),
    };
    ApiError::Malformed(words)
}

/// The fields of the query.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Management> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Management) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let mut fields = Map::new();
        let mut faults = Faults::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if value.contains('\0') {
                faults.add(short(&name), nul::WORDS);
            }
            if fields.insert(name.to_string(), Value::from(value)).is_some() {
                faults.add(short(&name), "is given twice");
            }
        }
        faults.none_or(()).map_err(ApiError::Invalid)?;
        // All values are texts at first; where a number is wanted, the text is read as one.
        let as_scalar = |value: &Value| {
            let scalar = serde_json::from_str::<Value>(value.as_str()?).ok()?;
            (scalar.is_number() || scalar.is_boolean()).then_some(scalar)
        };
        let mut faults = Faults::default();
        match sift(&mut fields, as_scalar, &mut faults) {
            Some(query) if faults.0.is_empty() => Ok(Self(query)),
            _ => Err(ApiError::Invalid(faults)),
        }
    }
}

/// The id in the path.
pub(crate) struct Id(pub(crate) i64);

impl FromRequestParts<Management> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Management) -> Result<Self, ApiError> {
        let id = Path::<i64>::from_request_parts(parts, app).await;
        id.map(|Path(id)| Self(id)).map_err(|_| ApiError::NoSuchPath)
    }
}

/// The id in the path, where ids are UUIDs.
pub(crate) struct UuidInPath(pub(crate) Uuid);

impl FromRequestParts<Management> for UuidInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Management) -> Result<Self, ApiError> {
        let id = Path::<Uuid>::from_request_parts(parts, app).await;
        id.map(|Path(id)| Self(id)).map_err(|_| ApiError::NoSuchPath)
    }
}

/// For fields that may be set to `null`: nothing given, `null` given, or a value given.
pub(crate) fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

fn is_json(headers: &HeaderMap, kinds: &[&str]) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    kinds.iter().any(|kind| essence.eq_ignore_ascii_case(kind))
}

/// Reads a body, or tells every field at fault.
fn read_body<T: Input>(mut fields: Map<String, Value>) -> Result<T, Faults> {
    let RefOr::T(Schema::Object(schema)) = T::schema() else {
        unreachable!("bodies are described as objects");
    };
    let mut faults = Faults::default();
    for name in schema.required.iter().filter(|name| !fields.contains_key(*name)) {
        faults.add(name, "is required");
    }
    if let Some(nullable) = T::NULLABLE {
        for name in schema.properties.keys().filter(|name| !nullable.contains(&name.as_str())) {
            if fields.get(name) == Some(&Value::Null) {
                faults.add(name, "must not be null; leave it out to keep what it is");
                fields.remove(name);
            }
        }
    }
    nul::take_out(&mut fields, T::BY_THE_LINE, &mut faults);
    let read = sift::<T>(&mut fields, |_| None, &mut faults);
    if let Some(body) = read.filter(|_| faults.0.is_empty()) {
        return Ok(body);
    }
    // What is missing is taken from the example, so that the rest can be judged.
    let example = schema.example.unwrap_or_default();
    for name in &schema.required {
        if let (false, Some(value)) = (fields.contains_key(name), example.get(name)) {
            fields.insert(name.clone(), value.clone());
        }
    }
    let known: Vec<String> = faults.0.iter().map(|fault| top(&fault.field)).collect();
    if let Some(body) = sift::<T>(&mut fields, |_| None, &mut Faults::default()) {
        let further = body.faults().0.into_iter();
        faults.0.extend(further.filter(|fault| !known.contains(&top(&fault.field))));
    }
    Err(faults)
}

/// Reads a `T`. A field that does not fit is noted, taken out, and the rest is tried again, so
/// that the next one is found too; `mend` may offer another form of a value first. None where a
/// field that cannot be done without is missing.
fn sift<T: DeserializeOwned>(
    fields: &mut Map<String, Value>,
    mend: impl Fn(&Value) -> Option<Value>,
    faults: &mut Faults,
) -> Option<T> {
    loop {
        let error = match serde_path_to_error::deserialize(Form(Value::Object(fields.clone()))) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let said = error.inner().to_string();
        let place = error.path().to_string();
        let named = quoted_after(&said, "unknown field ")
            .or(quoted_after(&said, "missing field "))
            .or(quoted_after(&said, ""));
        let (field, key) = match named {
            Some(name) if place == "." || place == name => (name.to_owned(), name.to_owned()),
            Some(name) if place.ends_with(&format!(".{name}")) => (place.clone(), top(&place)),
            Some(name) => (format!("{place}.{name}"), top(&place)),
            None => (place.clone(), top(&place)),
        };
        let Some(value) = fields.get(&key).filter(|_| faults.0.len() < FAULTS_MAX) else {
            if faults.0.is_empty() {
                faults.add(short(&field), words(&said));
            }
            return None;
        };
        if let Some(mended) = mend(value).filter(|mended| mended != value) {
            fields.insert(key, mended);
        } else {
            faults.add(short(&field), words(&said));
            fields.remove(&key);
        }
    }
}

/// The field itself, of a path into it.
fn top(field: &str) -> String {
    field.split(['.', '[']).next().unwrap_or_default().to_owned()
}

fn quoted_after<'a>(said: &'a str, start: &str) -> Option<&'a str> {
    said.strip_prefix(start)?.strip_prefix('`')?.split('`').next()
}

/// What serde said, without what was sent.
pub(crate) fn words(said: &str) -> String {
    const TIME_WORDS: [&str; 6] = [
        "input is out of range",
        "no possible date and time matching input",
        "input is not enough for unique date and time",
        "input contains invalid characters",
        "premature end of input",
        "trailing input",
    ];
    // What we say of a field only its whole can judge begins with the name of the field.
    if let Some((_, words)) = said.strip_prefix('`').and_then(|said| said.split_once("` ")) {
        return words.to_owned();
    }
    let expected = said.rsplit_once(", expected ").map(|(_, expected)| expected);
    match expected {
        _ if said.starts_with("missing field") => "is required".to_owned(),
        _ if TIME_WORDS.contains(&said) => "must be a time such as 2026-01-31T12:00:00Z".to_owned(),
        Some(known) if said.starts_with("unknown field") => {
            format!("is not known here; known is {known}").replace("is one of", "are")
        }
        _ if said.starts_with("unknown field") => "is not known here".to_owned(),
        Some("i32" | "i64") => "must be a whole number".to_owned(),
        Some("u8" | "u16" | "u32" | "u64" | "usize") => {
            "must be a whole number that is not negative".to_owned()
        }
        Some("f64") => "must be a number".to_owned(),
        Some("a boolean") => "must be true or false".to_owned(),
        Some("a sequence") => "must be a list".to_owned(),
        Some("a map") => "must be an object".to_owned(),
        Some(expected) if expected.starts_with("struct") => "must be an object".to_owned(),
        Some("an RFC 3339 formatted date and time string") => {
            "must be a time such as 2026-01-31T12:00:00Z".to_owned()
        }
        Some(expected) => format!("must be {expected}"),
        None => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::json;
    use utoipa::ToSchema;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[schema(example = json!({"name": "a", "size": 1}))]
    struct Thing {
        name: String,
        size: u64,
        kind: Option<Kind>,
        #[serde(default)]
        parts: Vec<Part>,
        at: Option<DateTime<Utc>>,
        #[serde(default, deserialize_with = "nullable")]
        limit: Option<Option<u64>>,
    }

    #[derive(Debug, PartialEq, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Big,
        Small,
    }

    #[derive(Debug, PartialEq, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    struct Part {
        weight: u32,
    }

    impl Input for Thing {
        fn faults(&self) -> Faults {
            let mut faults = Faults::default();
            if self.name.len() > 3 {
                faults.add("name", "is too long");
            }
            if self.size > 9 {
                faults.add("size", "is too large");
            }
            faults
        }
    }

    fn faults(value: Value) -> String {
        let Value::Object(fields) = value else { unreachable!() };
        read_body::<Thing>(fields).unwrap_err().to_string()
    }

    #[test]
    fn what_fits_is_read() {
        let Value::Object(fields) = json!({"name": "a", "size": 3, "limit": null}) else {
            unreachable!()
        };
        let thing: Thing = read_body(fields).unwrap();
        assert_eq!((thing.name.as_str(), thing.size, thing.limit), ("a", 3, Some(None)));
        assert_eq!(thing.kind, None);
    }

    #[test]
    fn every_field_at_fault_is_told_at_once() {
        let told = faults(json!({
            "size": -1, "kind": 3, "colour": 1, "shape": 2, "at": "soon",
            "parts": [{"weight": 1}, {"weight": "x"}],
        }));
        for part in [
            "name: is required",
            "size: must be a whole number that is not negative",
            "kind: must be `big` or `small`",
            "colour: is not known here; known are `name`,",
            "shape: is not known here",
            "at: must be a time such as",
            "parts[1].weight: must be a whole number",
        ] {
            assert!(told.contains(part), "{part:?} is not in {told}");
        }
    }

    #[test]
    fn what_is_missing_or_unknown_inside_is_told_with_its_path() {
        let told = faults(json!({"name": "a", "size": 1, "parts": [{}]}));
        assert_eq!(told, "parts[0].weight: is required");
        let told = faults(json!({"name": "a", "size": 1, "parts": [{"weight": 1, "w": 2}]}));
        assert!(told.starts_with("parts[0].w: is not known here"), "{told}");
        assert_eq!(faults(json!({})), "name: is required; size: is required");
        assert_eq!(faults(json!({"name": "a", "size": 1, "parts": 3})), "parts: must be a list");
    }

    #[test]
    fn a_list_is_no_object_and_a_nul_no_text() {
        let told = faults(json!({"name": "a", "size": 1, "parts": [[1]]}));
        assert_eq!(told, "parts[0]: must be an object");
        let told = faults(json!({"name": "a\0b", "size": 1, "parts": [{"weight": "\0"}]}));
        assert_eq!(told, format!("name: {words}; parts[0].weight: {words}", words = nul::WORDS));
    }

    #[test]
    fn what_has_its_form_is_judged_beside_what_has_not() {
        let told = faults(json!({"name": "long name", "kind": 1}));
        assert!(told.starts_with("size: is required; kind: must be"), "{told}");
        assert!(told.ends_with("; name: is too long"), "{told}");
        let told = faults(json!({"name": 1, "size": 10}));
        assert_eq!(told, "name: must be a string; size: is too large");
    }

    #[test]
    fn made_up_names_are_bounded_whatever_they_hold() {
        let many: Map<_, _> = (0..5000).map(|i| (format!("x{i}"), Value::Null)).collect();
        assert_eq!(read_body::<Thing>(many).unwrap_err().0.len(), FAULTS_MAX);
        for name in ["a.b", "a[0]", "", "`", "a`b", &"x".repeat(5000)] {
            let told = read_body::<Thing>(Map::from_iter([
                ("name".to_owned(), "a".into()),
                ("size".to_owned(), 1.into()),
                (name.to_owned(), 1.into()),
            ]));
            let told = told.unwrap_err().to_string();
            assert!(told.contains("is not known here") && told.len() < 400, "{name}: {told}");
        }
    }

    #[test]
    fn nothing_that_was_sent_comes_back() {
        let told =
            faults(json!({"name": {"x": "sk-secret"}, "size": "sk-secret", "kind": "sk-secret"}));
        assert!(!told.contains("sk-secret"), "{told}");
    }
}
