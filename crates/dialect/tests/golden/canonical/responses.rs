//! Streams of OpenAI Responses.

use std::collections::{BTreeMap, BTreeSet};

use super::{Items, arguments};
use crate::{events::Step, json::Json};

#[derive(Debug, Default)]
struct Reader {
    /// Items as they were added, and as they were done.
    added: Vec<Json>,
    done: BTreeMap<usize, Json>,
    ids: BTreeSet<String>,
    /// What deltas have said, by item, kind and part.
    said: BTreeMap<(usize, &'static str, i128), String>,
    end: Option<String>,
}

pub(super) fn read(steps: &[Step], items: &mut Items) {
    let mut reader = Reader::default();
    for (n, step) in steps.iter().enumerate() {
        let number = Some(n as i128);
        items.check(step.get("sequence_number").int() == number, n, "the numbers have a gap");
        reader.step(n, step, items);
    }
    items.check(reader.end.is_some(), steps.len(), "no terminal event");
    items.check(reader.ids.len() <= 1, steps.len(), "the id of the response changed");
}

impl Reader {
    fn step(&mut self, n: usize, step: &Step, items: &mut Items) {
        let kind = step.get("type").str();
        if let Some(end) = &self.end {
            let fault = format!("{kind} after {end}");
            items.fault(n, fault);
        }
        items.check(n != 0 || matches!(kind, "response.created" | "error"), n, "no beginning");
        let response = step.get("response");
        if !response.is_null() {
            self.ids.insert(response.get("id").str().to_owned());
        }
        match kind {
            "keepalive" => {}
            "response.created" | "response.in_progress" => {
                items.check(response.get("status").str() == "in_progress", n, "not in progress");
                items.check(response.get("output").items().is_empty(), n, "output at the start");
            }
            "response.output_item.added" => {
                let index = step.get("output_index").int();
                items.check(index == Some(self.added.len() as i128), n, "the indexes have a gap");
                items.check(self.added.len() == self.done.len(), n, "an item inside of an item");
                let item = step.get("item");
                items.check(item.get("id").is_something(), n, "an item without id");
                self.added.push(item.clone());
            }
            "response.output_item.done" => self.item_done(n, step, items),
            "response.completed" | "response.incomplete" | "response.failed" => {
                self.end(n, kind, response, items);
            }
            "error" => {
                self.end = Some(kind.to_owned());
                let error = super::only(step, &["code", "message"]);
                items.push(Json::object([("kind", Json::text("error")), ("error", error)]));
            }
            _ => self.inner(n, kind, step, items),
        }
    }

    fn inner(&mut self, n: usize, kind: &str, step: &Step, items: &mut Items) {
        let Some(at) = step.get("output_index").int().and_then(|at| usize::try_from(at).ok())
        else {
            return items.fault(n, format!("{kind} without output_index"));
        };
        let open = at + 1 == self.added.len() && !self.done.contains_key(&at);
        if !open {
            return items.fault(n, format!("{kind} of an item that is not open"));
        }
        let same = step.get("item_id") == self.added[at].get("id");
        items.check(same, n, format!("{kind} names another item"));
        let part = [step.get("content_index"), step.get("summary_index")];
        let part = part.iter().find_map(|index| index.int()).unwrap_or_default();
        let Some((of, what)) = kind.trim_start_matches("response.").rsplit_once('.') else {
            return items.fault(n, format!("`{kind}` is unknown"));
        };
        // The events of one text, the part that must be open for it, and where it is said whole.
        let (text, holder, whole) = match of {
            "content_part" | "reasoning_summary_part" => {
                let holder = if of == "content_part" { "content" } else { "summary" };
                let begun = self.said.contains_key(&(at, holder, part));
                items.check(begun == (what == "done"), n, format!("{kind} out of order"));
                self.said.entry((at, holder, part)).or_default();
                if what == "done" {
                    let said = match step.get("part").get("type").str() {
                        "refusal" => ("refusal", step.get("part").get("refusal")),
                        "summary_text" => ("summary_text", step.get("part").get("text")),
                        _ => ("text", step.get("part").get("text")),
                    };
                    let deltas = self.said.get(&(at, said.0, part)).map(String::as_str);
                    let adds_up = deltas.unwrap_or_default() == said.1.str();
                    items.check(adds_up, n, format!("{kind} is not what its deltas said"));
                }
                return;
            }
            "output_text" => ("text", "content", "text"),
            "refusal" => ("refusal", "content", "refusal"),
            "reasoning_summary_text" => ("summary_text", "summary", "text"),
            "reasoning_text" => ("reasoning_text", "", "text"),
            "function_call_arguments" => ("arguments", "", "arguments"),
            "custom_tool_call_input" => ("input", "", "input"),
            "output_text.annotation" => return,
            _ => return items.fault(n, format!("`{kind}` is unknown")),
        };
        let part_open = holder.is_empty() || self.said.contains_key(&(at, holder, part));
        items.check(part_open, n, format!("{kind} before its part"));
        let said = self.said.entry((at, text, part)).or_default();
        match what {
            "delta" => said.push_str(step.get("delta").str()),
            "done" => {
                let adds_up = said == step.get(whole).str();
                items.check(adds_up, n, format!("{kind} is not what its deltas said"));
            }
            _ => items.fault(n, format!("`{kind}` is unknown")),
        }
    }

    fn item_done(&mut self, n: usize, step: &Step, items: &mut Items) {
        let at = step.get("output_index").int().and_then(|at| usize::try_from(at).ok());
        let item = step.get("item");
        let Some((at, added)) = at.and_then(|at| Some((at, self.added.get(at)?))) else {
            return items.fault(n, "an item is done that was never added");
        };
        for name in ["id", "type", "call_id", "name"] {
            items.check(added.get(name).same(item.get(name)), n, format!("the {name} changed"));
        }
        for name in ["arguments", "input"] {
            let said = self.said.get(&(at, name, 0)).map(String::as_str);
            let whole = item.get(name).as_text().unwrap_or_default();
            let adds_up = said.unwrap_or_default() == whole;
            items.check(adds_up, n, format!("the {name} are not what their deltas said"));
        }
        items.check(self.done.insert(at, item.clone()).is_none(), n, "an item is done twice");
        items.push(one(item));
    }

    fn end(&mut self, n: usize, kind: &str, response: &Json, items: &mut Items) {
        self.end = Some(kind.to_owned());
        let status = kind.trim_start_matches("response.");
        items.check(response.get("status").str() == status, n, "another status than the event's");
        if kind != "response.failed" {
            items.check(self.added.len() == self.done.len(), n, "an item was never done");
            let output: Vec<Json> = response.get("output").items().iter().map(one).collect();
            let done: Vec<Json> = self.done.values().map(one).collect();
            let same = Json::List(output).same(&Json::List(done));
            items.check(same, n, "the output is not the items that were done");
        }
        items.push(last(response));
    }
}

/// What counts of an output item.
fn one(item: &Json) -> Json {
    let kind = item.get("type").clone();
    let mut found = Json::object([("kind", kind)]);
    let texts = |list: &Json| {
        Json::List(list.items().iter().map(|part| part.get("text").clone()).collect())
    };
    match item.get("type").str() {
        "message" => {
            found.put("role", item.get("role").clone());
            let parts = item.get("content").items().iter();
            found.put("content", Json::List(parts.map(content).collect()));
        }
        "function_call" => {
            found.put("call_id", item.get("call_id").clone());
            found.put("name", item.get("name").clone());
            let given = item.get("arguments");
            let given = given.as_text().map(arguments).unwrap_or_else(|| given.clone());
            found.put("arguments", given);
        }
        "custom_tool_call" => {
            for name in ["call_id", "name", "input"] {
                found.put(name, item.get(name).clone());
            }
        }
        "reasoning" => {
            found.put("summary", texts(item.get("summary")));
            if !item.get("encrypted_content").is_null() {
                found.put("encrypted_content", item.get("encrypted_content").clone());
            }
            if item.get("content").is_something() {
                found.put("content", texts(item.get("content")));
            }
        }
        _ => {
            for (name, value) in item.members() {
                found.put(name, value.clone());
            }
        }
    }
    if !item.get("namespace").is_null() {
        found.put("namespace", item.get("namespace").clone());
    }
    found
}

fn content(part: &Json) -> Json {
    match part.get("type").str() {
        "output_text" => {
            let mut text = super::only(part, &["type", "text"]);
            if part.get("annotations").is_something() {
                text.put("annotations", part.get("annotations").clone());
            }
            text
        }
        "refusal" => super::only(part, &["type", "refusal"]),
        _ => part.clone(),
    }
}

fn last(response: &Json) -> Json {
    let mut found = Json::object([("kind", Json::text("final"))]);
    for name in ["status", "incomplete_details", "error", "usage", "model"] {
        found.put(name, response.get(name).clone());
    }
    found
}
