//! Finds the beginning of a conversation, which is the same in all of its turns: the instructions
//! and the first messages. Providers keep this part in their prompt caches.

use std::ops::Range;

use crate::json::{Scanner, members_unchecked};

/// Bytes of each part that are returned: they are compared, not read.
const PART_MAX: usize = 4 << 10;
/// Messages that belong to the beginning: instructions and the first question.
const MESSAGES: usize = 4;

/// Returns the ranges of the parts of the beginning in `body`; empty if the body is not a
/// conversation.
pub fn opening(body: &[u8]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let _ = members_unchecked(body, |member| match &body[member.name.clone()] {
        b"system" | b"instructions" | b"systemInstruction" | b"system_instruction" => {
            parts.push(member.value);
        }
        b"messages" | b"contents" | b"input" => {
            let first = first_items(&body[member.value.clone()]);
            parts.extend(first.into_iter().map(|item| {
                let start = member.value.start;
                start + item.start..start + item.end
            }));
        }
        _ => {}
    });
    for part in &mut parts {
        part.end = part.end.min(part.start + PART_MAX);
    }
    parts
}

/// Returns the items of an array up to the first of the user; or the value itself.
fn first_items(value: &[u8]) -> Vec<Range<usize>> {
    let whole = || std::iter::once(0..value.len()).collect();
    if value.first() != Some(&b'[') {
        return whole();
    }
    let mut scanner = Scanner { text: value, at: 1 };
    let mut items = Vec::new();
    while items.len() < MESSAGES {
        scanner.skip_space();
        let start = scanner.at;
        if value.get(start).is_none_or(|b| *b == b']') || scanner.value(crate::MAX_DEPTH).is_err() {
            break;
        }
        items.push(start..scanner.at);
        if is_users(&value[start..scanner.at]) {
            break;
        }
        scanner.skip_space();
        if value.get(scanner.at) != Some(&b',') {
            break;
        }
        scanner.at += 1;
    }
    items
}

/// Whether a message is from the user; messages without a role are.
fn is_users(item: &[u8]) -> bool {
    let mut role = None;
    let _ = members_unchecked(item, |member| {
        if &item[member.name.clone()] == b"role" {
            role = Some(member.value);
        }
    });
    role.is_none_or(|role| &item[role] == b"\"user\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, wanted: &[&str]) {
        let parts = opening(body.as_bytes());
        let texts: Vec<_> = parts.into_iter().map(|part| &body[part]).collect();
        assert_eq!(texts, wanted, "{body}");
    }

    #[test]
    fn a_conversation_begins_alike_in_every_turn() {
        let first = r#"{"role":"system","content":"s"}"#;
        let question = r#"{"role":"user","content":"q, [x]"}"#;
        check(&format!(r#"{{"messages":[{first},{question}]}}"#), &[first, question]);
        let later = format!(
            r#"{{"model":"m","messages":[ {first} , {question},{{"role":"assistant","content":"a"}},{{"role":"user","content":"more"}}]}}"#
        );
        check(&later, &[first, question]);
        check(
            r#"{"system":"be brief","messages":[{"role":"user","content":"q"}]}"#,
            &["\"be brief\"", r#"{"role":"user","content":"q"}"#],
        );
        check(
            r#"{"contents":[{"parts":[{"text":"q"}]},{"role":"model"}]}"#,
            &[r#"{"parts":[{"text":"q"}]}"#],
        );
        check(r#"{"input":"just text","instructions":null}"#, &["\"just text\"", "null"]);
        check(r#"{"messages":[]}"#, &[]);
        check("[1,2]", &[]);
        check(r#"{"messages":[{"role":"assistant"},"#, &[]);
    }

    #[test]
    fn much_text_is_told_in_part() {
        let body = format!(r#"{{"input":"{}"}}"#, "x".repeat(100_000));
        let begins = 9..9 + PART_MAX;
        assert_eq!(opening(body.as_bytes()), vec![begins]);
    }
}
