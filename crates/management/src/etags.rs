//! Entity tags. Who has an answer already gets a short 304 instead of it; who changes a thing that
//! was changed meanwhile gets a 412.
//!
//! The tag of a thing has two parts: its version, which is when it was last changed, and a digest of
//! the answer. What is only observed (how a key fares, what is used of a limit) changes the second
//! part alone, so it never stands in the way of a change.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use store::Store;

use crate::{app::Management, error::ApiError};

/// What a tag ends with when the answer is compressed: that one has other bytes.
const CODED: &str = "-gzip";

/// Gives every answer in JSON to a `GET` its tag, and answers 304 to who has it already.
pub(crate) async fn tag(request: Request, next: Next) -> Response {
    let reads = request.method() == Method::GET;
    let api = request.uri().path().starts_with("/api/");
    let known = request.headers().get_all(header::IF_NONE_MATCH);
    let known: Vec<HeaderValue> = known.iter().cloned().collect();
    let response = next.run(request).await;
    let well = matches!(response.status(), StatusCode::OK | StatusCode::CREATED);
    if !api || !well || !is_json(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // Every answer in JSON lies in memory whole already.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return ApiError::Internal("an answer broke off".to_owned()).into_response();
    };
    let version = version_in(&bytes);
    if !reads && version.is_none() {
        // It tells what was done, and can be neither read again nor changed.
        return Response::from_parts(parts, bytes.into());
    }
    let tag = tag_of(&bytes, version);
    let has =
        reads && known.iter().filter_map(|value| value.to_str().ok()).any(|list| names(list, &tag));
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

fn tag_of(bytes: &[u8], version: Option<i64>) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let digest = hasher.finish();
    match version {
        Some(version) => format!("\"{version:x}-{digest:016x}\""),
        None => format!("\"{digest:016x}\""),
    }
}

/// The tag of a thing of which only the version is known.
pub(crate) fn of_version(version: i64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version:x}\"")).expect("hex digits")
}

/// When the thing that an answer shows was last changed; lists show none.
fn version_in(bytes: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Thing {
        updated_at: DateTime<Utc>,
    }
    serde_json::from_slice(bytes).ok().map(|thing: Thing| thing.updated_at.timestamp_micros())
}

/// The `If-Match` of a request: which versions of a thing it means. Without one it means any.
pub(crate) struct IfMatch(Option<Vec<i64>>);

impl IfMatch {
    /// The store for a change of the thing that the request means.
    pub(crate) fn on(&self, store: &Store) -> Store {
        match &self.0 {
            Some(versions) => store.if_last_changed(versions.iter().copied()),
            None => store.clone(),
        }
    }

    /// The versions of these tags; none where any is meant.
    fn read<'a>(lists: impl Iterator<Item = &'a str>) -> Option<Vec<i64>> {
        let mut versions = None;
        for tag in lists.flat_map(|list| list.split(',')).map(str::trim) {
            if tag == "*" {
                return None;
            }
            let version = tag.trim_matches('"').split('-').next().unwrap_or_default();
            let known = i64::from_str_radix(version, 16).ok();
            versions.get_or_insert_with(Vec::new).extend(known);
        }
        versions
    }
}

impl FromRequestParts<Management> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Management) -> Result<Self, ApiError> {
        let lists = parts.headers.get_all(header::IF_MATCH).iter();
        // A tag that is no text is none of ours, and so matches nothing.
        Ok(Self(Self::read(lists.map(|list| list.to_str().unwrap_or_default()))))
    }
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
        let tag = tag_of(b"{}", None);
        let bare = tag.trim_matches('"');
        for list in
            ["*", &tag, &format!("\"x\", {tag}"), &format!("W/{tag}"), &format!("\"{bare}-gzip\"")]
        {
            assert!(names(list, &tag), "{list}");
        }
        for list in ["", "\"\"", bare, "\"x\""] {
            assert!(!names(list, &tag), "{list}");
        }
        assert_ne!(tag_of(b"{}", None), tag_of(b"[]", None));
    }

    #[test]
    fn an_if_match_names_versions_whatever_the_answer_was_like() {
        let read = |lists: &[&str]| IfMatch::read(lists.iter().copied());
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["*"]), None);
        let tag = tag_of(b"{}", Some(0x5f3a));
        assert_eq!(read(&[&tag]), Some(vec![0x5f3a]));
        assert_eq!(read(&[&format!("\"a1\", {tag}"), "\"7-0-gzip\""]), Some(vec![0xa1, 0x5f3a, 7]));
        assert_eq!(read(&["\"odd\""]), Some(Vec::new()), "it matches nothing");
        let answer = br#"{"id":1,"updated_at":"2026-09-21T14:13:20.000123Z"}"#;
        assert_eq!(version_in(answer), Some(1_790_000_000_000_123));
        assert_eq!(version_in(br#"{"items":[],"next_cursor":null}"#), None);
    }
}
