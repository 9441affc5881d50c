//! Upstreams: how they lie in their table, what is checked of them, and what goes with them.

use std::{collections::HashMap, time::Duration};

use domain::{
    BaseUrl, Fault, Faults, PoolPolicy, Preset, Scope, Timeouts, Upstream, UpstreamId, UserId,
};
use entity::{provider_keys, upstreams};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect,
};

use crate::{
    Kind, Page, Result, Store, StoreError, TagFilter,
    change::Change,
    columns::{columns, note},
    json, limits,
    paging::{self, Stamp},
    resource::{EditOptions, Resource},
    rules, uncount,
};

impl Resource for Upstream {
    const KIND: Kind = Kind::Upstream;
    const COMPILED: bool = true;
    type Id = UpstreamId;
    type Filter = TagFilter;
    /// How many keys its pool holds.
    type Extra = u64;
    type Entity = upstreams::Entity;
    type Model = upstreams::Model;
    type Parts = ();

    fn id(&self) -> UpstreamId {
        self.id
    }

    fn owner(&self) -> UserId {
        self.owner
    }

    fn identify(&mut self, id: UpstreamId, owner: UserId) {
        (self.id, self.owner) = (id, owner);
    }

    fn faults(&self) -> Faults {
        Upstream::faults(self)
    }

    /// A preset and an address are checked when they are entered.
    async fn check(&self, before: Option<&Self>, change: &Change<'_>) -> Result<Faults> {
        let mut faults = Faults::default();
        if before.is_none_or(|before| before.preset != self.preset)
            && let Some(preset) = &self.preset
        {
            note(&mut faults, Preset::named(preset));
        }
        if before.is_none_or(|before| before.base_url != self.base_url) {
            let allowed = change.store().0.outbound.check_entered(&self.base_url);
            let denied = |denied: domain::Denied| Fault::new("base_url", denied.to_string());
            note(&mut faults, allowed.map_err(denied));
        }
        Ok(faults)
    }

    /// An address that cannot be read leads nowhere until an edit gives it another one.
    fn read(mut row: upstreams::Model, (): ()) -> Result<(Self, Faults), Faults> {
        let mut faults = Faults::default();
        if let Err(words) = BaseUrl::parse(&row.base_url) {
            faults.add("base_url", words);
            row.base_url = nowhere().to_string();
        }
        Ok((read(row)?, faults))
    }

    fn write(
        &self,
        _: Option<&upstreams::Model>,
        stamp: Stamp,
        _: &Change<'_>,
    ) -> upstreams::Model {
        write(self, stamp)
    }

    /// Provider keys only ever go where they were entered for.
    async fn saved(
        &self,
        before: Option<&Self>,
        options: EditOptions,
        change: &Change<'_>,
    ) -> Result<()> {
        match before {
            Some(before) => move_keys(change, before, &self.base_url, options.clear_keys).await,
            None => Ok(()),
        }
    }

    /// Its rules and its limits go with it, and by themselves the keys of its pool.
    async fn deleting(&self, change: &Change<'_>) -> Result<()> {
        rules::bury_of(change, self.id).await?;
        limits::delete_of(change, &Scope::Upstream(None), &[self.id.0]).await
    }

    fn wanted(filter: &TagFilter, _: &mut Page, _: &Store) -> Result<Condition> {
        paging::tagged(upstreams::Column::Tags, filter.tag.as_deref())
    }

    async fn extras(values: &[Self], db: &impl ConnectionTrait) -> Result<Vec<u64>> {
        let ids = values.iter().map(|upstream| upstream.id.0);
        let counts: Vec<(i64, i64)> = provider_keys::Entity::find()
            .select_only()
            .column(provider_keys::Column::UpstreamId)
            .column_as(provider_keys::Column::Id.count(), "keys")
            .filter(provider_keys::Column::UpstreamId.is_in(ids))
            .group_by(provider_keys::Column::UpstreamId)
            .into_tuple()
            .all(db)
            .await?;
        let counts: HashMap<i64, i64> = counts.into_iter().collect();
        let keys = |upstream: &Self| counts.get(&upstream.id.0).copied().map_or(0, uncount);
        Ok(values.iter().map(keys).collect())
    }
}

/// Stands for an address that cannot be read.
fn nowhere() -> BaseUrl {
    BaseUrl::parse("https://nowhere.invalid").expect("this is an address")
}

/// Refuses to take keys to another place, or deletes them if that was asked for.
async fn move_keys(
    change: &Change<'_>,
    before: &Upstream,
    new: &BaseUrl,
    clear: bool,
) -> Result<()> {
    let place = |url: &BaseUrl| (url.tls(), url.host().to_ascii_lowercase(), url.port());
    if place(&before.base_url) == place(new) {
        return Ok(());
    }
    let in_pool = provider_keys::Column::UpstreamId.eq(before.id.0);
    let pool = provider_keys::Entity::find().filter(in_pool.clone());
    if !clear {
        return match pool.count(change.tx()).await? {
            0 => Ok(()),
            keys => Err(StoreError::fault(
                "base_url",
                format!(
                    "the pool holds {keys} keys that were entered for {}; set `clear_keys` to \
                     delete them and enter keys for the new address, or make a new upstream",
                    before.base_url
                ),
            )),
        };
    }
    let ids = pool.select_only().column(provider_keys::Column::Id);
    let ids: Vec<i64> = ids.into_tuple().all(change.tx()).await?;
    provider_keys::Entity::delete_many().filter(in_pool).exec(change.tx()).await?;
    change.bury(Kind::ProviderKey, ids).await
}

columns! {
    Upstream in upstreams::Model
    plain { name, enabled, record_bodies, preset, ask_usage, }
    lists { dialects, models, header_rules, query, model_profiles, tags, }
    words { provider, strategy, key_placement, header_policy, paths, }
    write(upstream) {
        id: upstream.id.0,
        owner_id: upstream.owner.0,
        base_url: upstream.base_url.to_string(),
        retry_count: i32::try_from(upstream.retry_count).unwrap_or(i32::MAX),
        connect_timeout_ms: ms(upstream.timeouts.connect),
        first_byte_timeout_ms: ms(upstream.timeouts.first_byte),
        idle_timeout_ms: ms(upstream.timeouts.idle),
        total_timeout_ms: ms(upstream.timeouts.total),
        policy: json(&upstream.policy),
    }
    read(row, faults) {
        id: Some(UpstreamId(row.id)),
        owner: Some(UserId(row.owner_id)),
        base_url: note(
            &mut faults,
            BaseUrl::parse(&row.base_url).map_err(|words| Fault::new("base_url", words)),
        ),
        retry_count: Some(u32::try_from(row.retry_count).unwrap_or_default()),
        timeouts: Some(timeouts(&row)),
        policy: note(&mut faults, policy(&row.policy)),
    }
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn timeouts(row: &upstreams::Model) -> Timeouts {
    let ms = |value: i64| Duration::from_millis(uncount(value));
    Timeouts {
        connect: ms(row.connect_timeout_ms),
        first_byte: ms(row.first_byte_timeout_ms),
        idle: ms(row.idle_timeout_ms),
        total: ms(row.total_timeout_ms),
    }
}

fn policy(text: &str) -> Result<PoolPolicy, Fault> {
    let read = serde_json::from_str(text);
    read.map_err(|_| Fault::new("policy", "cannot be read by this version"))
}
