//! The golden cases of `crates/dialect/golden`, from codec to codec and without a socket: what a
//! provider must be told, what a client must get, and what must be refused or named as lost.
//!
//! Whatever needs the gateway itself (credentials, the transparent road, lists of models, time) is
//! tried by `tests/wire` with the same cases.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer")]

mod canonical;
mod case;
mod events;
mod example;
mod json;
mod matching;
mod told;

use std::collections::BTreeSet;

use case::{Case, Model, rules};
use json::Json;
use matching::{Binds, Others, differences};

#[test]
fn every_case_is_possible_by_its_own_words() {
    let models = Model::all();
    for case in Case::all() {
        let mut binds = Binds::new();
        let first = &models[case.all.get("target").str()];
        assert_eq!(first.dialect, case.upstream(), "{}", case.name);
        assert!(!first.profile.members().is_empty(), "{}", case.name);
        for (step, target) in case.steps() {
            let model = &models[target];
            let answers = step.get("client_response").get("or").items();
            for want in std::iter::once(step.get("client_response")).chain(answers) {
                let want = model.filled(want, &binds);
                let faults = [answer_faults(&case, &want, &mut binds), stream_faults(&case, &want)];
                assert_eq!(faults.concat(), [""; 0], "{}", case.name);
            }
            let told = model.filled(step.get("upstream_request").get("body"), &binds);
            let body = told::plainly(&model.dialect, example::example(&told, &mut binds));
            let faults = differences(&told, &body, &mut binds, Others::Faulty);
            assert_eq!(faults, [""; 0], "{}", case.name);
        }
    }
}

#[test]
fn a_case_names_no_rule_that_is_not_listed() {
    let listed: BTreeSet<String> = rules().into_keys().collect();
    for case in Case::all() {
        let unheard: Vec<&str> = case.rules().filter(|rule| !listed.contains(*rule)).collect();
        assert_eq!(unheard, [""; 0], "{}", case.name);
    }
}

/// What is wrong with the answer that a case itself expects.
fn answer_faults(case: &Case, want: &Json, binds: &mut Binds) -> Vec<String> {
    let body = want.get("body");
    let example = example::example(body, binds);
    let mut faults = differences(body, &example, binds, Others::Allowed);
    let error = want.get("status").int() != Some(200) && !body.is_null();
    if error && case.client() == "anthropic" && example.get("type").str() != "error" {
        faults.push("an error of Anthropic is not called so".to_owned());
    }
    faults
}

/// What is wrong with the stream that a case itself expects.
fn stream_faults(case: &Case, want: &Json) -> Vec<String> {
    let (expected, is_array) = match want.member("events") {
        Some(events) => (events, false),
        None => (want.get("json_array"), true),
    };
    if expected.is_null() {
        return Vec::new();
    }
    let mut binds = Binds::new();
    let examples = example::example(expected, &mut binds);
    let mut faults = Vec::new();
    let mut steps = examples.items().to_vec();
    if !is_array {
        (steps, faults) = events::read(case.client(), framed(case.client(), &steps).as_bytes());
    }
    let (got, broken) = canonical::canonical(case.client(), &steps);
    faults.extend(broken);
    let (items, _) = canonical::canonical(case.client(), expected.items());
    let [want, got] = [Json::List(items), Json::List(got)];
    faults.extend(differences(&want, &got, &mut Binds::new(), Others::Allowed));
    faults
}

fn framed(dialect: &str, steps: &[Json]) -> String {
    let named = matches!(dialect, "anthropic" | "openai-responses");
    let frame = |step: &Json| match step.as_text() {
        Some(text) => format!("data: {text}\n\n"),
        None if named => format!("event: {}\ndata: {step}\n\n", step.get("type").str()),
        None => format!("data: {step}\n\n"),
    };
    steps.iter().map(frame).collect()
}
