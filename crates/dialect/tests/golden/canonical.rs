//! What two equivalent streams have in common: a list of items, however the deltas were cut; and
//! what breaks the grammar of the dialect.

mod anthropic;
mod chat;
mod gemini;
mod responses;

use crate::{events::Step, json::Json};

/// The items of a stream, and the faults in it.
pub(crate) fn canonical(dialect: &str, steps: &[Step]) -> (Vec<Json>, Vec<String>) {
    let mut items = Items::default();
    match dialect {
        "openai-chat" => chat::read(steps, &mut items),
        "openai-responses" => responses::read(steps, &mut items),
        "anthropic" => anthropic::read(steps, &mut items),
        "gemini" => gemini::read(steps, &mut items),
        _ => panic!("`{dialect}` is no dialect"),
    }
    (items.found, items.faults)
}

/// What was found so far.
#[derive(Debug, Default)]
struct Items {
    found: Vec<Json>,
    faults: Vec<String>,
}

impl Items {
    fn push(&mut self, item: Json) {
        self.found.push(item);
    }

    fn fault(&mut self, n: usize, what: impl AsRef<str>) {
        self.faults.push(format!("event {n}: {}", what.as_ref()));
    }

    /// Notes a fault unless `good`.
    fn check(&mut self, good: bool, n: usize, what: impl AsRef<str>) {
        if !good {
            self.fault(n, what);
        }
    }

    /// Adds text to the last item if it is of the same kind, else begins one.
    fn text(&mut self, kind: &str, key: &Json, text: &Json) {
        if text.str().is_empty() {
            return;
        }
        let last = self.found.last_mut();
        let same = |item: &&mut Json| item.get("kind").str() == kind && item.get("key") == key;
        match last.filter(same) {
            Some(item) => append(item, "text", text),
            None => {
                let [kind, key, text] = [Json::text(kind), key.clone(), text.clone()];
                self.push(Json::object([("kind", kind), ("key", key), ("text", text)]));
            }
        }
    }
}

/// Adds text to the member `name`.
fn append(item: &mut Json, name: &str, more: &Json) {
    let whole = format!("{}{}", item.get(name).str(), more.str());
    item.put(name, Json::Text(whole));
}

/// Arguments of a call: as JSON where they are, else as text.
fn arguments(text: &str) -> Json {
    match Json::read(text.as_bytes()) {
        Ok(json) => Json::object([("json", json)]),
        Err(_) => Json::object([("text", Json::text(text))]),
    }
}

/// Those of `names` that `from` has.
fn only(from: &Json, names: &[&str]) -> Json {
    let given = names.iter().filter(|name| !from.get(name).is_null());
    Json::Object(given.map(|name| ((*name).to_owned(), from.get(name).clone())).collect())
}
