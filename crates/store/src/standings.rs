//! How provider keys stand and how they came to. The newer finding wins, whoever writes it later.

use std::collections::BTreeMap;

use auth::Actor;
use chrono::{DateTime, Utc};
use domain::{
    Event, Evidence, KeptStanding, KeyState, KeyStatus, ProviderKeyId, Standing, Transition,
    UpstreamId,
};
use entity::{key_standings, key_transitions};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait,
    IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, InsertStatement, OnConflict, Query},
};

use crate::{
    Listed, Page, Result, Store, TransitionRow,
    change::{Change, numbers},
    json,
    link::Transaction,
    moment, now_us, paging,
    text::clean,
};

/// The counter that numbers what the running gateway tells.
pub(crate) const COUNTER: &str = "running";
/// Most keys of one statement.
const KEYS: usize = 1000;
/// Most standings that end in one transaction.
const ENDED: u64 = 1000;

impl Store {
    /// How these keys stand, where that is kept and not over.
    pub async fn standings(&self, keys: &[ProviderKeyId]) -> Result<Vec<KeptStanding>> {
        of_keys(keys, &self.0.db.reader().await?).await
    }

    /// At most `limit` standings that other processes than this one wrote after number `seq`,
    /// those that are over left out; and the number of the last. From 0 on it is everything that
    /// was known when this process began.
    pub async fn standings_since(&self, seq: i64, limit: u64) -> Result<(Vec<KeptStanding>, i64)> {
        use key_standings::Column;
        let rows = key_standings::Entity::find()
            .filter(Column::Seq.gt(seq))
            .filter(Column::Origin.ne(self.0.origin.as_str()))
            .filter(lasting(now_us()))
            .order_by_asc(Column::Seq)
            .limit(limit)
            .all(&self.0.db.reader().await?)
            .await?;
        let last = rows.last().map_or(seq, |row| row.seq);
        Ok((rows.into_iter().filter_map(kept).collect(), last))
    }

    /// The keys of which it is kept that they stand so, for all models or for one, or of which people
    /// decided so; none where there are more than `most`. What a person made void since is among
    /// them.
    pub async fn keys_kept_as(
        &self,
        status: &str,
        most: usize,
    ) -> Result<Option<Vec<ProviderKeyId>>> {
        use entity::provider_keys;
        use key_standings::Column;
        let db = self.0.db.reader().await?;
        let limit = most as u64 + 1;
        let kept = key_standings::Entity::find()
            .select_only()
            .column(Column::KeyId)
            .distinct()
            .filter(Column::State.eq(status))
            .filter(lasting(now_us()))
            .limit(limit);
        let decided = provider_keys::Entity::find()
            .select_only()
            .column(provider_keys::Column::Id)
            .filter(provider_keys::Column::State.eq(status))
            .limit(limit);
        let mut ids: Vec<i64> = kept.into_tuple().all(&db).await?;
        ids.extend(decided.into_tuple::<i64>().all(&db).await?);
        Ok((ids.len() <= most).then(|| ids.into_iter().map(ProviderKeyId).collect()))
    }

    /// The steps of a key, the newest first.
    pub async fn transitions(
        &self,
        key: ProviderKeyId,
        page: Page,
    ) -> Result<Listed<TransitionRow>> {
        use key_transitions::Column;
        let mut select = key_transitions::Entity::find().filter(Column::KeyId.eq(key.0));
        if let Some(before) = paging::number(&page)? {
            select = select.filter(Column::Id.lt(before));
        }
        let rows = select.order_by_desc(Column::Id).limit(page.rows() + 1);
        let rows = rows.all(&self.0.db.reader().await?).await?;
        Ok(paging::numbered(rows, &page, |row| row.id).map(step))
    }

    /// Notes that keys are active again whose standing in one of these `states` is over at `now`;
    /// returns how many, at most a thousand. They may be picked from that moment on in any case:
    /// this is for whoever reads how they came to.
    pub async fn end_standings(&self, states: &[&str], now: DateTime<Utc>) -> Result<u64> {
        use key_standings::Column;
        let tx = self.0.db.write().await?;
        // Numbers are taken before the rows are read, so that nobody changes them in between.
        let first = numbers(&tx, COUNTER, ENDED as usize).await?;
        let rows = key_standings::Entity::find()
            .filter(Column::State.is_in(states.iter().copied()))
            .filter(Column::UntilUs.lte(now.timestamp_micros()))
            .order_by_asc(Column::Seq)
            .limit(ENDED)
            .all(&tx)
            .await?;
        let count = rows.len() as u64;
        let events: Vec<Event> =
            rows.into_iter().filter_map(kept).map(|kept| Event::Transition(over(kept))).collect();
        let numbered: Vec<(i64, &Event)> = (first..).zip(&events).collect();
        keep(&tx, &numbered, &self.0.origin).await?;
        tx.commit().await?;
        Ok(count)
    }
}

/// How these keys stand, where that is kept and not over.
pub(crate) async fn of_keys(
    keys: &[ProviderKeyId],
    db: &impl ConnectionTrait,
) -> Result<Vec<KeptStanding>> {
    let mut found = Vec::new();
    for keys in keys.chunks(KEYS) {
        let rows = key_standings::Entity::find()
            .filter(key_standings::Column::KeyId.is_in(keys.iter().map(|key| key.0)))
            .filter(lasting(now_us()))
            .all(db)
            .await?;
        found.extend(rows.into_iter().filter_map(kept));
    }
    Ok(found)
}

/// What is not over.
fn lasting(now: i64) -> Condition {
    use key_standings::Column;
    Condition::any().add(Column::UntilUs.is_null()).add(Column::UntilUs.gt(now))
}

/// The step back to active at the moment when a standing ended.
fn over(kept: KeptStanding) -> Transition {
    let ended = kept.standing.status.until().unwrap_or(kept.standing.since);
    Transition {
        key: kept.key,
        upstream: kept.upstream,
        model: kept.model,
        from: kept.standing.status,
        to: Standing {
            status: KeyStatus::Active,
            reason: "expired".into(),
            evidence: Evidence::default(),
            since: ended,
            strikes: kept.standing.strikes,
        },
        actor: "gateway".into(),
    }
}

/// A key before somebody changed it: where it is, and what it was by its row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    pub(crate) key: ProviderKeyId,
    pub(crate) upstream: UpstreamId,
    pub(crate) state: KeyState,
    pub(crate) cleared_us: Option<i64>,
}

/// Notes that a person put these keys to `state`: each step of a key that stood otherwise. What the
/// gateway does by itself it tells by itself.
pub(crate) async fn note(
    change: &Change<'_>,
    by: &Actor,
    keys: &[Before],
    state: KeyState,
) -> Result<()> {
    if *by == Actor::System {
        return Ok(());
    }
    for keys in keys.chunks(KEYS) {
        let stood = key_standings::Entity::find()
            .filter(key_standings::Column::KeyId.is_in(keys.iter().map(|before| before.key.0)))
            .filter(lasting(change.now_us))
            .all(change.tx())
            .await?;
        let mut stood_by_key = BTreeMap::<_, Vec<_>>::new();
        for found in stood.into_iter().filter_map(kept) {
            stood_by_key.entry(found.key).or_default().push(found);
        }
        let steps = keys.iter().flat_map(|before| {
            let stood = stood_by_key.remove(&before.key).unwrap_or_default();
            steps(before, stood, state, by, moment(change.now_us))
        });
        let steps: Vec<Transition> = steps.collect();
        if steps.is_empty() {
            continue;
        }
        let first = numbers(change.tx(), COUNTER, steps.len()).await?;
        let rows = (first..).zip(&steps).map(|(number, step)| transition_row(number, step));
        let rows = rows.map(|row| row.into_active_model().reset_all());
        key_transitions::Entity::insert_many(rows).exec_without_returning(change.tx()).await?;
    }
    Ok(())
}

/// Notes that a person put many keys to `state`. Keys of which nothing was found take one statement
/// together.
pub(crate) async fn note_many(
    change: &Change<'_>,
    by: &Actor,
    keys: &[i64],
    state: KeyState,
) -> Result<()> {
    use entity::provider_keys::{Column, Entity};
    if *by == Actor::System {
        return Ok(());
    }
    let stood = key_standings::Entity::find()
        .select_only()
        .column(key_standings::Column::KeyId)
        .distinct()
        .filter(key_standings::Column::KeyId.is_in(keys.iter().copied()))
        .filter(lasting(change.now_us));
    let mut stood: Vec<i64> = stood.into_tuple().all(change.tx()).await?;
    stood.sort_unstable();
    for stood in stood.chunks(KEYS) {
        let columns = [Column::Id, Column::UpstreamId, Column::State, Column::ClearedUs];
        let rows = Entity::find().filter(Column::Id.is_in(stood.iter().copied()));
        let rows: Vec<(i64, i64, String, Option<i64>)> =
            rows.select_only().columns(columns).into_tuple().all(change.tx()).await?;
        let before = rows.into_iter().filter_map(|(id, upstream, state, cleared_us)| {
            let (key, upstream) = (ProviderKeyId(id), UpstreamId(upstream));
            Some(Before { key, upstream, state: state.parse().ok()?, cleared_us })
        });
        note(change, by, &before.collect::<Vec<_>>(), state).await?;
    }
    let plain: Vec<i64> =
        keys.iter().copied().filter(|id| stood.binary_search(id).is_err()).collect();
    if plain.is_empty() {
        return Ok(());
    }
    let first = numbers(change.tx(), COUNTER, plain.len()).await?;
    change.tx().execute(&plain_steps(change, by, &plain, state, first)).await?;
    Ok(())
}

/// The statement that enters the step of each key that stands otherwise by its row. The words for
/// what people decided are those of the status that follows.
fn plain_steps(
    change: &Change<'_>,
    by: &Actor,
    keys: &[i64],
    state: KeyState,
    first: i64,
) -> InsertStatement {
    use entity::provider_keys::{Column as Key, Entity as Keys};
    use key_transitions::Column;
    let number = Expr::cust("ROW_NUMBER() OVER (ORDER BY id)").add(first - 1);
    let to = state.as_str();
    let steps = Query::select()
        .expr(number)
        .column(Key::Id)
        .column(Key::UpstreamId)
        .column(Key::State)
        .expr(Expr::value(to))
        .expr(Expr::value("person"))
        .expr(Expr::value(json(&Evidence::default())))
        .expr(Expr::value(clean(by.name())))
        .expr(Expr::value(change.now_us))
        .from(Keys)
        .and_where(Key::Id.is_in(keys.iter().copied()))
        .and_where(Key::State.ne(to))
        .to_owned();
    let columns = [
        Column::Id,
        Column::KeyId,
        Column::UpstreamId,
        Column::FromState,
        Column::ToState,
        Column::Reason,
        Column::Evidence,
        Column::Actor,
        Column::AtUs,
    ];
    let mut insert = Query::insert();
    insert.into_table(key_transitions::Entity).columns(columns);
    insert.select_from(steps).expect("there are as many columns as values");
    insert
}

/// The steps of one key to `state`: of the key itself, and of each model for which it stood apart,
/// where all of that is void now.
fn steps(
    before: &Before,
    mut stood: Vec<KeptStanding>,
    state: KeyState,
    by: &Actor,
    now: DateTime<Utc>,
) -> Vec<Transition> {
    let cleared = before.cleared_us.map(moment);
    stood.retain(|found| cleared.is_none_or(|cleared| found.standing.since > cleared));
    let to = status_of(state);
    let whole = stood.iter().find(|found| found.model.is_none());
    let from = match before.state {
        KeyState::Active => whole.map_or(KeyStatus::Active, |found| found.standing.status),
        state => status_of(state),
    };
    let freed = before.state == KeyState::Active && state == KeyState::Active;
    let of_models = stood.iter().filter(|found| freed && found.model.is_some());
    let of_models = of_models.map(|found| (found.model.clone(), found.standing.status));
    let changed = std::iter::once((None, from)).chain(of_models).filter(|(_, from)| *from != to);
    let step = |(model, from)| Transition {
        key: before.key,
        upstream: before.upstream,
        model,
        from,
        to: Standing {
            status: to,
            reason: "person".into(),
            evidence: Evidence::default(),
            since: now,
            strikes: 0,
        },
        actor: by.name().to_owned(),
    };
    changed.map(step).collect()
}

fn status_of(state: KeyState) -> KeyStatus {
    match state {
        KeyState::Active => KeyStatus::Active,
        KeyState::Disabled => KeyStatus::DisabledManual,
        KeyState::Banned => KeyStatus::Banned,
    }
}

/// Keeps the steps among these events.
pub(crate) async fn keep(tx: &Transaction, events: &[(i64, &Event)], origin: &str) -> Result<()> {
    let steps = events.iter().filter_map(|(number, event)| match event {
        Event::Transition(step) => Some((*number, step)),
        _ => None,
    });
    let (mut standings, mut transitions) = (BTreeMap::new(), Vec::new());
    for (number, step) in steps {
        let row = standing_row(number, step, origin);
        // Of several steps of one key in a batch, the last one is how it stands.
        standings.insert((row.key_id, row.model.clone()), row);
        transitions.push(transition_row(number, step).into_active_model().reset_all());
    }
    if transitions.is_empty() {
        return Ok(());
    }
    key_transitions::Entity::insert_many(transitions).exec_without_returning(tx).await?;
    let rows = standings.into_values().map(|row| row.into_active_model().reset_all());
    key_standings::Entity::insert_many(rows)
        .on_conflict(newer())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// What was found earlier does not take the place of what was found later.
fn newer() -> OnConflict {
    use key_standings::Column;
    let stored = Expr::col((key_standings::Entity, Column::SinceUs));
    OnConflict::columns([Column::KeyId, Column::Model])
        .update_columns([
            Column::UpstreamId,
            Column::State,
            Column::UntilUs,
            Column::Reason,
            Column::Evidence,
            Column::SinceUs,
            Column::Strikes,
            Column::Origin,
            Column::Seq,
        ])
        .action_and_where(stored.lte(Expr::col(("excluded", Column::SinceUs))))
        .to_owned()
}

fn standing_row(number: i64, step: &Transition, origin: &str) -> key_standings::Model {
    key_standings::Model {
        key_id: step.key.0,
        model: step.model.as_deref().map(clean).unwrap_or_default(),
        upstream_id: step.upstream.0,
        state: step.to.status.as_str().to_owned(),
        until_us: step.to.status.until().map(|until| until.timestamp_micros()),
        reason: clean(&step.to.reason),
        evidence: json(&step.to.evidence),
        since_us: step.to.since.timestamp_micros(),
        strikes: i64::from(step.to.strikes),
        origin: origin.to_owned(),
        seq: number,
    }
}

fn transition_row(number: i64, step: &Transition) -> key_transitions::Model {
    key_transitions::Model {
        id: number,
        key_id: step.key.0,
        upstream_id: step.upstream.0,
        model: step.model.as_deref().map(clean),
        from_state: step.from.as_str().to_owned(),
        to_state: step.to.status.as_str().to_owned(),
        until_us: step.to.status.until().map(|until| until.timestamp_micros()),
        reason: clean(&step.to.reason),
        evidence: json(&step.to.evidence),
        actor: clean(&step.actor),
        at_us: step.to.since.timestamp_micros(),
    }
}

/// None where a newer program wrote a status that this one has no word for.
fn kept(row: key_standings::Model) -> Option<KeptStanding> {
    Some(KeptStanding {
        key: ProviderKeyId(row.key_id),
        upstream: UpstreamId(row.upstream_id),
        model: Some(row.model).filter(|model| !model.is_empty()),
        standing: Standing {
            status: KeyStatus::read(&row.state, row.until_us.map(moment))?,
            reason: row.reason,
            evidence: serde_json::from_str(&row.evidence).unwrap_or_default(),
            since: moment(row.since_us),
            strikes: u32::try_from(row.strikes).unwrap_or_default(),
        },
    })
}

fn step(row: key_transitions::Model) -> TransitionRow {
    TransitionRow {
        id: row.id,
        key: ProviderKeyId(row.key_id),
        upstream: UpstreamId(row.upstream_id),
        model: row.model,
        from: row.from_state,
        to: row.to_state,
        until: row.until_us.map(moment),
        reason: row.reason,
        evidence: serde_json::from_str(&row.evidence).unwrap_or_default(),
        actor: row.actor,
        at: moment(row.at_us),
    }
}
