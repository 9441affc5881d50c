//! A list of models as each dialect writes it, page by page where it has pages.

use std::{
    collections::BTreeSet,
    ops::Bound::{Excluded, Unbounded},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::Dialect;
use serde_json::{Value, json};

use crate::headers::percent_decode;

/// Longest page, and how long one is where nobody says: few clients turn pages.
const PAGE_MAX: usize = 1000;

/// The page of `names` that `query` asks for.
pub(crate) fn page(dialect: Dialect, names: &BTreeSet<String>, query: Option<&str>) -> Value {
    let asked = |field: &str| {
        let fields = query.unwrap_or_default().split('&');
        let value = fields.filter_map(|f| f.strip_prefix(field)?.strip_prefix('=')).next()?;
        String::from_utf8(percent_decode(value.as_bytes())).ok().filter(|value| !value.is_empty())
    };
    let size = |field: &str| {
        let size = asked(field).and_then(|size| size.parse().ok());
        size.filter(|size| *size > 0).unwrap_or(PAGE_MAX).min(PAGE_MAX)
    };
    let models =
        |page: &[&String]| -> Vec<Value> { page.iter().map(|name| one(dialect, name)).collect() };
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses => {
            json!({ "object": "list", "data": models(&names.iter().collect::<Vec<_>>()) })
        }
        Dialect::AnthropicMessages => {
            let (limit, before) = (size("limit"), asked("before_id"));
            let (page, has_more) = match before {
                Some(before) => preceding(names, &before, limit),
                None => following(names, asked("after_id").as_deref(), limit),
            };
            json!({
                "data": models(&page),
                "has_more": has_more,
                "first_id": page.first(),
                "last_id": page.last(),
            })
        }
        Dialect::Gemini => {
            let after = asked("pageToken").and_then(|token| read_token(&token));
            let (page, has_more) = following(names, after.as_deref(), size("pageSize"));
            let mut list = json!({ "models": models(&page) });
            if let Some(last) = page.last().filter(|_| has_more) {
                list["nextPageToken"] = BASE64_URL_SAFE_NO_PAD.encode(last).into();
            }
            list
        }
    }
}

/// The first names behind `after`, and whether there are more.
fn following<'a>(
    names: &'a BTreeSet<String>,
    after: Option<&str>,
    limit: usize,
) -> (Vec<&'a String>, bool) {
    let mut rest = match after {
        Some(after) => names.range::<str, _>((Excluded(after), Unbounded)),
        None => names.range::<str, _>(..),
    };
    let page: Vec<&String> = rest.by_ref().take(limit).collect();
    (page, rest.next().is_some())
}

/// The last names in front of `before`, and whether there are more.
fn preceding<'a>(
    names: &'a BTreeSet<String>,
    before: &str,
    limit: usize,
) -> (Vec<&'a String>, bool) {
    let mut rest = names.range::<str, _>((Unbounded, Excluded(before))).rev();
    let mut page: Vec<&String> = rest.by_ref().take(limit).collect();
    page.reverse();
    (page, rest.next().is_some())
}

fn read_token(token: &str) -> Option<String> {
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

/// One model.
pub(crate) fn one(dialect: Dialect, name: &str) -> Value {
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses => {
            json!({ "id": name, "object": "model", "created": 0, "owned_by": "tollgate" })
        }
        Dialect::AnthropicMessages => json!({
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": "1970-01-01T00:00:00Z",
            "lifecycle": "active",
        }),
        Dialect::Gemini => json!({
            "name": format!("models/{name}"),
            "version": "1",
            "displayName": name,
            "supportedGenerationMethods": [
                "generateContent",
                "streamGenerateContent",
                "countTokens",
                "embedContent",
                "batchEmbedContents",
            ],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_page_by_page() {
        let names: BTreeSet<String> = ["a", "b", "c/d", "e"].map(str::to_owned).into();
        let check = |dialect, query: &str, wanted: &[&str], more: bool| {
            let page = page(dialect, &names, Some(query));
            let list = page.get("data").or(page.get("models")).unwrap().as_array().unwrap();
            let id = |model: &Value| model.get("id").or(model.get("name")).cloned().unwrap();
            assert_eq!(list.iter().map(id).collect::<Vec<_>>(), wanted, "{query}");
            let has_more = page["has_more"] == true || page.get("nextPageToken").is_some();
            assert_eq!(has_more, more, "{query}");
            page
        };
        use Dialect::{AnthropicMessages as A, Gemini as G};
        let first = check(A, "limit=2", &["a", "b"], true);
        assert_eq!((&first["first_id"], &first["last_id"]), (&json!("a"), &json!("b")));
        check(A, "after_id=b&limit=2", &["c/d", "e"], false);
        check(A, "after_id=c%2Fd", &["e"], false);
        check(A, "before_id=e&limit=2", &["b", "c/d"], true);
        check(A, "limit=0", &["a", "b", "c/d", "e"], false);
        let last = check(A, "after_id=e", &[], false);
        assert!(last["first_id"].is_null() && last["last_id"].is_null());
        let first = check(G, "pageSize=3", &["models/a", "models/b", "models/c/d"], true);
        let token = first["nextPageToken"].as_str().unwrap();
        check(G, &format!("pageSize=3&pageToken={token}"), &["models/e"], false);
        check(Dialect::OpenaiChat, "limit=1", &["a", "b", "c/d", "e"], false);
    }
}
