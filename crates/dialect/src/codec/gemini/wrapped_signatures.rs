//! Removes wrapped signatures from a history that is sent to Gemini without conversion.
//!
//! A reasoning part is removed with its wrapped signature; other parts only lose the field. A
//! content without parts is removed too, because Google refuses it. Google's own signature of a
//! call, which came through a compatible server, is unwrapped.

use std::ops::Range;

use bytes::Bytes;

use super::fields::{camel, list};
use crate::{Edit, Signature, Value, Vendor, write};

/// Returns the edits of `body`.
pub(super) fn cuts(body: &Value<'_>) -> Vec<Edit> {
    let text = body.raw();
    let mut cuts = Vec::new();
    let mut edits = Vec::new();
    let inner = body.any(&["generateContentRequest", "generate_content_request"]).unwrap_or(body);
    let contents = inner.get("contents");
    let all = list(contents);
    let empty: Vec<bool> = all.iter().map(|content| parts(content).iter().all(goes)).collect();
    let empty: Vec<bool> =
        all.iter().zip(empty).map(|(c, empty)| empty && !parts(c).is_empty()).collect();
    if contents.is_array() {
        elements(text, all, &empty, &mut cuts);
    }
    for (content, _) in all.iter().zip(&empty).filter(|(_, empty)| !**empty) {
        let parts = parts(content);
        let gone: Vec<bool> = parts.iter().map(goes).collect();
        elements(text, parts, &gone, &mut cuts);
        for (part, _) in parts.iter().zip(&gone).filter(|(_, gone)| !**gone) {
            let Some(value) = marked(part) else { continue };
            let range = place(text, value);
            match googles(value) {
                Some(replacement) => edits.push(Edit { range, replacement }),
                None => cuts.extend(member(text, &range)),
            }
        }
    }
    edits.extend(cuts.into_iter().map(|range| Edit { range, replacement: Bytes::new() }));
    edits.sort_by_key(|edit| edit.range.start);
    edits
}

/// Returns Google's own signature, as JSON, if it is wrapped because it came through another
/// server.
fn googles(value: &Value<'_>) -> Option<Bytes> {
    let signature = Signature::read(value.text()?, Vendor::Gemini)?;
    let mut json = Vec::new();
    write::string(&mut json, &signature.data);
    (signature.vendor == Vendor::Gemini).then(|| json.into())
}

fn parts<'v, 'a>(content: &'v Value<'a>) -> &'v [Value<'a>] {
    let parts = content.get("parts");
    if parts.is_null() { &[] } else { list(parts) }
}

/// Returns the signature of a part if it is wrapped.
fn marked<'v, 'a>(part: &'v Value<'a>) -> Option<&'v Value<'a>> {
    let named = part.members().iter().find(|(name, _)| camel(name) == "thoughtSignature");
    named.map(|(_, value)| value).filter(|value| value.text().is_some_and(Signature::is_own))
}

/// Whether a part contains only what the gateway added.
fn goes(part: &Value<'_>) -> bool {
    let bare = || {
        let other = |name: &str| !matches!(&*camel(name), "text" | "thoughtSignature");
        part.get("text").text().unwrap_or_default().is_empty()
            && !part.members().iter().any(|(name, _)| other(name))
    };
    marked(part).is_some() && (part.get("thought").bool() == Some(true) || bare())
}

/// Returns the range of `value` in `text`, from which it was read.
fn place(text: &str, value: &Value<'_>) -> Range<usize> {
    let start = value.raw().as_ptr().addr() - text.as_ptr().addr();
    start..start + value.raw().len()
}

/// Removes elements of a list, with one comma each.
fn elements(text: &str, items: &[Value<'_>], gone: &[bool], cuts: &mut Vec<Range<usize>>) {
    let mut n = 0;
    while n < items.len() {
        let run = gone[n..].iter().take_while(|gone| **gone).count();
        if run == 0 {
            n += 1;
            continue;
        }
        let start = place(text, &items[n]).start;
        let end = place(text, &items[n + run - 1]).end;
        cuts.push(match (n.checked_sub(1), items.get(n + run)) {
            (_, Some(next)) => start..place(text, next).start,
            (Some(before), None) => place(text, &items[before]).end..end,
            (None, None) => start..end,
        });
        n += run;
    }
}

/// Returns the range of the member with the value at `value`, with one comma.
fn member(text: &str, value: &Range<usize>) -> Option<Range<usize>> {
    let before = text[..value.start].trim_ascii_end().strip_suffix(':')?.trim_ascii_end();
    let start = before.strip_suffix('"')?.rfind('"')?;
    let behind = text[value.end..].trim_ascii_start();
    let end = text.len() - behind.len();
    if behind.starts_with(',') {
        return Some(start..end + 1);
    }
    let front = text[..start].trim_ascii_end();
    Some(front.strip_suffix(',').map_or(start, str::len)..value.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::splice;

    fn check(body: &str, expected: &str) {
        let wrapped = Signature::new(Vendor::Anthropic, "EqQB").wrapped();
        let body = body.replace("OURS", &wrapped);
        let edits = cuts(&Value::of(&body).unwrap());
        let cut = splice(&Bytes::from(body.clone()), &edits);
        assert_eq!(std::str::from_utf8(&cut).unwrap(), expected, "{body}");
        assert!(crate::validate(&cut).is_ok());
    }

    #[test]
    fn googles_own_proof_is_unwrapped() {
        let via = crate::signature::Via { place: "google", call: None, model: "m" };
        let wrapped = Signature::new(Vendor::Gemini, "c2ln").sent_by(via).wrapped();
        let body =
            r#"{"contents":[{"parts":[{"functionCall":{"name":"f"},"thoughtSignature":"OURS"}]}]}"#;
        let body = body.replace("OURS", &wrapped);
        let cut = splice(&Bytes::from(body.clone()), &cuts(&Value::of(&body).unwrap()));
        let wanted =
            r#"{"contents":[{"parts":[{"functionCall":{"name":"f"},"thoughtSignature":"c2ln"}]}]}"#;
        assert_eq!(std::str::from_utf8(&cut).unwrap(), wanted);
    }

    #[test]
    fn what_we_put_there_goes_and_nothing_else() {
        check(
            r#"{"contents":[{"parts":[{"text":"Hm","thought":true,"thoughtSignature":"OURS"},{"text":"A"}]}]}"#,
            r#"{"contents":[{"parts":[{"text":"A"}]}]}"#,
        );
        check(
            r#"{"contents":[{"parts":[{"text":"A"} , {"thought_signature" : "OURS","thought":true,"text":""}]}]}"#,
            r#"{"contents":[{"parts":[{"text":"A"}]}]}"#,
        );
        check(
            r#"{"contents":[{"parts":[{"functionCall":{"name":"f"}, "thoughtSignature": "OURS"},{"text":"A","thoughtSignature":"++8="}]}]}"#,
            r#"{"contents":[{"parts":[{"functionCall":{"name":"f"}},{"text":"A","thoughtSignature":"++8="}]}]}"#,
        );
        check(
            r#"{"contents":[{"parts":[{"thoughtSignature": "OURS" , "text":"A"}]}]}"#,
            r#"{"contents":[{"parts":[{ "text":"A"}]}]}"#,
        );
        check(
            r#"{"contents":[{"parts":[{"text":"a"}]},{"parts":[{"text":"","thoughtSignature":"OURS"},{"thoughtSignature":"OURS"}]}]}"#,
            r#"{"contents":[{"parts":[{"text":"a"}]}]}"#,
        );
        check(
            r#"{"contents":[{"parts":[]},{"role":"user"}]}"#,
            r#"{"contents":[{"parts":[]},{"role":"user"}]}"#,
        );
        check(
            r#"{"contents":[{"parts":[{"text":"OURS"}]}]}"#.replace("OURS", "x").as_str(),
            r#"{"contents":[{"parts":[{"text":"x"}]}]}"#,
        );
    }
}
