//! Removes wrapped signatures from a history.

use crate::{Edit, Signature, Value};

/// Returns the edits that remove `thinking_blocks` and signatures with the gateway's mark. Members
/// that become empty are set to `null`, which equals missing.
pub(super) fn cuts(body: &Value<'_>) -> Vec<Edit> {
    let mut edits = Vec::new();
    for message in body.get("messages").items() {
        let blocks = message.get("thinking_blocks");
        if blocks.items().iter().any(is_own_block) {
            let others = blocks.items().iter().filter(|block| !is_own_block(block));
            let others: Vec<&str> = others.map(Value::raw).collect();
            let left = match others.is_empty() {
                true => "null".to_owned(),
                false => format!("[{}]", others.join(",")),
            };
            edits.push(edit(body, blocks, left));
        }
        for holder in message.get("tool_calls").items().iter().chain([message]) {
            let signature = holder.get("extra_content").get("google").get("thought_signature");
            if signature.text().is_some_and(Signature::is_own) {
                edits.push(edit(body, signature, "null".to_owned()));
            }
        }
    }
    edits
}

fn is_own_block(block: &Value<'_>) -> bool {
    ["signature", "data"].iter().any(|name| block.get(name).text().is_some_and(Signature::is_own))
}

/// Returns the edit that replaces `part` in `body`.
fn edit(body: &Value<'_>, part: &Value<'_>, replacement: String) -> Edit {
    let start = part.raw().as_ptr().addr() - body.raw().as_ptr().addr();
    Edit { range: start..start + part.raw().len(), replacement: replacement.into() }
}
