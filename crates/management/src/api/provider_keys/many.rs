//! Many provider keys at once: which are meant, what is done to them; and asking providers about
//! them.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use axum::{Json as Answer, extract::State};
use chrono::{DateTime, Utc};
use domain::{Faults, ProviderKeyId, UpstreamId};
use serde::{Deserialize, Serialize};
use store::{KeyBulk, ProviderKeyFilter, ProviderKeyRow};
use tokio::{task::JoinSet, time::Instant};
use utoipa::ToSchema;

use super::KeyStateNow;
use crate::{
    api::{values::milliseconds, visible},
    app::Management,
    error::ApiError,
    input::{Id, Input, Json},
    permit::{ManageProviderKeys, With},
    render::Failure,
};

/// Most keys that are tested at once by one call.
const TESTED_MAX: usize = 1000;
/// So many providers are asked at the same time.
const AT_ONCE: usize = 16;
/// How long all tests of one call may take; it is less than a request may.
const TESTS_TIMEOUT: Duration = Duration::from_secs(25);

/// Which provider keys are meant; what is not given leaves none out.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyFilter {
    /// Only keys of this upstream's pool.
    pub(super) upstream_id: Option<i64>,
    /// Only keys that stand so now.
    pub(super) state: Option<KeyStateNow>,
    /// Only keys of this quota group.
    pub(super) quota_group: Option<String>,
    /// Only keys with these characters in their name.
    pub(super) search: Option<String>,
}

impl KeyFilter {
    /// The same as far as columns say it, of the keys of `owner` where that is given.
    pub(super) fn stored(self, owner: Option<domain::UserId>) -> ProviderKeyFilter {
        ProviderKeyFilter {
            upstream: self.upstream_id.map(UpstreamId),
            state: self.state.and_then(KeyStateNow::decided),
            group: self.quota_group,
            search: self.search.filter(|text| !text.trim().is_empty()),
            owner,
        }
    }
}

/// What is to be done to which keys.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"ids": [1, 2, 3], "action": "disable"}))]
pub(crate) struct ChangeManyKeys {
    /// These keys, at most 100,000. Either this or `filter`.
    ids: Option<Vec<i64>>,
    /// All keys that are so. Either this or `ids`.
    filter: Option<KeyFilter>,
    /// What is done with them.
    action: Bulk,
}

/// What can be done to many keys. `enable` also voids what the gateway concluded about them;
/// `test` asks their providers about them, at most 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Bulk {
    Enable,
    Disable,
    Ban,
    Delete,
    Test,
}

impl Input for ChangeManyKeys {
    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if self.ids.is_some() == self.filter.is_some() {
            faults.add("ids", "either `ids` or `filter` must be given");
        }
        faults
    }
}

/// What was done to many keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ManyKeysChanged {
    /// How many keys were meant.
    matched: u64,
    /// How many of them there are and were changed; or whose provider answered in time, of a test.
    done: u64,
    /// What the providers said, where they were asked: one for each key that there is.
    tests: Vec<TestedKey>,
}

/// What a provider says of one of many keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestedKey {
    /// Its id.
    id: i64,
    #[serde(flatten)]
    test: KeyTest,
}

/// What a provider says of a key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyTest {
    /// Whether it is accepted; `null` where the provider could not be asked.
    accepted: Option<bool>,
    /// The provider's status, where one came.
    status: Option<u16>,
    /// How long the provider took to answer, in milliseconds.
    latency_ms: f64,
    /// Why not, or why nobody knows; or that the key rests all the same, and what ends that.
    message: Option<String>,
    /// Until when the key rests although the provider accepts it: a list of models says nothing of
    /// limits. `PATCH /api/admin/keys/{id} {"state": "active"}` ends it.
    resting_until: Option<DateTime<Utc>>,
}

impl KeyTest {
    /// Of a key about which nothing was heard before the time was over.
    fn unanswered() -> Self {
        let message = Some("there was no answer in time; ask again".to_owned());
        Self { accepted: None, status: None, latency_ms: 0.0, message, resting_until: None }
    }
}

impl From<domain::live::KeyTest> for KeyTest {
    fn from(test: domain::live::KeyTest) -> Self {
        Self {
            accepted: test.accepted,
            status: test.status,
            latency_ms: milliseconds(test.latency),
            message: test.words,
            resting_until: test.resting_until,
        }
    }
}

/// Enable, disable, ban, delete or test many keys. Each is one change: of all of them, or of none.
#[utoipa::path(post, path = "/api/admin/keys/bulk", tag = "provider keys", request_body = ChangeManyKeys,
    responses((status = 200, description = "What became of the keys", body = ManyKeysChanged)))]
pub(crate) async fn change_many_keys(
    actor: With<ManageProviderKeys>,
    State(app): State<Management>,
    Json(many): Json<ChangeManyKeys>,
) -> Result<Answer<ManyKeysChanged>, ApiError> {
    many.faults().none_or(()).map_err(ApiError::Invalid)?;
    let bulk = match many.action {
        Bulk::Enable => KeyBulk::State(domain::KeyState::Active),
        Bulk::Disable => KeyBulk::State(domain::KeyState::Disabled),
        Bulk::Ban => KeyBulk::State(domain::KeyState::Banned),
        Bulk::Delete => KeyBulk::Delete,
        Bulk::Test => return test_many(&app, actor.confined_to(), many).await.map(Answer),
    };
    let ids = match (many.ids, many.filter) {
        (Some(ids), _) => ids.into_iter().map(ProviderKeyId).collect(),
        (None, filter) => {
            let rows = meant(&app, actor.confined_to(), filter.unwrap_or_default()).await?;
            rows.iter().map(|row| row.id).collect::<Vec<_>>()
        }
    };
    let done = app.store.change_provider_keys(&actor, &ids, bulk).await?;
    Ok(Answer(ManyKeysChanged { matched: ids.len() as u64, done, tests: Vec::new() }))
}

/// Ask the provider whether it accepts a key, with a question that costs nothing.
#[utoipa::path(post, path = "/api/admin/keys/{id}/test", tag = "provider keys", params(("id" = i64, Path, description = "The id of the provider key")),
    responses((status = 200, description = "What the provider said", body = KeyTest),
        (status = 503, description = "No data plane runs in this process, or the database is not available", body = Failure)))]
pub(crate) async fn test_provider_key(
    actor: With<ManageProviderKeys>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<KeyTest>, ApiError> {
    let row = app.store.provider_key(ProviderKeyId(id)).await?;
    let row = visible(&actor, row.owner, "provider key", row)?;
    let asked = app.data_plane()?.test_key(row.upstream, row.id);
    let test = tokio::time::timeout(TESTS_TIMEOUT, asked).await.map_err(|_| ApiError::TimedOut)?;
    Ok(Answer(test.into()))
}

/// The keys that a filter means now.
pub(super) async fn meant(
    app: &Management,
    owner: Option<domain::UserId>,
    filter: KeyFilter,
) -> Result<Vec<ProviderKeyRow>, ApiError> {
    let state = filter.state;
    let rows = app.store.every_provider_key(&filter.stored(owner)).await?;
    let Some(state) = state else { return Ok(rows) };
    let keys = app.store.kept_keys(rows).await?;
    Ok(keys.into_iter().filter(|key| app.stands(key).state == state).map(|key| key.row).collect())
}

async fn test_many(
    app: &Management,
    owner: Option<domain::UserId>,
    many: ChangeManyKeys,
) -> Result<ManyKeysChanged, ApiError> {
    let live = app.data_plane()?;
    let too_many = |field: &str| ApiError::field(field, "must match at most 1000 keys");
    let (matched, rows) = match (many.ids, many.filter) {
        (Some(ids), _) if ids.len() > TESTED_MAX => return Err(too_many("ids")),
        (Some(ids), _) => {
            let wanted: Vec<_> = ids.into_iter().map(ProviderKeyId).collect();
            (wanted.len(), app.store.these_provider_keys(&wanted, owner).await?)
        }
        (None, filter) => {
            let rows = meant(app, owner, filter.unwrap_or_default()).await?;
            (rows.len(), rows)
        }
    };
    if rows.len() > TESTED_MAX {
        return Err(too_many("filter"));
    }
    let keys = rows.iter().map(|row| (row.upstream, row.id)).collect();
    let live = Arc::clone(live);
    let test = move |upstream, key| {
        let live = Arc::clone(&live);
        async move { live.test_key(upstream, key).await }
    };
    let (done, tests) = ask(keys, Instant::now() + TESTS_TIMEOUT, test).await;
    Ok(ManyKeysChanged { matched: matched as u64, done, tests })
}

/// Asks about each key, some at a time, as long as there is time. Tells of how many there was an
/// answer, and what is known of each.
async fn ask<F>(
    keys: Vec<(UpstreamId, ProviderKeyId)>,
    until: Instant,
    test: impl Fn(UpstreamId, ProviderKeyId) -> F,
) -> (u64, Vec<TestedKey>)
where
    F: Future<Output = domain::live::KeyTest> + Send + 'static,
{
    let mut waiting = keys.iter();
    let mut asking = JoinSet::new();
    let mut answers = HashMap::new();
    loop {
        while asking.len() < AT_ONCE
            && let Some(&(upstream, key)) = waiting.next()
        {
            let answer = test(upstream, key);
            asking.spawn(async move { (key, answer.await) });
        }
        match tokio::time::timeout_at(until, asking.join_next()).await {
            Ok(Some(answer)) => answers.extend(answer.ok()),
            // All are asked, or there is no more time: what is still under way ends here.
            Ok(None) | Err(_) => break,
        }
    }
    let answered = answers.len() as u64;
    let told = |(_, key): (UpstreamId, ProviderKeyId)| TestedKey {
        id: key.0,
        test: answers.remove(&key).map_or_else(KeyTest::unanswered, Into::into),
    };
    let mut tests: Vec<_> = keys.into_iter().map(told).collect();
    tests.sort_by_key(|test| test.id);
    (answered, tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_without_an_answer_is_told_as_such() {
        let keys = (1..=40).map(|id| (UpstreamId(1), ProviderKeyId(id))).collect();
        // The odd ones never answer: soon nobody else is asked.
        let test = |_, key: ProviderKeyId| async move {
            if key.0 % 2 == 1 {
                std::future::pending::<()>().await;
            }
            let latency = Duration::from_millis(3);
            domain::live::KeyTest {
                accepted: Some(true),
                status: Some(200),
                latency,
                words: None,
                resting_until: None,
            }
        };
        let (answered, tests) = ask(keys, Instant::now() + Duration::from_millis(50), test).await;
        assert!(tests.iter().map(|test| test.id).eq(1..=40));
        for TestedKey { id, test } in &tests {
            let late = test.message.as_deref().is_some_and(|words| words.contains("in time"));
            assert_eq!(test.accepted.is_none(), late, "{id}");
            assert!(late || id % 2 == 0, "{id}");
        }
        let accepted = tests.iter().filter(|test| test.test.accepted == Some(true)).count();
        assert_eq!(accepted as u64, answered);
        assert!((1..=20).contains(&answered), "{answered}");
    }
}
