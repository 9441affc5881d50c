//! How circuit breakers stand, so that they stand the same after a restart and in every instance.

use std::collections::BTreeMap;

use domain::{BreakerState, BreakerStep, Event, Guarded, ProviderKeyId, UpstreamId};
use entity::breakers;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use crate::{Result, Store, link::Transaction, moment, text::clean};

impl Store {
    /// At most `limit` steps of breakers that other processes than this one wrote after number
    /// `seq`, the latest of each breaker; and the number of the last. From 0 on it is everything
    /// that was known when this process began.
    pub async fn breakers_since(&self, seq: i64, limit: u64) -> Result<(Vec<BreakerStep>, i64)> {
        use breakers::Column;
        let rows = breakers::Entity::find()
            .filter(Column::Seq.gt(seq))
            .filter(Column::Origin.ne(self.0.origin.as_str()))
            .order_by_asc(Column::Seq)
            .limit(limit)
            .all(&self.0.db.reader().await?)
            .await?;
        let last = rows.last().map_or(seq, |row| row.seq);
        Ok((rows.into_iter().filter_map(step).collect(), last))
    }
}

/// Keeps the steps of breakers among these events.
pub(crate) async fn keep(tx: &Transaction, events: &[(i64, &Event)], origin: &str) -> Result<()> {
    use breakers::Column;
    let mut rows = BTreeMap::new();
    for (number, event) in events {
        if let Event::Breaker(step) = event {
            let row = row(*number, step, origin);
            rows.insert((row.upstream_id, row.key_id, row.model.clone()), row);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let stored = Expr::col((breakers::Entity, Column::AtUs));
    let newer = OnConflict::columns([Column::UpstreamId, Column::KeyId, Column::Model])
        .update_columns([
            Column::State,
            Column::UntilUs,
            Column::Openings,
            Column::AtUs,
            Column::Words,
            Column::Origin,
            Column::Seq,
        ])
        .action_and_where(stored.lte(Expr::col(("excluded", Column::AtUs))))
        .to_owned();
    let rows = rows.into_values().map(|row| row.into_active_model().reset_all());
    breakers::Entity::insert_many(rows).on_conflict(newer).exec_without_returning(tx).await?;
    Ok(())
}

fn row(number: i64, step: &BreakerStep, origin: &str) -> breakers::Model {
    breakers::Model {
        upstream_id: step.guarded.upstream.0,
        key_id: step.guarded.key.map_or(0, |key| key.0),
        model: step.guarded.model.as_deref().map(clean).unwrap_or_default(),
        state: step.state.as_str().to_owned(),
        until_us: match step.state {
            BreakerState::Open(until) => Some(until.timestamp_micros()),
            _ => None,
        },
        openings: i64::from(step.openings),
        at_us: step.at.timestamp_micros(),
        words: clean(&step.words),
        origin: origin.to_owned(),
        seq: number,
    }
}

/// None where a newer program wrote a state that this one has no word for.
fn step(row: breakers::Model) -> Option<BreakerStep> {
    let state = match (row.state.as_str(), row.until_us) {
        ("closed", _) => BreakerState::Closed,
        ("half_open", _) => BreakerState::HalfOpen,
        ("open", Some(until)) => BreakerState::Open(moment(until)),
        _ => return None,
    };
    Some(BreakerStep {
        guarded: Guarded {
            upstream: UpstreamId(row.upstream_id),
            key: Some(ProviderKeyId(row.key_id)).filter(|key| key.0 != 0),
            model: Some(row.model).filter(|model| !model.is_empty()),
        },
        state,
        openings: u32::try_from(row.openings).unwrap_or(u32::MAX),
        at: moment(row.at_us),
        words: row.words,
    })
}
