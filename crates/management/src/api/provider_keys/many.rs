//! Many provider keys at once: which are meant, what is done to them; and asking providers about
//! them.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use axum::{Json as Answer, extract::State};
use chrono::{DateTime, Utc};
use domain::{Faults, ProviderKeyId, UpstreamId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use store::{KeyBulk, KeySet, KeysChanged, MaskedKey, ProviderKeyFilter, Stored, WhichKeys};
use tokio::{task::JoinSet, time::Instant};
use utoipa::ToSchema;

use super::KeyStateNow;
use crate::{
    api::values::milliseconds,
    app::Management,
    error::ApiError,
    input::{Id, Input, Json, nullable},
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
    /// Only keys with this tag.
    pub(super) tag: Option<String>,
    /// Only keys with these characters in their name, whose value ends so as far as the mask shows
    /// it, or whose whole value this is.
    pub(super) search: Option<String>,
}

impl KeyFilter {
    /// The same as far as columns say it.
    pub(super) fn stored(self) -> ProviderKeyFilter {
        ProviderKeyFilter {
            upstream: self.upstream_id.map(UpstreamId),
            state: self.state.and_then(KeyStateNow::decided),
            group: self.quota_group,
            tag: self.tag,
            search: self.search.filter(|text| !text.trim().is_empty()),
            ids: None,
        }
    }
}

/// What is to be done to which keys.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"ids": [1, 2, 3], "action": "disable"}))]
pub(crate) struct ChangeManyKeys {
    /// These keys, at most 100,000. One of `ids`, `values`, `filter` and `all` says which are meant.
    ids: Option<Vec<i64>>,
    /// The keys with these secrets, in whichever pools, at most 100,000.
    #[schema(value_type = Option<Vec<String>>)]
    values: Option<Vec<SecretString>>,
    /// All keys that are so. One that names nothing means every key there is: it is refused unless
    /// `all` is true.
    filter: Option<KeyFilter>,
    /// Every key of every upstream is meant.
    #[serde(default)]
    all: bool,
    /// What is done with them.
    action: Bulk,
    /// What the keys get, with the action `set`.
    set: Option<SetKeys>,
    /// Only tell how many keys are meant.
    #[serde(default)]
    dry_run: bool,
    /// How many keys are meant, as a dry run told it: nothing is done where it is another number by
    /// then. Required for `delete` by `filter` or `all`.
    confirm: Option<u64>,
}

/// What can be done to many keys. `enable` also voids what the gateway concluded about them; `set`
/// gives them the values of `set`; `test` asks their providers about them, at most 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Bulk {
    Enable,
    Disable,
    Ban,
    Set,
    Delete,
    Test,
}

/// What many keys get; what is not given stays.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetKeys {
    /// 1 to 1000.
    weight: Option<u32>,
    /// `null` takes them out of their groups.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    quota_group: Option<Option<String>>,
    /// What people note about them.
    note: Option<String>,
}

impl Input for ChangeManyKeys {
    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let filter = self.filter.as_ref().is_some_and(|filter| !filter.names_nothing());
        let given = [self.ids.is_some(), self.values.is_some(), filter, self.all];
        match given.into_iter().filter(|given| *given).count() {
            1 if self.filter.is_none() || filter || self.all => {}
            0 if self.filter.is_some() => faults.add(
                "filter",
                "names nothing, which means every key of every upstream; say `\"all\": true` if \
                 they are meant",
            ),
            _ => faults
                .add("ids", "exactly one of `ids`, `values`, `filter` and `all` must be given"),
        }
        let unseen = self.action == Bulk::Delete && self.means_unseen() && !self.dry_run;
        if unseen && self.confirm.is_none() {
            faults.add(
                "confirm",
                "is required to delete by `filter` or `all`: the number of keys that \
                 `\"dry_run\": true` tells",
            );
        }
        let empty =
            |set: &SetKeys| set.weight.is_none() && set.quota_group.is_none() && set.note.is_none();
        match (&self.set, self.action) {
            (None, Bulk::Set) => faults.add("set", "is required with the action set"),
            (Some(set), Bulk::Set) if empty(set) => faults.add("set", "names nothing to set"),
            (Some(_), action) if action != Bulk::Set => {
                faults.add("set", "goes with the action set only");
            }
            _ => {}
        }
        faults
    }
}

impl ChangeManyKeys {
    /// Whether the caller does not name the keys one by one.
    fn means_unseen(&self) -> bool {
        self.ids.is_none() && self.values.is_none()
    }
}

impl KeyFilter {
    /// Whether it leaves no key out.
    fn names_nothing(&self) -> bool {
        let says =
            |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
        self.upstream_id.is_none()
            && self.state.is_none()
            && self.quota_group.is_none()
            && self.tag.is_none()
            && !says(&self.search)
    }
}

/// What was done to many keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ManyKeysChanged {
    /// How many keys were meant.
    matched: u64,
    /// How many of them there are and were changed; or whose provider answered in time, of a test;
    /// none of a dry run.
    done: u64,
    /// Whether nothing was done because that was asked for.
    dry_run: bool,
    /// The keys that there are of those that are meant, at most the first 1,000. Empty for a test.
    ids: Vec<i64>,
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
    /// Why the key is not accepted or could not be tested; or why an accepted key is still not
    /// used, and what ends that.
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

/// Enable, disable, ban, set, delete or test many keys. Each is one change: of all of them, or of none.
///
/// `"dry_run": true` tells how many keys are meant, and which. To delete by a filter wants that
/// number as `confirm`.
#[utoipa::path(post, path = "/api/admin/keys/bulk", tag = "provider keys", request_body = ChangeManyKeys,
    responses((status = 200, description = "What became of the keys", body = ManyKeysChanged),
        (status = 409, description = "Another number of keys is meant than `confirm` says", body = Failure)))]
pub(crate) async fn change_many_keys(
    actor: With<ManageProviderKeys>,
    State(app): State<Management>,
    Json(many): Json<ChangeManyKeys>,
) -> Result<Answer<ManyKeysChanged>, ApiError> {
    many.faults().none_or(()).map_err(ApiError::Invalid)?;
    let which = which(&app, &actor, &many).await?;
    if many.dry_run {
        let counted = app.store.count_provider_keys(&actor, &which).await?;
        let counted = ManyKeysChanged { dry_run: true, done: 0, ..counted.into() };
        return Ok(Answer(counted));
    }
    let bulk = match many.action {
        Bulk::Enable => KeyBulk::State(domain::KeyState::Active),
        Bulk::Disable => KeyBulk::State(domain::KeyState::Disabled),
        Bulk::Ban => KeyBulk::State(domain::KeyState::Banned),
        Bulk::Set => KeyBulk::Set(many.set.map(Into::into).unwrap_or_default()),
        Bulk::Delete => KeyBulk::Delete,
        Bulk::Test => return test_many(&app, &actor, &which).await.map(Answer),
    };
    let changed = app.store.change_provider_keys(&actor, &which, &bulk, many.confirm).await?;
    Ok(Answer(changed.into()))
}

impl From<KeysChanged> for ManyKeysChanged {
    fn from(changed: KeysChanged) -> Self {
        let KeysChanged { matched, done, ids } = changed;
        let ids = ids.into_iter().map(|id| id.0).collect();
        Self { matched, done, dry_run: false, ids, tests: Vec::new() }
    }
}

impl From<SetKeys> for KeySet {
    fn from(set: SetKeys) -> Self {
        Self { weight: set.weight, group: set.quota_group, note: set.note }
    }
}

/// Which keys a change of many is about. What only the data plane knows of them is looked at here;
/// all else is asked by the store inside the change.
async fn which(
    app: &Management,
    actor: &auth::Actor,
    many: &ChangeManyKeys,
) -> Result<WhichKeys, ApiError> {
    if let Some(ids) = &many.ids {
        return Ok(WhichKeys::Ids(ids.iter().copied().map(ProviderKeyId).collect()));
    }
    if let Some(values) = &many.values {
        return Ok(WhichKeys::Values(values.clone()));
    }
    let filter = many.filter.clone().unwrap_or_default();
    if matches!(filter.state, None | Some(KeyStateNow::DisabledManual)) {
        return Ok(WhichKeys::Filter(filter.stored()));
    }
    let ids = meant(app, actor, filter).await?;
    Ok(WhichKeys::Ids(ids))
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
    let row = app.get::<MaskedKey>(&actor, id).await?.value;
    let asked = app.data_plane()?.test_key(row.upstream, row.id);
    let test = tokio::time::timeout(TESTS_TIMEOUT, asked).await.map_err(|_| ApiError::TimedOut)?;
    Ok(Answer(test.into()))
}

/// The keys that stand so now.
async fn meant(
    app: &Management,
    actor: &auth::Actor,
    filter: KeyFilter,
) -> Result<Vec<ProviderKeyId>, ApiError> {
    let state = filter.state;
    let mut stored = filter.stored();
    stored.ids = app.standing_so(state).await?;
    let keys = app.store.seen_by(actor).every_provider_key(&stored).await?;
    let so = |key: &Stored<MaskedKey>| state.is_none_or(|state| app.stands(key).state == state);
    Ok(keys.into_iter().filter(so).map(|key| key.value.id).collect())
}

impl Management {
    /// The only keys that can stand so now, where they are few enough to be named: those of which
    /// that is kept, and those of which the data plane says that they are not plainly active.
    pub(super) async fn standing_so(
        &self,
        state: Option<KeyStateNow>,
    ) -> Result<Option<Vec<ProviderKeyId>>, ApiError> {
        let Some(kept_as) = state.and_then(KeyStateNow::found) else { return Ok(None) };
        let most = store::Store::KEYS_LOOKED_AT;
        let Some(mut ids) = self.store.keys_kept_as(kept_as, most).await? else {
            return Ok(None);
        };
        if let Some(live) = &self.live {
            let Some(out) = live.keys_out(most) else { return Ok(None) };
            ids.extend(out);
        }
        ids.sort_unstable();
        ids.dedup();
        Ok((ids.len() <= most).then_some(ids))
    }
}

async fn test_many(
    app: &Management,
    by: &auth::Actor,
    which: &WhichKeys,
) -> Result<ManyKeysChanged, ApiError> {
    let live = app.data_plane()?;
    let counted = app.store.count_provider_keys(by, which).await?;
    let asked = match which {
        WhichKeys::Ids(_) | WhichKeys::Values(_) => counted.matched,
        WhichKeys::Filter(_) => counted.done,
    };
    if asked > TESTED_MAX as u64 {
        return Err(ApiError::field(which.field(), "must match at most 1000 keys"));
    }
    let rows = app.store.seen_by(by).these_provider_keys(&counted.ids).await?;
    let keys = rows.iter().map(|row| (row.upstream, row.id)).collect();
    let live = Arc::clone(live);
    let test = move |upstream, key| {
        let live = Arc::clone(&live);
        async move { live.test_key(upstream, key).await }
    };
    let (done, tests) = ask(keys, Instant::now() + TESTS_TIMEOUT, test).await;
    let matched = counted.matched;
    Ok(ManyKeysChanged { matched, done, dry_run: false, ids: Vec::new(), tests })
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
