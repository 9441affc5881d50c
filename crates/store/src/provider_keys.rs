//! Provider keys: how they lie in their table, and what is checked of them. Their secrets are sealed
//! on the way in, and opened only on the way into the catalog.

use std::collections::BTreeMap;

use auth::{Place, Sealer};
use chrono::{DateTime, Utc};
use domain::{
    Fault, Faults, KeptStanding, KeyState, Period, ProviderKey, ProviderKeyId, Quota, Unit,
    UpstreamId, UserId, provider_key::mask,
};
use entity::{provider_keys, upstreams};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter,
};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    Kind, MaskedKey, Page, ProviderKeyFilter, Result, Store, StoreError,
    change::Change,
    columns::list,
    count, json, moment,
    paging::Stamp,
    resource::{EditOptions, Resource},
    standings::{self, Before},
    uncount,
};

mod bulk;
mod import;

/// Rows of one statement; SQLite takes at most 32,766 values.
const ROWS: usize = 1000;
/// Longest note.
const NOTE_MAX: usize = 2000;

impl Resource for MaskedKey {
    const KIND: Kind = Kind::ProviderKey;
    type Id = ProviderKeyId;
    type Filter = ProviderKeyFilter;
    /// What was found of it, for all models or for one, and is not over. What a person made void since
    /// is left out.
    type Extra = Vec<KeptStanding>;
    type Entity = provider_keys::Entity;
    type Model = provider_keys::Model;
    type Parts = ();

    fn id(&self) -> ProviderKeyId {
        self.id
    }

    fn owner(&self) -> UserId {
        self.owner
    }

    fn identify(&mut self, id: ProviderKeyId, owner: UserId) {
        (self.id, self.owner) = (id, owner);
    }

    fn faults(&self) -> Faults {
        MaskedKey::faults(self)
    }

    /// Its pool must be there, and must not hold its secret already.
    async fn check(&self, before: Option<&Self>, change: &Change<'_>) -> Result<Faults> {
        let mut faults = Faults::default();
        if before.is_none() && !may_hold(change, self.upstream).await? {
            faults.add("upstream_id", "there is no such upstream");
        } else if let Some(secret) = &self.secret {
            first_in_pool(self, secret, change).await?;
        }
        Ok(faults)
    }

    fn read(row: provider_keys::Model, (): ()) -> Result<(Self, Faults), Faults> {
        let state = row.state.parse();
        let (state, quotas) = (state.map_err(only)?, quotas(&row).map_err(only)?);
        let mut faults = Faults::default();
        let Some(tags) = list(&mut faults, "tags", &row.tags) else { return Err(faults) };
        let key = MaskedKey {
            id: ProviderKeyId(row.id),
            upstream: UpstreamId(row.upstream_id),
            owner: UserId(row.owner_id),
            state,
            quotas,
            name: row.name,
            secret: None,
            mask: row.mask,
            weight: u32::try_from(row.weight).unwrap_or_default(),
            enable_quota: row.enable_quota,
            quota_total: row.quota_total.map(uncount),
            group: row.quota_group,
            cleared_at: row.cleared_us.map(moment),
            note: row.note,
            tags,
        };
        Ok((key, Faults::default()))
    }

    /// What was found of another secret says nothing of a new one.
    fn complete(&mut self, before: Option<&Self>, change: &Change<'_>) {
        let Some(secret) = &self.secret else { return };
        self.mask = mask(secret.expose_secret());
        if before.is_some() {
            self.cleared_at = Some(moment(change.now_us));
        }
    }

    fn write(
        &self,
        before: Option<&provider_keys::Model>,
        stamp: Stamp,
        change: &Change<'_>,
    ) -> provider_keys::Model {
        let mut row = row(self, stamp);
        if let Some(secret) = &self.secret {
            row.secret = seal(&change.store().0.sealer, &row, secret);
            row.fingerprint = Some(change.store().0.fingerprints.of(secret));
        } else if let Some(before) = before {
            row.secret.clone_from(&before.secret);
            row.fingerprint.clone_from(&before.fingerprint);
        }
        row
    }

    /// That a person decided of its state is a step of the key.
    async fn saved(
        &self,
        before: Option<&Self>,
        _: EditOptions,
        change: &Change<'_>,
    ) -> Result<()> {
        let decided =
            |before: &&Self| before.state != self.state || before.cleared_at != self.cleared_at;
        let Some(before) = before.filter(decided) else { return Ok(()) };
        let stood = Before {
            key: before.id,
            upstream: before.upstream,
            state: before.state,
            cleared_us: before.cleared_at.map(|at| at.timestamp_micros()),
        };
        standings::note(change, change.by(), &[stood], self.state).await
    }

    fn replaced(&self) -> Option<&'static str> {
        self.secret.as_ref().map(|_| "key_value")
    }

    /// A search looks for more than names.
    fn wanted(filter: &ProviderKeyFilter, page: &mut Page, store: &Store) -> Result<Condition> {
        let mut filter = filter.clone();
        filter.search = page.search.take().or(filter.search);
        store.meant(&filter)
    }

    async fn extras(values: &[Self], db: &impl ConnectionTrait) -> Result<Vec<Vec<KeptStanding>>> {
        let ids: Vec<_> = values.iter().map(|key| key.id).collect();
        let mut standings = BTreeMap::<_, Vec<_>>::new();
        for found in standings::of_keys(&ids, db).await? {
            standings.entry(found.key).or_default().push(found);
        }
        let of = |key: &Self| {
            let mut of = standings.remove(&key.id).unwrap_or_default();
            of.retain(|found| key.cleared_at.is_none_or(|at| found.standing.since > at));
            of
        };
        Ok(values.iter().map(of).collect())
    }
}

impl MaskedKey {
    /// A key with a name and a secret, and everything else as usual.
    pub fn new(
        id: ProviderKeyId,
        owner: UserId,
        upstream: UpstreamId,
        name: impl Into<String>,
        secret: SecretString,
    ) -> Self {
        Self {
            id,
            upstream,
            owner,
            name: name.into(),
            mask: mask(secret.expose_secret()),
            secret: Some(secret),
            state: KeyState::Active,
            weight: 1,
            enable_quota: false,
            quota_total: None,
            quotas: Vec::new(),
            group: None,
            cleared_at: None,
            note: String::new(),
            tags: Vec::new(),
        }
    }

    /// Puts it to what a person decided at `now`. That it is to be used also voids what the gateway
    /// concluded about it.
    pub fn decide(&mut self, state: KeyState, now: DateTime<Utc>) {
        self.state = state;
        if state == KeyState::Active {
            self.cleared_at = Some(now);
        }
    }

    /// What the domain says of it, and of what only the store knows. The stored secret was looked at
    /// when it was entered.
    pub fn faults(&self) -> Faults {
        let secret = self.secret.clone().unwrap_or_else(|| "stored".into());
        let mut faults = self.served(secret).faults();
        if self.enable_quota && self.quotas.iter().any(is_short) {
            faults.add("enable_quota", "`quotas` says already how many requests it may make a day");
        }
        if self.enable_quota && self.quota_total.is_none() {
            faults.add("quota_total", "must be given when the quota counts");
        }
        faults.0.extend(domain::tags::faults(&self.tags).0);
        if self.note.len() > NOTE_MAX {
            faults.add("note", format!("must be at most {NOTE_MAX} bytes"));
        }
        faults
    }

    /// The key as the data plane gets it.
    fn served(&self, secret: SecretString) -> ProviderKey {
        let mut quotas = self.quotas.clone();
        let short = self.quota_total.filter(|_| self.enable_quota);
        if let Some(total) = short.filter(|_| !quotas.iter().any(is_short)) {
            quotas.push(Quota::requests_a_day(total));
        }
        ProviderKey {
            id: self.id,
            upstream: self.upstream,
            owner: self.owner,
            name: self.name.clone(),
            secret,
            state: self.state,
            weight: self.weight,
            quotas,
            group: self.group.clone(),
            cleared_at: self.cleared_at,
        }
    }
}

/// Refuses a key whose secret another key of its pool has: the provider counts both as one, and
/// would be asked twice as often as it allows.
async fn first_in_pool(key: &MaskedKey, secret: &SecretString, change: &Change<'_>) -> Result<()> {
    use provider_keys::{Column, Entity, Model};
    let store = &change.store().0;
    let known = store.fingerprints.of(secret);
    let others = || {
        let of_pool = Entity::find().filter(Column::UpstreamId.eq(key.upstream.0));
        of_pool.filter(Column::Id.ne(key.id.0))
    };
    let same = others().filter(Column::Fingerprint.eq(known.as_str())).one(change.tx()).await?;
    let same = match same {
        Some(same) => Some(same),
        // Keys that were entered before there were fingerprints.
        None => {
            let unknown = others().filter(Column::Fingerprint.is_null()).all(change.tx()).await?;
            let print = |row: &Model| {
                let opened = store.sealer.open(&place(row), &row.secret).ok()?;
                Some(store.fingerprints.of(&opened))
            };
            unknown.into_iter().find(|row| print(row).as_ref() == Some(&known))
        }
    };
    match same {
        None => Ok(()),
        Some(same) => Err(StoreError::conflict(
            "key_value",
            format!("the pool has this key already: `{}` (id {})", same.name, same.id),
        )),
    }
}

/// Whether there is such an upstream, as far as whoever changes this can see.
async fn may_hold(change: &Change<'_>, id: UpstreamId) -> Result<bool> {
    let row = upstreams::Entity::find_by_id(id.0).one(change.tx()).await?;
    Ok(row.is_some_and(|row| change.owned(row.owner_id, Kind::Upstream).is_ok()))
}

/// The row of a key, without its secret.
fn row(key: &MaskedKey, stamp: Stamp) -> provider_keys::Model {
    provider_keys::Model {
        id: key.id.0,
        upstream_id: key.upstream.0,
        owner_id: key.owner.0,
        name: key.name.clone(),
        secret: String::new(),
        mask: key.mask.clone(),
        state: key.state.to_string(),
        weight: weight(key.weight),
        enable_quota: key.enable_quota,
        quota_total: key.quota_total.map(count),
        quotas: json(&key.quotas),
        quota_group: key.group.clone(),
        cleared_us: key.cleared_at.map(|at| at.timestamp_micros()),
        fingerprint: None,
        note: key.note.clone(),
        tags: json(&key.tags),
        created_us: stamp.created_us,
        updated_us: stamp.updated_us,
        revision: stamp.revision,
    }
}

fn weight(share: u32) -> i32 {
    i32::try_from(share).unwrap_or(i32::MAX)
}

async fn insert(change: &Change<'_>, rows: Vec<provider_keys::Model>) -> Result<()> {
    for rows in rows.chunks(ROWS) {
        let rows = rows.iter().cloned().map(|row| {
            let row: provider_keys::ActiveModel = row.into();
            row.reset_all()
        });
        provider_keys::Entity::insert_many(rows).exec_without_returning(change.tx()).await?;
    }
    Ok(())
}

fn place(row: &provider_keys::Model) -> Place<'static> {
    Place { table: "provider_keys", column: "secret", row: row.id, owner: row.owner_id }
}

fn seal(sealer: &Sealer, row: &provider_keys::Model, secret: &SecretString) -> String {
    sealer.seal(&place(row), secret.expose_secret().as_bytes())
}

/// The key of a row with its secret opened, or why it is of no use.
pub(crate) fn open(row: provider_keys::Model, sealer: &Sealer) -> Result<ProviderKey, String> {
    let secret = sealer.open(&place(&row), &row.secret).map_err(|error| error.to_string())?;
    let (key, _) = MaskedKey::read(row, ()).map_err(|faults| faults.to_string())?;
    Ok(key.served(secret))
}

/// The key of a row.
fn masked(row: provider_keys::Model) -> Result<MaskedKey> {
    Ok(MaskedKey::read(row, ())?.0)
}

/// The quotas that are not given in the short form.
fn quotas(row: &provider_keys::Model) -> Result<Vec<Quota>, Fault> {
    let quotas = serde_json::from_str(&row.quotas);
    quotas.map_err(|_| Fault::new("quotas", "cannot be read by this version"))
}

fn only(fault: Fault) -> Faults {
    Faults(vec![fault])
}

/// Whether it says what the short form says.
fn is_short(quota: &Quota) -> bool {
    (quota.unit, quota.period) == (Unit::Requests, Period::Day)
}
