//! Streams of Gemini.

use std::collections::BTreeSet;

use super::{Items, only};
use crate::{events::Step, json::Json};

pub(super) fn read(steps: &[Step], items: &mut Items) {
    let mut finished = BTreeSet::new();
    let mut feedback = None;
    let mut usage = None;
    let mut failed = false;
    for (n, step) in steps.iter().enumerate() {
        items.check(!failed, n, "something after the error");
        if let Some(error) = step.member("error") {
            let first = step.members().first().is_some_and(|(name, _)| name == "error");
            items.check(first, n, "the error is not the first member");
            failed = true;
            let error = only(error, &["code", "status", "message"]);
            items.push(Json::object([("kind", Json::text("error")), ("error", error)]));
            continue;
        }
        items.check(matches!(step, Json::Object(_)), n, "not an object");
        for candidate in step.get("candidates").items() {
            one(n, candidate, &mut finished, items);
        }
        feedback = Some(step.get("promptFeedback")).filter(|f| f.is_something()).or(feedback);
        usage = Some(step.get("usageMetadata")).filter(|u| u.is_something()).or(usage);
    }
    if let Some(feedback) = feedback {
        let kind = Json::text("feedback");
        items.push(Json::object([("kind", kind), ("feedback", feedback.clone())]));
    }
    if let Some(usage) = usage {
        items.push(Json::object([("kind", Json::text("usage")), ("usage", usage.clone())]));
    }
    let ended = !finished.is_empty() || feedback.is_some() || failed;
    items.check(ended, steps.len(), "no finish reason");
}

fn one(n: usize, candidate: &Json, finished: &mut BTreeSet<i128>, items: &mut Items) {
    let zero = Json::Number("0".to_owned());
    let index = candidate.member("index").unwrap_or(&zero);
    let Some(number) = index.int() else { return items.fault(n, "an index that is no number") };
    for part in candidate.get("content").get("parts").items() {
        let empty = part.get("text").str().is_empty() && part.member("functionCall").is_none();
        items.check(empty || !finished.contains(&number), n, "content after the finish");
        let plain = part.members().iter().all(|(name, _)| matches!(&**name, "text" | "thought"));
        if plain && part.member("text").is_some() {
            let kind = if part.get("thought").is_something() { "thought" } else { "text" };
            items.text(kind, index, part.get("text"));
            continue;
        }
        let args = part.get("functionCall").get("args");
        let object = args.is_null() || matches!(args, Json::Object(_));
        items.check(object, n, "arguments that are no object");
        items.push(Json::object([
            ("kind", Json::text("part")),
            ("choice", index.clone()),
            ("part", part.clone()),
        ]));
    }
    let reason = candidate.get("finishReason");
    if reason.is_something() {
        items.check(finished.insert(number), n, "a second finish");
        items.push(Json::object([
            ("kind", Json::text("finish")),
            ("choice", index.clone()),
            ("reason", reason.clone()),
        ]));
    }
}
