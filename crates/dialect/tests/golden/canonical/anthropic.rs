//! Streams of Anthropic Messages.

use super::{Items, append, arguments, only};
use crate::{events::Step, json::Json};

#[derive(Debug, Default)]
struct Reader {
    started: bool,
    stopped: bool,
    failed: bool,
    /// The index of the open block; its item is the last one.
    open: Option<i128>,
    blocks: i128,
    deltas: usize,
}

pub(super) fn read(steps: &[Step], items: &mut Items) {
    let mut reader = Reader::default();
    for (n, step) in steps.iter().enumerate() {
        reader.step(n, step, items);
    }
    let n = steps.len();
    if reader.failed {
        if reader.open.is_some() {
            finish_input(items);
        }
        return;
    }
    items.check(reader.open.is_none(), n, "a block never stopped");
    items.check(reader.started, n, "no message_start");
    items.check(reader.stopped, n, "no message_stop");
    items.check(reader.deltas == 1, n, format!("{} message_delta", reader.deltas));
}

impl Reader {
    fn step(&mut self, n: usize, step: &Step, items: &mut Items) {
        let kind = step.get("type").str();
        items.check(!self.stopped && !self.failed, n, format!("{kind} after the end"));
        items.check(self.started || matches!(kind, "message_start" | "error"), n, "no start");
        match kind {
            "message_start" => self.start(n, step.get("message"), items),
            "content_block_start" => self.open(n, step, items),
            "content_block_delta" => self.delta(n, step, items),
            "content_block_stop" => {
                items.check(self.is_open(step), n, "a stop of a block that is not open");
                if self.open.take().is_some() {
                    finish_input(items);
                }
            }
            "message_delta" => {
                items.check(self.open.is_none(), n, "message_delta inside of a block");
                let (delta, usage) = (step.get("delta"), step.get("usage"));
                items.check(!usage.get("output_tokens").is_null(), n, "no usage");
                self.deltas += 1;
                items.push(Json::object([
                    ("kind", Json::text("delta")),
                    ("stop_reason", delta.get("stop_reason").clone()),
                    ("stop_sequence", delta.get("stop_sequence").clone()),
                    ("usage", usage.clone()),
                ]));
            }
            "message_stop" => {
                items.check(self.deltas == 1, n, "message_stop without message_delta");
                self.stopped = true;
                items.push(Json::object([("kind", Json::text("stop"))]));
            }
            "error" => {
                self.failed = true;
                let error = only(step.get("error"), &["type", "message"]);
                items.push(Json::object([("kind", Json::text("error")), ("error", error)]));
            }
            kind => items.fault(n, format!("`{kind}` is unknown")),
        }
    }

    fn is_open(&self, step: &Step) -> bool {
        self.open.is_some() && step.get("index").int() == self.open
    }

    fn start(&mut self, n: usize, message: &Json, items: &mut Items) {
        items.check(!self.started, n, "a second message_start");
        self.started = true;
        let empty = matches!(message.get("content"), Json::List(content) if content.is_empty());
        items.check(empty, n, "the message begins with content");
        items.check(message.get("stop_reason").is_null(), n, "a stop reason at the start");
        items.check(message.get("type").str() == "message", n, "not a message");
        items.check(!message.get("usage").get("input_tokens").is_null(), n, "no usage");
        items.push(Json::object([
            ("kind", Json::text("start")),
            ("role", message.get("role").clone()),
            ("model", message.get("model").clone()),
            ("id", message.get("id").clone()),
        ]));
    }

    fn open(&mut self, n: usize, step: &Step, items: &mut Items) {
        items.check(self.open.is_none(), n, "a block inside of a block");
        items.check(self.deltas == 0, n, "a block after message_delta");
        items.check(step.get("index").int() == Some(self.blocks), n, "the indexes have a gap");
        self.open = step.get("index").int();
        self.blocks += 1;
        let block = step.get("content_block");
        let kind = block.get("type").str();
        let mut item = Json::object([
            ("kind", Json::text("block")),
            ("index", step.get("index").clone()),
            ("type", block.get("type").clone()),
        ]);
        let text = |name: &str| Json::text(block.get(name).str());
        match kind {
            "tool_use" => {
                let empty = matches!(block.get("input"), Json::Object(given) if given.is_empty());
                items.check(empty, n, "a call begins with its input");
                item.put("id", block.get("id").clone());
                item.put("name", block.get("name").clone());
                item.put("input", Json::text(""));
            }
            "thinking" => {
                item.put("thinking", text("thinking"));
                let proof = block.member("signature").filter(|proof| !proof.is_null());
                item.put("signature", proof.cloned().unwrap_or(Json::text("")));
            }
            "text" => {
                item.put("text", text("text"));
                if block.get("citations").is_something() {
                    item.put("citations", block.get("citations").clone());
                }
            }
            _ => {
                for (name, value) in block.members().iter().filter(|(name, _)| name != "type") {
                    item.put(name, value.clone());
                }
            }
        }
        items.push(item);
    }

    fn delta(&mut self, n: usize, step: &Step, items: &mut Items) {
        if !self.is_open(step) {
            return items.fault(n, "a delta of a block that is not open");
        }
        let delta = step.get("delta");
        let Some(item) = items.found.last_mut() else { return };
        let block = item.get("type").str().to_owned();
        match (delta.get("type").str(), &*block) {
            ("text_delta", "text") => append(item, "text", delta.get("text")),
            ("input_json_delta", "tool_use") => append(item, "input", delta.get("partial_json")),
            ("thinking_delta", "thinking") => append(item, "thinking", delta.get("thinking")),
            ("signature_delta", "thinking") => {
                let first = !item.get("signature").is_something();
                item.put("signature", delta.get("signature").clone());
                items.check(first, n, "a second signature");
            }
            ("citations_delta", "text") => {
                let mut all = item.get("citations").items().to_vec();
                all.push(delta.get("citation").clone());
                item.put("citations", Json::List(all));
            }
            (kind, block) => {
                let fault = format!("{kind} inside of a {block} block");
                items.fault(n, fault);
            }
        }
    }
}

/// The input of a call is compared as JSON.
fn finish_input(items: &mut Items) {
    let Some(item) = items.found.last_mut() else { return };
    if let Some(input) = item.get("input").as_text() {
        let text = if input.is_empty() { "{}" } else { input };
        let input = arguments(text);
        item.put("input", input);
    }
}
