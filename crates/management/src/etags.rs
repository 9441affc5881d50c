//! Entity tags of what is read: who has an answer already gets a short 304 instead of it.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::error::ApiError;

/// What a tag ends with when the answer is compressed: that one has other bytes.
const CODED: &str = "-gzip";

/// Gives every answer in JSON to a `GET` its tag, and answers 304 to who has it already.
pub(crate) async fn tag(request: Request, next: Next) -> Response {
    let reads = request.method() == Method::GET && request.uri().path().starts_with("/api/");
    let known = request.headers().get_all(header::IF_NONE_MATCH);
    let known: Vec<HeaderValue> = known.iter().cloned().collect();
    let response = next.run(request).await;
    if !reads || response.status() != StatusCode::OK || !is_json(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // Every answer in JSON lies in memory whole already.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return ApiError::Internal("an answer broke off".to_owned()).into_response();
    };
    let tag = tag_of(&bytes);
    let has = known.iter().filter_map(|value| value.to_str().ok()).any(|list| names(list, &tag));
    parts.headers.insert(header::ETAG, HeaderValue::try_from(tag).expect("hex digits"));
    if has {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, bytes.into())
}

/// Marks the tag of an answer that was compressed.
pub(crate) async fn tell_coding(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if headers.contains_key(header::CONTENT_ENCODING)
        && let Some(tag) = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok())
    {
        let coded = format!("{}{CODED}\"", tag.trim_end_matches('"'));
        headers.insert(header::ETAG, HeaderValue::try_from(coded).expect("it was a header"));
    }
    response
}

fn tag_of(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// Whether an `If-None-Match` names the tag, of whatever coding.
fn names(list: &str, tag: &str) -> bool {
    list.split(',').map(str::trim).any(|named| {
        let named = named.trim_start_matches("W/");
        named == "*" || named == tag || named.replace(CODED, "") == tag
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_named_alone_in_a_list_weak_or_compressed() {
        let tag = tag_of(b"{}");
        let bare = tag.trim_matches('"');
        for list in
            ["*", &tag, &format!("\"x\", {tag}"), &format!("W/{tag}"), &format!("\"{bare}-gzip\"")]
        {
            assert!(names(list, &tag), "{list}");
        }
        for list in ["", "\"\"", bare, "\"x\""] {
            assert!(!names(list, &tag), "{list}");
        }
        assert_ne!(tag_of(b"{}"), tag_of(b"[]"));
    }
}
