//! Decodes streams of Responses.
//!
//! The same content is sent up to four times: in deltas, at the end of a part, at the end of an
//! item, and in the final response. The first one is used, and no content is emitted twice
//! (S-IN-6). `item` keeps the state of an item.

mod item;

use item::{Call, Item, Kind, Thought};

use super::{
    decode_answer::{call_id, citation, finish, logprobs, name, usage},
    failed,
};
use crate::{
    DecodeStream, Failure, Names, Value,
    chat::{Event, Opening},
};

/// Decodes a stream.
#[derive(Debug)]
pub(super) struct Reader {
    names: Names,
    items: Vec<Item>,
    /// The number of the next block.
    next: u32,
    called: bool,
    started: bool,
    ended: bool,
}

type Emit<'e> = &'e mut dyn FnMut(Event<'_>);

impl Reader {
    pub(super) fn new(names: Names) -> Reader {
        Reader { names, items: Vec::new(), next: 0, called: false, started: false, ended: false }
    }

    fn start(&mut self, emit: Emit<'_>) {
        if !std::mem::replace(&mut self.started, true) {
            emit(Event::Start);
        }
    }

    fn fail(&mut self, failure: Failure, emit: Emit<'_>) {
        self.ended = true;
        emit(Event::Failed(failure));
    }

    /// Returns the item of an event.
    fn item(&mut self, event: &Value<'_>) -> Option<&mut Item> {
        let id = event.get("item_id").text();
        let nth = match event.get("output_index").u64() {
            Some(index) => self.items.iter().rposition(|item| item.index == index),
            None => self.items.iter().rposition(|item| id.is_some_and(|id| item.id == id)),
        };
        self.items.get_mut(nth?)
    }

    /// Handles the beginning of an item.
    fn added(&mut self, index: Option<u64>, value: &Value<'_>, emit: Emit<'_>) -> usize {
        let nth = self.items.len();
        let index = index.unwrap_or(nth as u64);
        let id = value.get("id").text().unwrap_or_default().to_owned();
        let kind = match value.get("type").text() {
            Some("message") => Kind::Message(Vec::new()),
            Some("reasoning") => Kind::Thinking(Thought::default()),
            Some(kind @ ("function_call" | "custom_tool_call")) => {
                self.called = true;
                let block = take(&mut self.next);
                let opening = Opening::Call {
                    id: call_id(value, nth, &self.names),
                    name: name(value, &self.names, kind == "custom_tool_call"),
                };
                emit(Event::Open { choice: 0, block, opening });
                Kind::Call(Call::new(block, kind == "custom_tool_call"))
            }
            // Hosted tools and unknown items.
            _ => Kind::Other,
        };
        self.items.push(Item { index, id, kind, done: false });
        nth
    }

    /// Handles the end of an item.
    fn done(&mut self, index: Option<u64>, value: &Value<'_>, emit: Emit<'_>) {
        let id = value.get("id").text().filter(|id| !id.is_empty());
        let known = |item: &Item| match index {
            Some(index) => item.index == index,
            None => id == Some(&*item.id),
        };
        let nth = match self.items.iter().rposition(known) {
            Some(nth) => nth,
            None => self.added(index, value, emit),
        };
        self.items[nth].finish(value, &mut self.next, emit);
    }

    /// Handles the regular end of the response.
    fn terminal(&mut self, response: &Value<'_>, emit: Emit<'_>) {
        for (nth, value) in (0..).zip(response.get("output").items()) {
            let id = value.get("id").text().filter(|id| !id.is_empty());
            let by_id = self.items.iter().find(|item| id == Some(&*item.id));
            let known = by_id.or_else(|| self.items.iter().find(|item| item.index == nth));
            match known {
                Some(item) if item.done => {}
                Some(item) => self.done(Some(item.index), value, emit),
                None => self.done(Some(nth), value, emit),
            }
        }
        for item in &mut self.items {
            item.close(emit);
        }
        if let Some(tokens) = usage(response) {
            emit(Event::Usage(tokens));
        }
        emit(Event::Finish { choice: 0, finish: finish(response, self.called) });
        emit(Event::End);
        self.ended = true;
    }

    /// Handles a delta of a text or refusal, or the whole if no delta came before.
    fn part(
        &mut self,
        event: &Value<'_>,
        opening: Opening<'_>,
        member: &str,
        whole: bool,
        emit: Emit<'_>,
    ) {
        let mut next = self.next;
        let index = event.get("content_index").u64().unwrap_or(0);
        if let Some(item) = self.item(event) {
            let text = event.get(member);
            let list = logprobs(event.get("logprobs"));
            item.part(index, opening, text, whole, list, &mut next, emit);
        }
        self.next = next;
    }

    /// Handles a delta of reasoning, or a whole part if no delta came before.
    fn thought(&mut self, event: &Value<'_>, summary: bool, whole: bool, emit: Emit<'_>) {
        let mut next = self.next;
        let [place, member] = match (summary, whole) {
            (true, false) => ["summary_index", "delta"],
            (true, true) => ["summary_index", "text"],
            (false, false) => ["content_index", "delta"],
            (false, true) => ["content_index", "text"],
        };
        let index = event.get(place).u64().unwrap_or(0);
        let text = event.find(member).or_else(|| event.get("part").find("text"));
        if let (Some(item), Some(text)) = (self.item(event), text) {
            item.thought((summary, index), text, whole, &mut next, emit);
        }
        self.next = next;
    }

    fn whole_part(&mut self, event: &Value<'_>, emit: Emit<'_>) {
        let mut next = self.next;
        let index = event.get("content_index").u64().unwrap_or(0);
        if let Some(item) = self.item(event) {
            item.whole_part(index, event.get("part"), &mut next, emit);
        }
        self.next = next;
    }

    fn step(&mut self, kind: &str, event: &Value<'_>, data: &[u8], emit: Emit<'_>) {
        match kind {
            "response.created" | "response.in_progress" | "response.queued" => self.start(emit),
            "response.completed" | "response.incomplete" => {
                self.start(emit);
                self.terminal(event.get("response"), emit);
            }
            "response.failed" | "response.cancelled" | "error" => {
                let failure = failed::of_data(data, event);
                let silent = || failed::nonsense("the provider gave the answer up");
                self.fail(failure.unwrap_or_else(silent), emit);
            }
            "response.output_item.added" => {
                self.start(emit);
                self.added(event.get("output_index").u64(), event.get("item"), emit);
            }
            "response.output_item.done" => {
                self.start(emit);
                self.done(event.get("output_index").u64(), event.get("item"), emit);
            }
            "response.output_text.delta" => self.part(event, Opening::Text, "delta", false, emit),
            "response.output_text.done" => self.part(event, Opening::Text, "text", true, emit),
            "response.refusal.delta" => self.part(event, Opening::Refusal, "delta", false, emit),
            "response.refusal.done" => self.part(event, Opening::Refusal, "refusal", true, emit),
            "response.content_part.done" => self.whole_part(event, emit),
            "response.output_text.annotation.added" => {
                let index = event.get("content_index").u64().unwrap_or(0);
                let cited = citation(event.get("annotation"));
                if let (Some(item), Some(cited)) = (self.item(event), cited) {
                    item.cite(index, cited, emit);
                }
            }
            "response.reasoning_summary_text.delta" => self.thought(event, true, false, emit),
            "response.reasoning_summary_text.done" | "response.reasoning_summary_part.done" => {
                self.thought(event, true, true, emit);
            }
            "response.reasoning_text.delta" => self.thought(event, false, false, emit),
            "response.reasoning_text.done" => self.thought(event, false, true, emit),
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                if let Some(item) = self.item(event) {
                    item.input(event.get("delta"), false, emit);
                }
            }
            "response.function_call_arguments.done" => self.input_done(event, "arguments", emit),
            "response.custom_tool_call_input.done" => self.input_done(event, "input", emit),
            _ => {}
        }
    }

    fn input_done(&mut self, event: &Value<'_>, member: &str, emit: Emit<'_>) {
        if let Some(item) = self.item(event) {
            item.input(event.get(member), true, emit);
            item.close(emit);
        }
    }
}

/// Returns the number and increments it.
fn take(next: &mut u32) -> u32 {
    let block = *next;
    *next += 1;
    block
}

impl DecodeStream for Reader {
    fn event(&mut self, name: Option<&[u8]>, data: &[u8], emit: &mut dyn FnMut(Event<'_>)) {
        let data = data.trim_ascii();
        if self.ended || data.is_empty() || data == b"[DONE]" {
            return;
        }
        let Ok(event) = Value::read(data) else {
            return self.fail(failed::nonsense("an event of the provider is not valid JSON"), emit);
        };
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        match event.get("type").text().or(name) {
            Some(kind) => self.step(kind, &event, data, emit),
            // Compatible servers send errors in the form of Chat Completions.
            None => {
                if let Some(failure) = failed::of_data(data, &event) {
                    self.fail(failure, emit);
                }
            }
        }
    }

    fn finish(&mut self, emit: &mut dyn FnMut(Event<'_>)) {
        if !self.ended {
            self.fail(failed::nonsense("the provider's stream broke off"), emit);
        }
    }
}
