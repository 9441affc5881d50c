//! Many provider keys at once: found by a filter, decided upon, deleted, exported.

use auth::Actor;
use domain::{KeyState, ProviderKeyId, UpstreamId, UserId};
use entity::provider_keys::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use serde_json::json;

use super::{KIND, masked, place};
use crate::{
    ExportedKey, KeyBulk, ProviderKeyFilter, ProviderKeyRow, Result, Store, StoreError,
    change::What,
    paging,
    standings::{self, Before},
};

/// Ids of one statement.
const IDS: usize = 5000;
/// So many ids are named in the audit trail.
const TOLD: usize = 1000;

impl Store {
    /// Most keys that are changed or exported at once.
    pub const KEYS_AT_ONCE: usize = 100_000;

    /// Does the same to many keys as one change, and tells how many there were of them. Those that
    /// there are not, and those of others where whoever does it may not see them, are passed over.
    pub async fn change_provider_keys(
        &self,
        by: &Actor,
        ids: &[ProviderKeyId],
        bulk: KeyBulk,
    ) -> Result<u64> {
        if ids.len() > Self::KEYS_AT_ONCE {
            return Err(StoreError::fault("ids", "must be at most 100000"));
        }
        let change = self.begin(by).await?;
        let mut done = Vec::new();
        for ids in ids.chunks(IDS) {
            let mut found = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
            if let Some(UserId(own)) = by.confined_to() {
                found = found.filter(Column::OwnerId.eq(own));
            }
            let columns = [Column::Id, Column::UpstreamId, Column::State, Column::ClearedUs];
            let found = found.select_only().columns(columns);
            let found: Vec<(i64, i64, String, Option<i64>)> =
                found.into_tuple().all(change.tx()).await?;
            let before = found.iter().filter_map(|(id, upstream, state, cleared_us)| {
                let (key, upstream) = (ProviderKeyId(*id), UpstreamId(*upstream));
                let state = state.parse().ok()?;
                Some(Before { key, upstream, state, cleared_us: *cleared_us })
            });
            let before: Vec<Before> = before.collect();
            let found: Vec<i64> = found.into_iter().map(|(id, ..)| id).collect();
            let these = Column::Id.is_in(found.iter().copied());
            match bulk {
                KeyBulk::Delete => {
                    Entity::delete_many().filter(these).exec(change.tx()).await?;
                }
                KeyBulk::State(state) => {
                    standings::note(&change, by, &before, state).await?;
                    let mut set = ActiveModel {
                        state: Set(state.to_string()),
                        updated_us: Set(change.now_us),
                        revision: Set(change.revision),
                        ..ActiveModel::default()
                    };
                    if state == KeyState::Active {
                        set.cleared_us = Set(Some(change.now_us));
                    }
                    Entity::update_many().set(set).filter(these).exec(change.tx()).await?;
                }
            }
            done.extend(found);
        }
        if done.is_empty() {
            return Ok(0);
        }
        if bulk == KeyBulk::Delete {
            change.bury("provider_keys", done.iter().copied()).await?;
        }
        let action = match bulk {
            KeyBulk::Delete => "deleted",
            KeyBulk::State(KeyState::Active) => "enabled",
            KeyBulk::State(KeyState::Disabled) => "disabled",
            KeyBulk::State(KeyState::Banned) => "banned",
        };
        let told = &done[..done.len().min(TOLD)];
        let detail = json!({ "count": done.len(), "ids": told });
        change.commit(What::about(action, KIND, detail)).await?;
        Ok(done.len() as u64)
    }

    /// All keys that the filter means, up to [`Store::KEYS_AT_ONCE`], in the order of their ids.
    pub async fn every_provider_key(
        &self,
        filter: &ProviderKeyFilter,
    ) -> Result<Vec<ProviderKeyRow>> {
        self.every(filter).await?.into_iter().map(masked).collect()
    }

    /// These keys, as far as there are such; only those of `owner` where that is given.
    pub async fn these_provider_keys(
        &self,
        ids: &[ProviderKeyId],
        owner: Option<UserId>,
    ) -> Result<Vec<ProviderKeyRow>> {
        let db = self.0.db.reader().await?;
        let filter = ProviderKeyFilter { owner, ..ProviderKeyFilter::default() };
        let mut rows = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS) {
            let these = meant(&filter)?.filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
            rows.extend(these.all(&db).await?);
        }
        rows.into_iter().map(masked).collect()
    }

    /// All keys that the filter means, with their secrets where they are to be revealed; that they
    /// were is noted before any is opened.
    pub async fn export_provider_keys(
        &self,
        by: &Actor,
        filter: &ProviderKeyFilter,
        reveal: bool,
    ) -> Result<Vec<ExportedKey>> {
        let rows = self.every(filter).await?;
        if !reveal {
            let masked = rows.into_iter().map(masked);
            return masked.map(|row| Ok(ExportedKey { row: row?, secret: None })).collect();
        }
        let ids: Vec<i64> = rows.iter().take(TOLD).map(|row| row.id).collect();
        let detail = json!({
            "count": rows.len(), "ids": ids, "upstream_id": filter.upstream.map(|id| id.0),
        });
        self.note_about(by, What::about("revealed", KIND, detail)).await?;
        let sealer = self.0.sealer.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let open = |row: Model| {
                let secret = sealer.open(&place(&row), &row.secret).ok();
                Ok(ExportedKey { row: masked(row)?, secret })
            };
            rows.into_iter().map(open).collect()
        });
        opening.await.map_err(|_| StoreError::Unavailable("shutting down".into()))?
    }

    async fn every(&self, filter: &ProviderKeyFilter) -> Result<Vec<Model>> {
        let most = Self::KEYS_AT_ONCE as u64;
        let rows = meant(filter)?.order_by_asc(Column::Id).limit(most + 1);
        let rows = rows.all(&self.0.db.reader().await?).await?;
        if rows.len() > Self::KEYS_AT_ONCE {
            return Err(StoreError::fault("filter", "must match at most 100000 keys"));
        }
        Ok(rows)
    }
}

/// The keys that a filter means.
pub(super) fn meant(filter: &ProviderKeyFilter) -> Result<Select<Entity>> {
    let mut select = Entity::find();
    if let Some(UpstreamId(id)) = filter.upstream {
        select = select.filter(Column::UpstreamId.eq(id));
    }
    if let Some(state) = filter.state {
        select = select.filter(Column::State.eq(state.as_str()));
    }
    if let Some(group) = &filter.group {
        select = select.filter(Column::QuotaGroup.eq(group));
    }
    if let Some(text) = &filter.search {
        select = select.filter(paging::contains(Column::Name, text)?);
    }
    if let Some(UserId(owner)) = filter.owner {
        select = select.filter(Column::OwnerId.eq(owner));
    }
    Ok(select)
}
