//! Upstreams: made, changed, read, deleted.

use std::{collections::HashMap, str::FromStr, time::Duration};

use auth::Actor;
use domain::{
    BaseUrl, Dialect, Fault, Faults, HeaderPolicy, HeaderRule, KeyPlacement, PathStyle, PoolPolicy,
    Preset, ProfileRule, Provider, QueryField, Revision, Scope, Strategy, Timeouts, Upstream,
    UpstreamId, UserId,
};
use entity::{provider_keys, upstreams};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter,
    QuerySelect,
};
use serde::de::DeserializeOwned;

use crate::{
    Listed, NewUpstream, Page, Result, Store, StoreError, UpstreamEdit, UpstreamRow,
    change::{Change, What},
    json, limits, moment, paging, rules, uncount,
};

const KIND: &str = "upstream";

impl Store {
    /// Makes an upstream.
    pub async fn create_upstream(&self, by: &Actor, new: NewUpstream) -> Result<UpstreamId> {
        let mut faults = Faults::default();
        let preset = known(&mut faults, new.preset.as_deref());
        let base_url = self.address(new.base_url.as_deref(), preset);
        let base_url = base_url.map_err(|refused| faults.0.extend(refused.0)).ok();
        let (Some(base_url), true) = (base_url, faults.0.is_empty()) else {
            let rest = made(UpstreamId(0), UserId(0), nowhere(), preset, new);
            return Err(with_the_rest(faults, &rest));
        };
        let change = self.begin(by).await?;
        let owner = change.owner(new.owner).await?;
        let id = UpstreamId(change.ids("upstreams", 1).await?);
        let upstream = made(id, UserId(owner), base_url, preset, new);
        let row = write(&upstream, &change, change.now_us);
        insert(&change, &row).await?;
        change.commit(What::created(KIND, id.0, &row)).await?;
        Ok(id)
    }

    /// Changes what `edit` names and leaves the rest. It is asked inside the change, with the
    /// upstream as it is then: nobody else changes it in between. An address that cannot be read is
    /// shown to it as one that leads nowhere.
    ///
    /// Provider keys only ever go where they were entered for. So an address with another scheme,
    /// host or port is refused while the pool holds keys, unless the edit says with `clear_keys`
    /// that they shall be deleted: they are then entered anew for the new place.
    pub async fn edit_upstream(
        &self,
        by: &Actor,
        id: UpstreamId,
        edit: impl FnOnce(&Upstream) -> Result<UpstreamEdit, Faults> + Send,
    ) -> Result<Revision> {
        let change = self.begin(by).await?;
        let before = find(&change, id).await?;
        let mut readable = before.clone();
        if BaseUrl::parse(&before.base_url).is_err() {
            readable.base_url = nowhere().to_string();
        }
        let edit = edit(&read(readable)?)?;
        let mut faults = Faults::default();
        known(&mut faults, edit.preset.iter().flatten().map(String::as_str).next());
        let base_url = edit.base_url.as_deref().map(|text| self.entered(text)).transpose();
        let base_url = base_url.map_err(|refused| faults.0.extend(refused.0)).unwrap_or_default();
        if !faults.0.is_empty() {
            let mut rest = before;
            rest.base_url = nowhere().to_string();
            let mut rest = read(rest)?;
            apply(&mut rest, None, edit);
            return Err(with_the_rest(faults, &rest));
        }
        if let Some(new) = &base_url {
            move_keys(&change, &before, new, edit.clear_keys).await?;
        }
        // An address that cannot be read is mended by a new one.
        let mut readable = before.clone();
        readable.base_url = base_url.as_ref().map_or(readable.base_url, BaseUrl::to_string);
        let mut upstream = read(readable)?;
        apply(&mut upstream, base_url, edit);
        let row = write(&upstream, &change, before.created_us);
        let active: upstreams::ActiveModel = row.clone().into();
        active.reset_all().update(change.tx()).await?;
        change.commit(What::edited(KIND, id.0, &before, &row, None)).await
    }

    /// Deletes an upstream, its key pool, its rules and its limits; refused while a route has it as a target.
    pub async fn delete_upstream(&self, by: &Actor, id: UpstreamId) -> Result<Revision> {
        let change = self.begin(by).await?;
        let row = find(&change, id).await?;
        rules::bury_of(&change, id).await?;
        limits::delete_of(&change, &Scope::Upstream(None), &[id.0]).await?;
        upstreams::Entity::delete_by_id(id.0).exec(change.tx()).await?;
        change.bury("upstreams", [id.0]).await?;
        change.commit(What::deleted(KIND, id.0, &row)).await
    }

    /// One upstream.
    pub async fn upstream(&self, id: UpstreamId) -> Result<UpstreamRow> {
        let db = self.0.db.reader().await?;
        let row = upstreams::Entity::find_by_id(id.0).one(&db).await?;
        let rows = with_keys(vec![row.ok_or(StoreError::NotFound(KIND))?], &db).await?;
        rows.into_iter().next().ok_or(StoreError::NotFound(KIND))
    }

    /// A page of upstreams.
    pub async fn upstreams(&self, page: Page) -> Result<Listed<UpstreamRow>> {
        let db = self.0.db.reader().await?;
        let (rows, next_cursor) = paging::page(upstreams::Entity::find(), &page, &db).await?;
        Ok(Listed { items: with_keys(rows, &db).await?, next_cursor })
    }

    /// An address as it was entered, if calls may be sent there.
    fn entered(&self, text: &str) -> Result<BaseUrl, Faults> {
        let fault = |words| Faults(vec![Fault::new("base_url", words)]);
        let url = BaseUrl::parse(text).map_err(fault)?;
        let allowed = self.0.outbound.check_entered(&url);
        allowed.map_err(|denied| fault(denied.to_string()))?;
        Ok(url)
    }

    /// The address of a new upstream: as it was entered, or as its preset knows it.
    fn address(&self, text: Option<&str>, preset: Option<&Preset>) -> Result<BaseUrl, Faults> {
        let missing = match (text, preset) {
            (Some(text), _) => return self.entered(text),
            (None, Some(preset)) if preset.has_address() => return self.entered(&preset.base_url),
            (None, Some(preset)) => format!("is required, of the form {}", preset.base_url),
            (None, None) => "is required, unless a preset knows it".to_owned(),
        };
        Err(Faults(vec![Fault::new("base_url", missing)]))
    }
}

/// The preset that was named, if it is one.
fn known(faults: &mut Faults, named: Option<&str>) -> Option<&'static Preset> {
    note(faults, Preset::named(named?))
}

/// Stands for an address that was refused, so that the rest can be looked at.
fn nowhere() -> BaseUrl {
    BaseUrl::parse("https://nowhere.invalid").expect("this is an address")
}

/// A refused address does not hide what else is at fault: all is told at once.
fn with_the_rest(mut faults: Faults, rest: &Upstream) -> StoreError {
    faults.0.extend(rest.faults().0);
    StoreError::Unservable(faults)
}

fn made(
    id: UpstreamId,
    owner: UserId,
    base_url: BaseUrl,
    preset: Option<&Preset>,
    new: NewUpstream,
) -> Upstream {
    let mut upstream = match preset {
        Some(preset) => preset.upstream(id, owner, new.name, base_url),
        None => Upstream::new(id, owner, new.name, base_url),
    };
    if let Some(provider) = new.provider {
        upstream.provider = provider;
        if preset.is_none() {
            upstream.dialects = provider.dialects();
            upstream.key_placement = provider.key_placement();
        }
    }
    set(&mut upstream.dialects, new.dialects);
    set(&mut upstream.enabled, new.enabled);
    set(&mut upstream.strategy, new.strategy);
    set(&mut upstream.retry_count, new.retry_count);
    set(&mut upstream.timeouts, new.timeouts);
    set(&mut upstream.key_placement, new.key_placement);
    set(&mut upstream.header_policy, new.header_policy);
    set(&mut upstream.header_rules, new.header_rules);
    set(&mut upstream.paths, new.paths);
    set(&mut upstream.query, new.query);
    set(&mut upstream.ask_usage, new.ask_usage);
    set(&mut upstream.policy, new.policy);
    upstream.models = new.models;
    upstream.record_bodies = new.record_bodies;
    upstream.model_profiles = new.model_profiles;
    upstream
}

fn apply(upstream: &mut Upstream, base_url: Option<BaseUrl>, edit: UpstreamEdit) {
    set(&mut upstream.name, edit.name);
    set(&mut upstream.base_url, base_url);
    if let Some(provider) = edit.provider {
        // What followed from the provider before follows from the new one.
        if upstream.dialects == upstream.provider.dialects() {
            upstream.dialects = provider.dialects();
        }
        if upstream.key_placement == upstream.provider.key_placement() {
            upstream.key_placement = provider.key_placement();
        }
        upstream.provider = provider;
    }
    set(&mut upstream.dialects, edit.dialects);
    set(&mut upstream.models, edit.models);
    set(&mut upstream.enabled, edit.enabled);
    set(&mut upstream.strategy, edit.strategy);
    set(&mut upstream.retry_count, edit.retry_count);
    set(&mut upstream.timeouts, edit.timeouts);
    set(&mut upstream.key_placement, edit.key_placement);
    set(&mut upstream.header_policy, edit.header_policy);
    set(&mut upstream.header_rules, edit.header_rules);
    set(&mut upstream.record_bodies, edit.record_bodies);
    set(&mut upstream.preset, edit.preset);
    set(&mut upstream.paths, edit.paths);
    set(&mut upstream.query, edit.query);
    set(&mut upstream.model_profiles, edit.model_profiles);
    set(&mut upstream.ask_usage, edit.ask_usage);
    set(&mut upstream.policy, edit.policy);
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// Refuses to take keys to another place, or deletes them if that was asked for.
async fn move_keys(
    change: &Change<'_>,
    before: &upstreams::Model,
    new: &BaseUrl,
    clear: bool,
) -> Result<()> {
    let place = |url: &BaseUrl| (url.tls(), url.host().to_ascii_lowercase(), url.port());
    if BaseUrl::parse(&before.base_url).is_ok_and(|old| place(&old) == place(new)) {
        return Ok(());
    }
    let in_pool = provider_keys::Column::UpstreamId.eq(before.id);
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
    change.bury("provider_keys", ids).await
}

async fn find(change: &Change<'_>, id: UpstreamId) -> Result<upstreams::Model> {
    let row = upstreams::Entity::find_by_id(id.0).one(change.tx()).await?;
    let row = row.ok_or(StoreError::NotFound(KIND))?;
    change.owned(row.owner_id, KIND)?;
    change.expects(row.updated_us)?;
    Ok(row)
}

async fn insert(change: &Change<'_>, row: &upstreams::Model) -> Result<()> {
    let row: upstreams::ActiveModel = row.clone().into();
    upstreams::Entity::insert(row.reset_all()).exec_without_returning(change.tx()).await?;
    Ok(())
}

/// Adds how many keys each pool holds, with one query.
async fn with_keys(
    rows: Vec<upstreams::Model>,
    db: &impl ConnectionTrait,
) -> Result<Vec<UpstreamRow>> {
    let counts: Vec<(i64, i64)> = provider_keys::Entity::find()
        .select_only()
        .column(provider_keys::Column::UpstreamId)
        .column_as(provider_keys::Column::Id.count(), "keys")
        .filter(provider_keys::Column::UpstreamId.is_in(rows.iter().map(|row| row.id)))
        .group_by(provider_keys::Column::UpstreamId)
        .into_tuple()
        .all(db)
        .await?;
    let counts: HashMap<i64, i64> = counts.into_iter().collect();
    let row = |row: upstreams::Model| {
        let (created_at, updated_at) = (moment(row.created_us), moment(row.updated_us));
        let keys = counts.get(&row.id).copied().map_or(0, uncount);
        Ok(UpstreamRow { upstream: read(row)?, keys, created_at, updated_at })
    };
    rows.into_iter().map(row).collect()
}

fn write(upstream: &Upstream, change: &Change<'_>, created_us: i64) -> upstreams::Model {
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    upstreams::Model {
        id: upstream.id.0,
        owner_id: upstream.owner.0,
        name: upstream.name.clone(),
        provider: upstream.provider.to_string(),
        base_url: upstream.base_url.to_string(),
        dialects: json(&upstream.dialects),
        models: json(&upstream.models),
        enabled: upstream.enabled,
        strategy: upstream.strategy.to_string(),
        retry_count: i32::try_from(upstream.retry_count).unwrap_or(i32::MAX),
        connect_timeout_ms: ms(upstream.timeouts.connect),
        first_byte_timeout_ms: ms(upstream.timeouts.first_byte),
        idle_timeout_ms: ms(upstream.timeouts.idle),
        total_timeout_ms: ms(upstream.timeouts.total),
        key_placement: upstream.key_placement.to_string(),
        header_policy: upstream.header_policy.to_string(),
        header_rules: json(&upstream.header_rules),
        record_bodies: upstream.record_bodies,
        preset: upstream.preset.clone(),
        paths: upstream.paths.to_string(),
        query: json(&upstream.query),
        model_profiles: json(&upstream.model_profiles),
        ask_usage: upstream.ask_usage,
        policy: json(&upstream.policy),
        created_us,
        updated_us: change.now_us,
        revision: change.revision,
    }
}

/// The upstream of a row, or the columns that this program cannot read.
pub(crate) fn read(row: upstreams::Model) -> Result<Upstream, Faults> {
    let mut faults = Faults::default();
    let base_url =
        note(&mut faults, BaseUrl::parse(&row.base_url).map_err(|w| Fault::new("base_url", w)));
    let provider = note(&mut faults, Provider::from_str(&row.provider));
    let strategy = note(&mut faults, Strategy::from_str(&row.strategy));
    let key_placement = note(&mut faults, KeyPlacement::from_str(&row.key_placement));
    let header_policy = note(&mut faults, HeaderPolicy::from_str(&row.header_policy));
    let dialects: Option<Vec<Dialect>> = list(&mut faults, "dialects", &row.dialects);
    let models = list(&mut faults, "models", &row.models);
    let header_rules: Option<Vec<HeaderRule>> =
        list(&mut faults, "header_rules", &row.header_rules);
    let paths = note(&mut faults, PathStyle::from_str(&row.paths));
    let query: Option<Vec<QueryField>> = list(&mut faults, "query", &row.query);
    let model_profiles: Option<Vec<ProfileRule>> =
        list(&mut faults, "model_profiles", &row.model_profiles);
    let policy = serde_json::from_str::<PoolPolicy>(&row.policy)
        .map_err(|_| Fault::new("policy", "cannot be read by this version"));
    let policy = note(&mut faults, policy);
    let ms = |value: i64| Duration::from_millis(uncount(value));
    let upstream = (|| {
        Some(Upstream {
            id: UpstreamId(row.id),
            owner: UserId(row.owner_id),
            name: row.name,
            provider: provider?,
            base_url: base_url?,
            dialects: dialects?,
            models: models?,
            enabled: row.enabled,
            strategy: strategy?,
            retry_count: u32::try_from(row.retry_count).unwrap_or_default(),
            timeouts: Timeouts {
                connect: ms(row.connect_timeout_ms),
                first_byte: ms(row.first_byte_timeout_ms),
                idle: ms(row.idle_timeout_ms),
                total: ms(row.total_timeout_ms),
            },
            key_placement: key_placement?,
            header_policy: header_policy?,
            header_rules: header_rules?,
            record_bodies: row.record_bodies,
            preset: row.preset,
            paths: paths?,
            query: query?,
            model_profiles: model_profiles?,
            ask_usage: row.ask_usage,
            policy: policy?,
        })
    })();
    upstream.ok_or(faults)
}

fn note<T>(faults: &mut Faults, read: Result<T, Fault>) -> Option<T> {
    read.map_err(|fault| faults.0.push(fault)).ok()
}

/// A list as a column holds it.
pub(crate) fn list<T: DeserializeOwned>(
    faults: &mut Faults,
    field: &'static str,
    text: &str,
) -> Option<Vec<T>> {
    let read = serde_json::from_str(text);
    note(faults, read.map_err(|_| Fault::new(field, "cannot be read by this version")))
}
