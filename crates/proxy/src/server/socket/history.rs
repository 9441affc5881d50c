//! The latest responses of a socket, as far as nobody else stores them: what their requests held and
//! what they said. A request that goes on from one of them gets all of it as its input.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;

use crate::memory::Held;

/// Most responses that are kept: one for each lane.
const KEPT_MAX: usize = 16;

/// The responses of one socket.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<VecDeque<(String, Arc<Kept>)>>);

/// What led to a response, and the response itself.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The kept response that it went on from.
    pub(super) parent: Option<Arc<Kept>>,
    /// The response that it went on from, where a provider stores that.
    pub(super) base: Option<String>,
    /// What was new: items of the input, then of the output; each is JSON.
    pub(super) items: Vec<Bytes>,
    /// Whether a provider stores it, so that it can be named to that provider.
    pub(super) stored: bool,
    /// The memory for the items.
    pub(super) memory: Option<Held>,
}

impl History {
    /// The response with this id.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Kept>> {
        self.0.lock().iter().find(|(kept, _)| kept == id).map(|(_, kept)| kept.clone())
    }

    /// Keeps a response; of too many the oldest is forgotten.
    pub(super) fn keep(&self, id: String, kept: Kept) {
        let mut all = self.0.lock();
        if all.len() >= KEPT_MAX {
            all.pop_front();
        }
        all.push_back((id, Arc::new(kept)));
    }
}

impl Kept {
    /// All items of the conversation, the oldest first, and the stored response that they follow.
    pub(super) fn conversation(&self) -> (Vec<Bytes>, Option<String>) {
        let (mut turns, mut at) = (vec![self], self);
        while let Some(parent) = &at.parent {
            turns.push(parent);
            at = parent;
        }
        let base = at.base.clone();
        (turns.into_iter().rev().flat_map(|turn| turn.items.iter().cloned()).collect(), base)
    }
}

/// The items of an answer, as they can be sent as input where nobody stores them: thoughts that are
/// not sealed in are left out, and with them the ids that would tell of their lack.
pub(super) fn sendable(items: Vec<Bytes>) -> Vec<Bytes> {
    let unsealed =
        |item: &Value| item["type"] == "reasoning" && !item["encrypted_content"].is_string();
    let read: Vec<Value> =
        items.iter().filter_map(|item| serde_json::from_slice(item).ok()).collect();
    if !read.iter().any(unsealed) {
        return items;
    }
    let kept = read.into_iter().filter(|item| !unsealed(item)).map(|mut item| {
        if let Some(fields) = item.as_object_mut() {
            fields.shift_remove("id");
        }
        Bytes::from(item.to_string())
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn a_conversation_is_put_together_from_its_turns() {
        let history = History::default();
        let first = Kept {
            base: Some("resp_stored".into()),
            items: vec![item("1"), item("2")],
            ..Kept::default()
        };
        history.keep("a".into(), first);
        let parent = history.find("a");
        history.keep("b".into(), Kept { parent, items: vec![item("3")], ..Kept::default() });
        let (items, base) = history.find("b").unwrap().conversation();
        assert_eq!(items, ["1", "2", "3"]);
        assert_eq!(base.as_deref(), Some("resp_stored"));
        for n in 0..KEPT_MAX {
            history.keep(n.to_string(), Kept::default());
        }
        assert!(history.find("a").is_none() && history.find("0").is_some());
    }

    #[test]
    fn thoughts_that_are_not_sealed_are_not_sent_again() {
        let message = r#"{"id":"msg_1","type":"message","role":"assistant","content":[]}"#;
        let sealed = r#"{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"x"}"#;
        let open = r#"{"id":"rs_2","type":"reasoning","summary":[]}"#;
        let check = |items: &[&str], wanted: &[&str]| {
            assert_eq!(sendable(items.iter().map(|text| item(text)).collect()), wanted);
        };
        check(&[sealed, message], &[sealed, message]);
        check(&[open, message], &[r#"{"type":"message","role":"assistant","content":[]}"#]);
    }
}
