//! Whatever a server sends, the steps come in order, and so do the chunks made of them.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use proptest::prelude::*;

use crate::{
    Names, Reply, StreamReader, Value,
    chat::{Event, Opening},
    codec,
};

/// What a server may put into a delta.
const DELTAS: &str = r#"|"content":"a"|"content":""|"content":\[\{"type":"text","text":"b"\}\]|"reasoning_content":"t"|"refusal":"r"|"thinking_blocks":\[\{"thinking":"t","signature":"s"\}\]|"thinking_blocks":\[\{"type":"redacted_thinking","data":"d"\}\]|"function_call":\{"name":"o","arguments":"\{\}"\}|"extra_content":\{"google":\{"thought_signature":"g"\}\}|"reasoning_details":\[\{"type":"reasoning.text","text":"t"\}\]"#;

/// What it may put into a fragment of a call.
const CALLS: &str = r#"("index":[01],)?("id":"[ab]",)?("extra_content":\{"google":\{"thought_signature":"g"\}\},)?"function":\{("name":"[fg]",)?"arguments":"(|\{|\}|\{\}|1)"\}"#;

fn chunk() -> impl Strategy<Value = String> {
    let calls = prop::collection::vec(CALLS, 0..3);
    let finish = prop::option::weighted(0.1, "stop|length|tool_calls|");
    (0..2_u8, DELTAS, calls, finish).prop_map(|(index, delta, calls, finish)| {
        let calls: Vec<String> = calls.iter().map(|call| format!("{{{call}}}")).collect();
        let comma = if delta.is_empty() { "" } else { "," };
        let calls = format!("{comma}\"tool_calls\":[{}]", calls.join(","));
        let finish =
            finish.map(|label| format!(",\"finish_reason\":\"{label}\"")).unwrap_or_default();
        format!(
            "data: {{\"choices\":[{{\"index\":{index},\"delta\":{{{delta}{calls}}}{finish}}}]}}\n\n"
        )
    })
}

/// Follows the steps of a stream and says what is out of order.
#[derive(Default)]
struct Order {
    begun: bool,
    ended: bool,
    open: HashMap<(u32, u32), bool>,
    next: HashMap<u32, u32>,
    finished: HashSet<u32>,
    faults: Vec<String>,
}

impl Order {
    fn step(&mut self, event: &Event<'_>) {
        let fair = match event {
            _ if self.ended => false,
            Event::Start => !std::mem::replace(&mut self.begun, true),
            Event::Open { choice, block, opening } => {
                let next = self.next.entry(*choice).or_default();
                let counts = *next == *block;
                *next += 1;
                let known = match opening {
                    Opening::Call { id, .. } => !id.is_empty(),
                    _ => true,
                };
                let new = self.open.insert((*choice, *block), false).is_none();
                counts && known && new && !self.finished.contains(choice)
            }
            Event::Delta { choice, block, text } => {
                !text.is_empty() && self.open.contains_key(&(*choice, *block))
            }
            Event::Signature { choice, block, .. } => {
                self.open.get_mut(&(*choice, *block)).is_some_and(|it| !std::mem::replace(it, true))
            }
            Event::Close { choice, block } => self.open.remove(&(*choice, *block)).is_some(),
            Event::Finish { choice, .. } => {
                self.finished.insert(*choice) && !self.open.keys().any(|(it, _)| it == choice)
            }
            Event::End => {
                self.ended = true;
                self.next.keys().all(|choice| self.finished.contains(choice))
            }
            Event::Failed(_) => {
                self.ended = true;
                true
            }
            _ => true,
        };
        if !fair {
            self.faults.push(format!("{event:?}"));
        }
    }
}

/// What is wrong with chunks by the grammar that the SDKs rely on.
fn faults_of_chunks(out: &[u8]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut calls: HashMap<u64, u64> = HashMap::new();
    let mut roles = HashSet::new();
    let mut finished = HashSet::new();
    for event in std::str::from_utf8(out).unwrap().split_terminator("\n\n") {
        let data = event.strip_prefix("data: ").unwrap();
        let Ok(chunk) = Value::of(data) else { continue };
        for one in chunk.get("choices").items() {
            let index = one.get("index").u64().unwrap();
            let role = one.get("delta").find("role").is_some();
            let mut fair = roles.insert(index) == role && !finished.contains(&index);
            for call in one.get("delta").get("tool_calls").items() {
                let count = calls.entry(index).or_default();
                let number = call.get("index").u64().unwrap();
                let first = call.find("id").is_some();
                fair &= if first { number == *count } else { number < *count };
                fair &= first == call.get("function").find("name").is_some();
                *count += u64::from(first);
            }
            if one.find("finish_reason").is_some() {
                finished.insert(index);
            }
            if !fair {
                faults.push(data.to_owned());
            }
        }
    }
    faults
}

proptest! {
    #[test]
    fn steps_and_chunks_come_in_order_whatever_a_server_sends(
        chunks in prop::collection::vec(chunk(), 0..12),
        done in any::<bool>(),
    ) {
        let mut order = Order::default();
        let mut encoder = codec::OPENAI_CHAT.encode_stream(Reply::default());
        let mut out = Vec::new();
        let mut reader = StreamReader::new(codec::OPENAI_CHAT, Names::default());
        let mut emit = |event: Event<'_>| {
            order.step(&event);
            encoder.event(event, &mut out);
        };
        for chunk in chunks.iter().map(String::as_str).chain(done.then_some("data: [DONE]\n\n")) {
            reader.push(Bytes::copy_from_slice(chunk.as_bytes()), &mut emit);
        }
        reader.finish(&mut emit);
        prop_assert!(order.ended);
        prop_assert_eq!(&order.faults, &[""; 0]);
        prop_assert_eq!(faults_of_chunks(&out), [""; 0]);
    }
}
