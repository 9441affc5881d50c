//! Runs a case step by step and says what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    call::{Answer, Call, Cut, told_faults},
    canonical::canonical,
    case::{Case, Model},
    events,
    json::Json,
    matching::{Binds, Others, differences},
};

/// What is wrong with the conversation, in whatever pieces its answers come.
pub(crate) fn run(case: &Case, models: &BTreeMap<String, Model>) -> Vec<String> {
    let mut faults = Vec::new();
    for cut in [Cut::Whole, Cut::AsGiven, Cut::Bytes] {
        let mut binds = Binds::new();
        for (n, (step, target)) in case.steps().enumerate() {
            let wrong = run_step(case, step, &models[target], &mut binds, cut);
            faults.extend(wrong.iter().map(|fault| format!("step {n}, {cut:?}: {fault}")));
            if !wrong.is_empty() {
                return faults;
            }
        }
    }
    faults
}

fn run_step(case: &Case, step: &Json, model: &Model, binds: &mut Binds, cut: Cut) -> Vec<String> {
    let question = model.filled(step.get("request"), binds);
    let call = Call::put(case.client(), &question, model);
    let told = model.filled(step.get("upstream_request"), binds);
    let want = model.filled(step.get("client_response"), binds);
    let answered;
    let mut faults = Vec::new();
    let answer = match &call.told {
        Err(refusal) if told.is_null() => refusal,
        Err(refusal) => {
            return vec![format!("refused: {}", String::from_utf8_lossy(&refusal.body))];
        }
        Ok(got) if told.is_null() => {
            let body = String::from_utf8_lossy(&got.body);
            return vec![format!("it should have been refused; told was {body}")];
        }
        Ok(got) => {
            faults.extend(told_faults(&told, got, &model.dialect, binds));
            faults.extend(loss_faults(&want, &got.dropped));
            answered = call.answer(&model.filled(step.get("upstream_response"), binds), cut);
            &answered
        }
    };
    faults.extend(any_answer_faults(case, &want, answer, binds));
    faults
}

/// Every loss that the case tells must be named, and where it tells of none there must be none.
fn loss_faults(want: &Json, dropped: &[String]) -> Vec<String> {
    let wanted = want.get("warnings").items();
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let named = |want: &str| dropped.iter().any(|name| name == want || last(name) == last(want));
    let missing = wanted.iter().map(Json::str).filter(|want| !named(want));
    let mut faults: Vec<String> =
        missing.map(|want| format!("`{want}` is not named as lost, but {dropped:?}")).collect();
    if wanted.is_empty() && !dropped.is_empty() {
        faults.push(format!("{dropped:?} are named as lost"));
    }
    if dropped.iter().collect::<BTreeSet<_>>().len() != dropped.len() {
        faults.push(format!("a loss is named twice: {dropped:?}"));
    }
    faults
}

/// The faults of the answer by the best of the ways that the case allows.
fn any_answer_faults(case: &Case, want: &Json, got: &Answer, binds: &mut Binds) -> Vec<String> {
    let mut first = None;
    for want in std::iter::once(want).chain(want.get("or").items()) {
        let mut trial = binds.clone();
        let faults = answer_faults(case, want, got, &mut trial);
        if faults.is_empty() {
            *binds = trial;
            return faults;
        }
        first = first.or(Some(faults));
    }
    first.unwrap_or_default()
}

fn answer_faults(case: &Case, want: &Json, got: &Answer, binds: &mut Binds) -> Vec<String> {
    let dialect = case.client();
    let mut compare = |what: &str, want: &Json, got: &Json| {
        let faults = differences(want, got, binds, Others::Allowed);
        faults.into_iter().map(|fault| format!("{what} {fault}")).collect::<Vec<_>>()
    };
    let status = Json::Number(got.status.to_string());
    let mut faults = compare("status", want.get("status"), &status);
    for (name, want) in want.get("headers").members() {
        let value = match &**name {
            "content-type" => Json::text(got.content_type),
            "retry-after" => got.retry_after.map_or(Json::Null, |s| Json::text(s.to_string())),
            // Whatever else the gateway writes, nothing of the provider's comes through.
            _ => Json::Null,
        };
        faults.extend(compare(name, want, &value));
    }
    let text = String::from_utf8_lossy(&got.body);
    if let Some(events) = want.member("events") {
        if got.content_type != "text/event-stream" {
            faults.push(format!("no stream but {text}"));
            return faults;
        }
        let (steps, wrong) = events::read(dialect, &got.body);
        let (items, broken) = canonical(dialect, &steps);
        faults.extend(wrong.into_iter().chain(broken));
        let (wanted, _) = canonical(dialect, events.items());
        faults.extend(compare("stream", &Json::List(wanted), &Json::List(items)));
    } else if let Some(array) = want.member("json_array") {
        match Json::read(&got.body) {
            Ok(body) => {
                let (items, broken) = canonical(dialect, body.items());
                faults.extend(broken);
                let (wanted, _) = canonical(dialect, array.items());
                faults.extend(compare("array", &Json::List(wanted), &Json::List(items)));
            }
            Err(fault) => faults.push(format!("the list is not JSON: {fault}: {text}")),
        }
    } else if let Some(body) = want.member("body") {
        match Json::read(&got.body) {
            Ok(got) => faults.extend(compare("body", body, &got)),
            Err(fault) => faults.push(format!("the answer is not JSON: {fault}: {text}")),
        }
    }
    faults
}
