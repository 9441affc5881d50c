//! A rule tested against the past: how often it would have fired, on which keys.
//!
//! It judges the attempts of logged calls as they were. What the rule would have changed about
//! the calls after it is not made up, and what no log keeps (headers, events of streams) is not
//! known. Recorded answers are only looked at for whoever may read them: else one could be guessed
//! from what matches.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use auth::{Actor, Permission};
use axum::{Json as Answer, extract::State};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    CompiledRule, Condition, ErrorClass, Fault, Observation, Upstream, UpstreamId,
    log::Attempt,
    rule::{Attempted, Subject, Tallies},
};
use serde::{Deserialize, Serialize};
use store::{PastCall, Store, StoreError};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::NewRule;
use crate::{
    app::Management,
    error::ApiError,
    input::{Id, Json, Query},
    permit::{ManageRules, With},
};

/// Most log entries that are looked at, the newest.
const CALLS_MAX: usize = 200_000;
/// How long one test may look.
const TIME_MAX: Duration = Duration::from_secs(5);
/// So many answers are held at a time.
const BODIES_AT_ONCE: usize = 100;
/// Most log entries that are shown.
const EXAMPLES_MAX: usize = 20;
/// Most keys that are shown.
const KEYS_MAX: usize = 100;
/// The longest past.
const HOURS_MAX: u32 = 720;

/// How long a past is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PastQuery {
    /// So many hours until now.
    #[param(minimum = 1, maximum = 720, default = 24)]
    hours: Option<u32>,
}

/// What a rule would have done in the past. Nothing was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Past {
    /// How often it would have fired.
    would_have_fired: u64,
    /// Attempts that met its conditions, whether or not the threshold was reached.
    met: u64,
    /// Attempts that it judged.
    calls: u64,
    /// The keys that it would have fired about, those most often first; at most 100.
    keys: Vec<FiredKey>,
    /// When it would have fired first.
    first: Option<DateTime<Utc>>,
    /// When it would have fired last.
    last: Option<DateTime<Utc>>,
    /// Log entries of calls at which it would have fired, the newest first; at most 20.
    examples: Vec<Uuid>,
    /// Attempts about which it could say nothing because their body was not recorded, or may not
    /// be read by whoever asks.
    body_unknown: u64,
    /// What it looks at and no log keeps, so that it is never met here.
    #[schema(example = json!(["header"]))]
    not_logged: Vec<&'static str>,
    /// The oldest call that was looked at.
    looked_back_to: Option<DateTime<Utc>>,
    /// Whether older calls of the wanted hours were left out: only the newest 200,000 are looked
    /// at, and for at most 5 seconds.
    truncated: bool,
}

/// A key that a rule would have fired about.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FiredKey {
    /// `null` for calls without a key.
    id: Option<i64>,
    /// What it was called then.
    name: Option<String>,
    /// Whose pool it is in.
    upstream_id: i64,
    /// How often.
    count: u64,
}

/// Test a rule against the past before it is made.
#[utoipa::path(post, path = "/api/admin/rules/test", tag = "rules", params(PastQuery), request_body = NewRule,
    responses((status = 200, description = "What the rule would have done", body = Past)))]
pub(crate) async fn test_rule(
    actor: With<ManageRules>,
    State(app): State<Management>,
    Query(query): Query<PastQuery>,
    Json(rule): Json<NewRule>,
) -> Result<Answer<Past>, ApiError> {
    let upstream = rule.upstream_id;
    let rule = rule.read();
    let mut faults = rule.as_ref().err().cloned().unwrap_or_default();
    faults.0.extend(missing(&app.store, &actor, upstream.map(UpstreamId)).await?);
    let rule = faults.none_or(()).and(rule).map_err(ApiError::Invalid)?;
    let bodies = actor.may(Permission::LogBody);
    Ok(Answer(against(&app.store, rule, bodies, query.from()?).await?))
}

/// Test a rule against the past.
#[utoipa::path(post, path = "/api/admin/rules/{id}/test", tag = "rules", params(("id" = i64, Path, description = "The id of the rule"), PastQuery),
    responses((status = 200, description = "What the rule would have done", body = Past)))]
pub(crate) async fn test_stored_rule(
    actor: With<ManageRules>,
    State(app): State<Management>,
    Id(id): Id,
    Query(query): Query<PastQuery>,
) -> Result<Answer<Past>, ApiError> {
    let rule: domain::Rule = app.get(&actor, id).await?.value;
    let rule = CompiledRule::compile(rule).map_err(ApiError::Invalid)?;
    let bodies = actor.may(Permission::LogBody);
    Ok(Answer(against(&app.store, rule, bodies, query.from()?).await?))
}

/// What is wrong with a rule whose upstream is not there: it is told when such a rule is made, too.
async fn missing(
    store: &Store,
    actor: &Actor,
    upstream: Option<UpstreamId>,
) -> Result<Option<Fault>, ApiError> {
    let Some(id) = upstream else { return Ok(None) };
    match store.seen_by(actor).get::<Upstream>(id).await {
        Ok(_) => Ok(None),
        Err(StoreError::NotFound(_)) => {
            Ok(Some(Fault::new("upstream_id", format!("there is no upstream {id}"))))
        }
        Err(other) => Err(other.into()),
    }
}

impl PastQuery {
    fn from(&self) -> Result<DateTime<Utc>, ApiError> {
        let hours = self.hours.unwrap_or(24);
        if !(1..=HOURS_MAX).contains(&hours) {
            return Err(ApiError::field("hours", format!("must be 1 to {HOURS_MAX}")));
        }
        Ok(Utc::now() - TimeDelta::hours(hours.into()))
    }
}

/// An attempt that was judged.
struct Judged {
    at_us: i64,
    of: Attempted,
    log: Uuid,
    met: bool,
}

/// What is gathered from the newest call to the oldest.
struct Search {
    rule: Arc<CompiledRule>,
    bodies: bool,
    judged: Vec<Judged>,
    names: HashMap<Attempted, String>,
    calls: u64,
    body_unknown: u64,
}

/// Judges what was logged since `from`.
async fn against(
    store: &Store,
    rule: CompiledRule,
    bodies: bool,
    from: DateTime<Utc>,
) -> Result<Past, ApiError> {
    let deadline = Instant::now() + TIME_MAX;
    let mut search = Search {
        rule: Arc::new(rule),
        bodies,
        judged: Vec::new(),
        names: HashMap::new(),
        calls: 0,
        body_unknown: 0,
    };
    let (mut seen, mut last, mut truncated) = (0, None::<PastCall>, false);
    loop {
        let page = store.past_calls(from.timestamp_micros(), last.as_ref()).await?;
        let Some(oldest) = page.last().cloned() else { break };
        if seen >= CALLS_MAX || Instant::now() >= deadline {
            truncated = true;
            break;
        }
        seen += page.len();
        search.page(store, page).await?;
        last = Some(oldest);
    }
    let looked_back_to = last.map(|call| moment(call.started_us));
    Ok(Past { looked_back_to, truncated, ..search.told() })
}

impl Search {
    /// Judges a page of calls.
    async fn page(&mut self, store: &Store, calls: Vec<PastCall>) -> Result<(), ApiError> {
        let mut wanting = Vec::new();
        for call in calls {
            if self.bodies && call.attempts.last().is_some_and(|last| self.wants_body(last)) {
                wanting.push(call);
            } else {
                self.call(&call, None);
            }
        }
        for calls in wanting.chunks(BODIES_AT_ONCE) {
            let ids: Vec<_> = calls.iter().map(|call| call.id).collect();
            let answers = store.recorded_answers(&ids).await?;
            for call in calls {
                self.call(call, answers.get(&call.id).map(Vec::as_slice));
            }
            // Looking into many bodies takes a while, and others have questions too.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Whether it depends on the answer what the rule says of an attempt.
    fn wants_body(&self, attempt: &Attempt) -> bool {
        self.rule.wants_body()
            && attempt.result == "answered"
            && self.concerns(attempt)
            && self.rule.may_fire(attempt.status, class(attempt))
    }

    fn concerns(&self, attempt: &Attempt) -> bool {
        self.rule.rule.upstream.is_none_or(|id| id == attempt.upstream)
    }

    /// Judges the attempts of a call, of which only the last can have given `answer`.
    fn call(&mut self, call: &PastCall, answer: Option<&[u8]>) {
        let all_count = self.rule.rule.counts_misses();
        for (i, attempt) in call.attempts.iter().enumerate() {
            if !self.concerns(attempt) {
                continue;
            }
            self.calls += 1;
            let body = answer.filter(|_| i + 1 == call.attempts.len());
            let class = class(attempt);
            let met = self.rule.judge(&Observation {
                status: attempt.status,
                class,
                body,
                latency: Some(Duration::from_micros(attempt.duration_us)),
                ..Observation::default()
            });
            let open = body.is_none() && self.rule.wants_body();
            if open && !met && self.rule.may_fire(attempt.status, class) {
                self.body_unknown += 1;
            }
            if met || all_count {
                let of = Attempted { upstream: attempt.upstream, key: attempt.provider_key };
                if let (true, Some(name)) = (met, &attempt.provider_key_name) {
                    self.names.entry(of).or_insert_with(|| name.clone());
                }
                let after = attempt.started_us.saturating_add(attempt.duration_us);
                let after = i64::try_from(after).unwrap_or(i64::MAX);
                let at_us = call.started_us.saturating_add(after);
                self.judged.push(Judged { at_us, of, log: call.id, met });
            }
        }
    }

    /// Counts towards the threshold, oldest first, and tells what came of it.
    fn told(mut self) -> Past {
        self.judged.sort_by_key(|judged| judged.at_us);
        let rule = &self.rule.rule;
        let observed = self.judged.iter().map(|judged| (judged.of, judged.met, judged.at_us));
        let firings = Tallies::replay(rule, observed);
        let mut counts = BTreeMap::<Attempted, u64>::new();
        let mut fired = Vec::<(i64, Uuid)>::new();
        for (judged, _) in self.judged.iter().zip(firings).filter(|(_, fires)| *fires) {
            *counts.entry(judged.of).or_default() += 1;
            fired.push((judged.at_us, judged.log));
        }
        let mut keys: Vec<_> = counts.into_iter().collect();
        keys.sort_by_key(|(of, count)| (std::cmp::Reverse(*count), *of));
        keys.truncate(KEYS_MAX);
        let key = |(of, count): (Attempted, u64)| FiredKey {
            id: of.key.map(|key| key.0),
            name: self.names.get(&of).cloned(),
            upstream_id: of.upstream.0,
            count,
        };
        let mut shown = HashSet::new();
        let examples = fired.iter().rev().map(|(_, log)| *log).filter(|log| shown.insert(*log));
        Past {
            would_have_fired: fired.len() as u64,
            met: self.judged.iter().filter(|judged| judged.met).count() as u64,
            calls: self.calls,
            keys: keys.into_iter().map(key).collect(),
            first: fired.first().map(|(at, _)| moment(*at)),
            last: fired.last().map(|(at, _)| moment(*at)),
            examples: examples.take(EXAMPLES_MAX).collect(),
            body_unknown: self.body_unknown,
            not_logged: not_logged(&rule.conditions),
            looked_back_to: None,
            truncated: false,
        }
    }
}

fn moment(us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(us).unwrap_or_default()
}

/// The class of a failed attempt. Older entries only say how it ended.
fn class(attempt: &Attempt) -> Option<ErrorClass> {
    let by_result = || match attempt.result.as_str() {
        "connect" | "tls" | "reset" => Some(ErrorClass::Network),
        "empty" => Some(ErrorClass::StreamError),
        other => ErrorClass::from_str(other).ok(),
    };
    attempt.class.or_else(by_result)
}

/// What conditions look at and no log keeps.
fn not_logged(conditions: &Condition) -> Vec<&'static str> {
    fn look(conditions: &Condition, found: &mut Vec<&'static str>) {
        match conditions {
            Condition::All { all: inner } | Condition::Any { any: inner } => {
                inner.iter().for_each(|one| look(one, found));
            }
            Condition::Not { not } => look(not, found),
            Condition::Is(test) => match test.subject {
                Subject::Header => found.push("header"),
                Subject::StreamEvent => found.push("stream_event"),
                _ => {}
            },
        }
    }
    let mut found = Vec::new();
    look(conditions, &mut found);
    found.sort_unstable();
    found.dedup();
    found
}
