//! The golden cases of `crates/dialect/golden`, from codec to codec and without a socket: what a
//! provider must be told, what a client must get, and what must be refused or named as lost.
//!
//! Whatever needs the gateway itself (credentials, the transparent road, lists of models, time) is
//! tried by `tests/wire` with the same cases.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer")]

mod call;
mod canonical;
mod case;
mod events;
mod example;
mod json;
mod matching;
mod profile;
mod run;
mod told;

use std::collections::{BTreeMap, BTreeSet};

use call::{Call, Cut};
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

/// Cases that need more than codecs, and what that is. `tests/wire` runs them.
const LEFT_OUT: &[(&str, &str)] = &[
    ("an-oc-80-bad-key", "service keys"),
    ("an-oc-81-unknown-model", "the routes of the gateway"),
    ("an-oc-84-nothing-held-back", "time"),
    ("an-oc-85-client-leaves", "a client that leaves"),
    ("ct-01-anthropic-on-chat", "the gateway's own estimate"),
    ("em-01-openai-on-gemini", "embeddings"),
    ("em-02-base64", "embeddings"),
    ("ge-an-80-bad-key", "service keys"),
    ("ge-oc-81-unknown-model", "the routes of the gateway"),
    ("ge-rs-84-nothing-held-back", "time"),
    ("ge-rs-85-client-leaves", "a client that leaves"),
    ("ml-01-openai", "the routes of the gateway"),
    ("ml-02-anthropic", "the routes of the gateway"),
    ("ml-03-gemini-v1beta", "the routes of the gateway"),
    ("ml-04-gemini-v1", "the routes of the gateway"),
    ("oc-an-24-error-401-hidden", "whose key it was"),
    ("oc-an-80-bad-key", "service keys"),
    ("oc-an-81-unknown-model", "the routes of the gateway"),
    ("oc-an-84-nothing-held-back", "time"),
    ("oc-an-85-client-leaves", "a client that leaves"),
    ("pt-an-01-headers", "the transparent road"),
    ("pt-an-02-own-signature-removed", "the transparent road"),
    ("pt-ge-01-v1", "the transparent road"),
    ("pt-oc-01-bytes", "the transparent road"),
    ("pt-oc-02-stream-bytes", "the transparent road"),
    ("pt-oc-03-error-bytes", "the transparent road"),
    ("pt-rs-01-unknown-events", "the transparent road"),
    ("pt-rs-02-own-proof-removed", "the transparent road"),
    ("rs-ge-80-bad-key", "service keys"),
    ("rs-ge-84-nothing-held-back", "time"),
    ("rs-ge-85-client-leaves", "a client that leaves"),
    ("rs-oc-81-unknown-model", "the routes of the gateway"),
];

#[test]
fn every_case_holds_from_codec_to_codec() {
    let models = Model::all();
    let left_out: BTreeMap<&str, &str> = LEFT_OUT.iter().copied().collect();
    let mut unheard: BTreeSet<&str> = left_out.keys().copied().collect();
    let mut report = String::new();
    let mut broken = 0;
    for case in Case::all() {
        if left_out.contains_key(&*case.name) {
            unheard.remove(&*case.name);
            continue;
        }
        let faults = std::panic::catch_unwind(|| run::run(&case, &models));
        let faults = faults.unwrap_or_else(|_| vec!["it panicked".to_owned()]);
        if !faults.is_empty() {
            broken += 1;
            let title = case.all.get("title").str();
            report += &format!("{}: {title}\n  {}\n", case.name, faults.join("\n  "));
        }
    }
    assert_eq!(unheard, BTreeSet::new(), "there are no such cases");
    assert!(report.is_empty(), "{broken} cases do not hold:\n{report}");
}

#[test]
fn a_case_names_no_rule_that_is_not_listed() {
    let listed: BTreeSet<String> = rules().into_keys().collect();
    for case in Case::all() {
        let unheard: Vec<&str> = case.rules().filter(|rule| !listed.contains(*rule)).collect();
        assert_eq!(unheard, [""; 0], "{}", case.name);
    }
}

/// What a case in a file cannot show, and the test that shows it.
const SHOWN_ELSEWHERE: &[(&str, &str)] =
    &[("SSE-3", "an_event_of_several_megabytes_in_small_pieces_is_whole")];

#[test]
fn an_event_of_several_megabytes_in_small_pieces_is_whole() {
    let model = &Model::all()["openai-chat"];
    let message = Json::object([("role", Json::text("user")), ("content", Json::text("x"))]);
    let body = Json::object([
        ("model", Json::text(&*model.alias)),
        ("max_tokens", Json::Number("64".to_owned())),
        ("messages", Json::List(vec![message])),
        ("stream", Json::Bool(true)),
    ]);
    let question = Json::object([("path", Json::text("/v1/messages")), ("body", body)]);
    let said = "ten letters".repeat(500_000);
    let event = format!(
        r#"data: {{"choices":[{{"index":0,"delta":{{"content":"{said}"}},"finish_reason":"stop"}}]}}"#
    );
    let chunks =
        event.as_bytes().chunks(1000).map(|piece| Json::text(str::from_utf8(piece).unwrap()));
    let answer = Json::object([
        ("status", Json::Number("200".to_owned())),
        ("chunks", Json::List(chunks.collect())),
    ]);
    let got = Call::put("anthropic", &question, model).answer(&answer, Cut::AsGiven);
    let (steps, faults) = events::read("anthropic", &got.body);
    assert_eq!(faults, [""; 0]);
    let (items, faults) = canonical::canonical("anthropic", &steps);
    assert_eq!(faults, [""; 0]);
    assert!(items.iter().any(|item| item.get("text").str() == said));
}

#[test]
fn every_rule_is_shown_by_a_case() {
    let cases = Case::all();
    let shown: BTreeSet<&str> = cases.iter().flat_map(Case::rules).collect();
    let elsewhere = |rule: &str| SHOWN_ELSEWHERE.iter().any(|(known, _)| *known == rule);
    let rules = rules();
    let open: Vec<&str> =
        rules.keys().map(|rule| &**rule).filter(|r| shown.contains(r) == elsewhere(r)).collect();
    assert_eq!(open, [""; 0], "each of these needs a case, or has one after all");
}

#[test]
fn every_pair_has_cases_with_a_stream_and_without() {
    const DIALECTS: [&str; 4] = ["openai-chat", "openai-responses", "anthropic", "gemini"];
    let mut found = BTreeSet::new();
    let cases = Case::all();
    for case in &cases {
        for (step, _) in case.steps() {
            let answer = step.get("upstream_response");
            found.insert((case.client(), case.upstream(), answer.member("chunks").is_some()));
        }
    }
    let pairs = DIALECTS.iter().flat_map(|client| DIALECTS.map(|target| (*client, target)));
    for (client, target) in pairs.filter(|(client, target)| client != target) {
        for stream in [false, true] {
            assert!(found.contains(&(client, target, stream)), "{client} {target} {stream}");
        }
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
