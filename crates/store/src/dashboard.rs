//! Numbers over a time range, from the roll-ups: what is asked costs the same whether ten calls were
//! made or ten million.

use std::collections::HashMap;

use domain::{KeyState, UserId};
use entity::{provider_keys, service_keys, upstreams, users};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect,
};

use crate::{
    Dashboard, Dimension, Grain, Group, Hour, KeyCounts, Result, Share, StatsFilter, StatsQuestion,
    Store, TimeRange, Value,
    logs::{self, Named},
    statistics::OTHER,
    uncount,
};

/// Most names of one statement.
const NAMES: usize = 1000;

impl Store {
    /// What happened in `range`: everywhere, or with the service keys of one user.
    pub async fn dashboard(&self, range: TimeRange, owner: Option<UserId>) -> Result<Dashboard> {
        let filter = StatsFilter::default();
        let hourly = StatsQuestion { range, by: Vec::new(), filter, every: Some(Grain::Hour) };
        let hours = self.statistics(&hourly, owner).await?;
        let range = hours.range;
        let whole = StatsQuestion { range, every: None, ..hourly };
        let by = |dimension: Dimension| StatsQuestion { by: vec![dimension], ..whole.clone() };
        let totals = self.statistics(&whole, owner).await?.groups.pop();
        let totals = totals.map(|group| group.totals).unwrap_or_default();
        let latencies = self.latencies(&whole, owner).await?.1.pop();
        let percentile = |percent| latencies.as_ref().and_then(|found| found.percentile(percent));
        let db = self.0.db.reader().await?;
        Ok(Dashboard {
            range,
            totals,
            latency_p50_us: percentile(50),
            latency_p95_us: percentile(95),
            upstreams: self.shares(by(Dimension::Upstream), owner).await?,
            provider_keys: self.shares(by(Dimension::ProviderKey), owner).await?,
            service_keys: self.shares(by(Dimension::ServiceKey), owner).await?,
            models: self.shares(by(Dimension::Model), owner).await?,
            hours: hours.groups.into_iter().filter_map(hour).collect(),
            upstream_count: upstreams::Entity::find().count(&db).await?,
            service_key_count: service_keys::Entity::find().count(&db).await?,
            key_counts: key_counts(&db).await?,
        })
    }

    /// The busiest of one dimension, with what they are called.
    async fn shares(&self, question: StatsQuestion, owner: Option<UserId>) -> Result<Vec<Share>> {
        let mut groups = self.statistics(&question, owner).await?.groups;
        groups.truncate(usize::try_from(Dashboard::SHARES_MAX).unwrap_or(usize::MAX));
        let ids = groups.iter().filter_map(|group| match group.values.first() {
            Some(Value::Id(id)) => Some(*id),
            _ => None,
        });
        let names = self.names(&question.by[0], ids.collect()).await?;
        let share = |group: Group| {
            let (id, name) = match group.values.into_iter().next() {
                Some(Value::Id(id)) => (Some(id).filter(|id| *id != 0), names.get(&id).cloned()),
                Some(Value::Text(text)) => (None, Some(text).filter(|text| !text.is_empty())),
                Some(Value::Other) => (None, Some(OTHER.to_owned())),
                _ => (None, None),
            };
            Share { id, name, totals: group.totals }
        };
        Ok(groups.into_iter().map(share).collect())
    }

    /// What users, keys and upstreams are called; what was deleted keeps its last name.
    pub async fn names(
        &self,
        dimension: &Dimension,
        ids: Vec<i64>,
    ) -> Result<HashMap<i64, String>> {
        let db = self.0.db.reader().await?;
        let mut names = HashMap::new();
        for ids in ids.chunks(NAMES) {
            names.extend(names_of(&db, dimension, ids).await?);
        }
        Ok(names)
    }
}

fn hour(group: Group) -> Option<Hour> {
    Some(Hour { at: group.at?, totals: group.totals })
}

async fn names_of(
    db: &impl ConnectionTrait,
    dimension: &Dimension,
    ids: &[i64],
) -> Result<HashMap<i64, String>> {
    macro_rules! names_of {
        ($table:ident) => {
            $table::Entity::find()
                .select_only()
                .columns([$table::Column::Id, $table::Column::Name])
                .filter($table::Column::Id.is_in(ids.iter().copied()))
                .into_tuple::<(i64, String)>()
                .all(db)
                .await?
        };
    }
    let (kind, names) = match dimension {
        Dimension::Upstream => (Named::Upstream, names_of!(upstreams)),
        Dimension::ProviderKey => (Named::ProviderKey, names_of!(provider_keys)),
        Dimension::ServiceKey => (Named::ServiceKey, names_of!(service_keys)),
        Dimension::User => return Ok(names_of!(users).into_iter().collect()),
        _ => return Ok(HashMap::new()),
    };
    let mut names: HashMap<i64, String> = names.into_iter().collect();
    let deleted = ids.iter().copied().filter(|id| *id != 0 && !names.contains_key(id));
    let deleted: Vec<i64> = deleted.collect();
    if !deleted.is_empty() {
        names.extend(logs::last_names(db, kind, deleted).await?);
    }
    Ok(names)
}

async fn key_counts(db: &impl ConnectionTrait) -> Result<KeyCounts> {
    let rows: Vec<(String, i64)> = provider_keys::Entity::find()
        .select_only()
        .column(provider_keys::Column::State)
        .column_as(provider_keys::Column::Id.count(), "keys")
        .group_by(provider_keys::Column::State)
        .into_tuple()
        .all(db)
        .await?;
    let mut counts = KeyCounts::default();
    for (state, keys) in rows {
        match state.parse() {
            Ok(KeyState::Active) => counts.active = uncount(keys),
            Ok(KeyState::Disabled) => counts.disabled = uncount(keys),
            Ok(KeyState::Banned) => counts.banned = uncount(keys),
            Err(_) => {}
        }
    }
    Ok(counts)
}
