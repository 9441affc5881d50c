//! Streams of Chat Completions.

use std::collections::{BTreeMap, BTreeSet};

use super::{Items, append, arguments, only};
use crate::{events::Step, json::Json};

#[derive(Debug, Default)]
struct Reader {
    ids: BTreeSet<String>,
    created: BTreeSet<String>,
    /// The roles seen of each candidate.
    roles: BTreeMap<i128, usize>,
    finished: BTreeSet<i128>,
    /// Where the calls of each candidate stand among the items.
    calls: BTreeMap<i128, Vec<usize>>,
    usage: bool,
    done: bool,
    failed: bool,
}

pub(super) fn read(steps: &[Step], items: &mut Items) {
    let mut reader = Reader::default();
    for (n, step) in steps.iter().enumerate() {
        reader.step(n, step, items);
    }
    let n = steps.len();
    items.check(reader.ids.len() <= 1, n, "the id changed");
    items.check(reader.created.len() <= 1, n, "the time changed");
    items.check(reader.done || reader.failed, n, "no [DONE]");
    for place in reader.calls.into_values().flatten() {
        let text = items.found[place].get("arguments").str().to_owned();
        items.found[place].put("arguments", arguments(&text));
    }
}

impl Reader {
    fn step(&mut self, n: usize, step: &Step, items: &mut Items) {
        items.check(!self.done, n, "something after [DONE]");
        items.check(!self.failed, n, "something after the error");
        if step.as_text() == Some("[DONE]") {
            self.done = true;
            return items.push(Json::object([("kind", Json::text("done"))]));
        }
        let error = step.get("error");
        if error.is_something() {
            self.failed = true;
            let error = only(error, &["message", "type", "code"]);
            return items.push(Json::object([("kind", Json::text("error")), ("error", error)]));
        }
        items.check(step.get("object").str() == "chat.completion.chunk", n, "not a chunk");
        items.check(!step.get("id").str().is_empty(), n, "no id");
        items.check(!step.get("model").str().is_empty(), n, "no model");
        items.check(step.get("created").int().is_some(), n, "no time");
        self.ids.insert(step.get("id").str().to_owned());
        self.created.insert(step.get("created").to_string());
        items.check(matches!(step.get("choices"), Json::List(_)), n, "choices is no list");
        for choice in step.get("choices").items() {
            self.choice(n, choice, items);
        }
        let usage = step.get("usage");
        if !usage.is_null() {
            items.check(!self.usage, n, "usage twice");
            items.check(step.get("choices").items().is_empty(), n, "usage beside choices");
            self.usage = true;
            items.push(Json::object([("kind", Json::text("usage")), ("usage", usage.clone())]));
        } else {
            items.check(!self.usage, n, "a chunk behind the usage");
            items.check(!step.get("choices").items().is_empty(), n, "an empty chunk");
        }
    }

    fn choice(&mut self, n: usize, choice: &Json, items: &mut Items) {
        let index = choice.get("index");
        let Some(number) = index.int() else { return items.fault(n, "a choice without index") };
        let delta = choice.get("delta");
        items.check(matches!(delta, Json::Object(_)), n, "delta is no object");
        let roles = self.roles.entry(number).or_default();
        if *roles == 0 || !delta.get("role").is_null() {
            *roles += 1;
            items.check(delta.get("role").str() == "assistant", n, "no role in the first delta");
            items.check(*roles == 1, n, "the role twice");
        }
        let content = ["reasoning_content", "content", "refusal", "tool_calls"];
        let late = content.iter().any(|name| delta.get(name).is_something());
        items.check(!(late && self.finished.contains(&number)), n, "content after the finish");
        items.text("reasoning", index, delta.get("reasoning_content"));
        items.text("text", index, delta.get("content"));
        items.text("refusal", index, delta.get("refusal"));
        for call in delta.get("tool_calls").items() {
            self.call(n, number, call, items);
        }
        let reason = choice.get("finish_reason");
        if reason.is_something() {
            items.check(self.finished.insert(number), n, "a second finish");
            items.push(Json::object([
                ("kind", Json::text("finish")),
                ("choice", index.clone()),
                ("reason", reason.clone()),
            ]));
        }
    }

    fn call(&mut self, n: usize, choice: i128, call: &Json, items: &mut Items) {
        let calls = self.calls.entry(choice).or_default();
        let Some(Ok(index)) = call.get("index").int().map(usize::try_from) else {
            return items.fault(n, "a call without index");
        };
        let function = call.get("function");
        let (id, name) = (call.get("id"), function.get("name"));
        if let Some(place) = calls.get(index) {
            items.check(!id.is_something(), n, "the id twice");
            items.check(!name.is_something(), n, "the name twice");
            items.check(call.get("type").is_null(), n, "the type twice");
            return append(&mut items.found[*place], "arguments", function.get("arguments"));
        }
        items.check(index == calls.len(), n, "the indexes have a gap");
        items.check(id.is_something() && name.is_something(), n, "a call without id or name");
        items.check(call.get("type").str() == "function", n, "a call without type");
        calls.push(items.found.len());
        let mut item = Json::object([
            ("kind", Json::text("tool")),
            ("choice", Json::Number(choice.to_string())),
            ("index", call.get("index").clone()),
            ("id", id.clone()),
            ("name", name.clone()),
            ("arguments", Json::text(function.get("arguments").str())),
        ]);
        let signature = call.get("extra_content").get("google").get("thought_signature");
        if !signature.is_null() {
            item.put("signature", signature.clone());
        }
        items.push(item);
    }
}
