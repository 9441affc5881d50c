//! A list of provider keys comes into a pool: what is good is entered, although the rest is not.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use auth::{Actor, Fingerprints, Sealer};
use domain::{Fault, Faults, ProviderKeyId, UpstreamId, UserId};
use entity::{
    provider_keys::{Column, Entity, Model},
    upstreams,
};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};
use secrecy::SecretString;

use super::{insert, place, row, seal};
use crate::{
    ImportResult, ImportedKey, Kind, MaskedKey, Result, Store, StoreError,
    catalog::Keys,
    change::{Change, What},
    paging::Stamp,
    resource::Resource,
    touched,
};

/// Keys of one change. Others who write wait no longer than it takes.
const AT_ONCE: usize = 5000;

impl Store {
    /// Enters what is good of a list of keys into a pool, and tells what became of each. A key is
    /// known by its secret: one that the pool has already, or that stood earlier in the list, is
    /// not entered again. `dry_run` only tells.
    ///
    /// A long list is entered by several changes, so that others get their turn. Where that breaks
    /// off, what was entered stays; the same list once more enters the rest.
    pub async fn import_provider_keys(
        &self,
        by: &Actor,
        upstream: UpstreamId,
        keys: Vec<ImportedKey>,
        dry_run: bool,
    ) -> Result<Vec<ImportResult>> {
        if keys.len() > Self::KEYS_AT_ONCE {
            return Err(StoreError::fault("text", "must hold at most 100000 keys"));
        }
        let db = self.0.db.reader().await?;
        may_hold(&db, by, upstream).await?;
        let held = held(&db, upstream).await?;
        let (sealer, fingerprints) = (self.0.sealer.clone(), self.0.fingerprints.clone());
        let (mut results, mut good) = beside(move || {
            let pool = Pool::of(held, &sealer, &fingerprints);
            sort_out(keys, pool, upstream, &fingerprints)
        })
        .await?;
        if dry_run {
            return Ok(results);
        }
        let parts = good.len().div_ceil(AT_ONCE);
        for part in 1..=parts {
            let these: Vec<_> = good.drain(..good.len().min(AT_ONCE)).collect();
            self.enter(by, upstream, these, &mut results, (part, parts)).await?;
        }
        Ok(results)
    }

    /// Enters keys as one change, but for those that came into the pool since it was looked at.
    async fn enter(
        &self,
        by: &Actor,
        upstream: UpstreamId,
        mut good: Vec<Good>,
        results: &mut [ImportResult],
        part: (usize, usize),
    ) -> Result<()> {
        let change = self.begin(by).await?;
        may_hold(change.tx(), by, upstream).await?;
        let owner = change.owner().0;
        let new = newly_held(&change, upstream, &good).await?;
        rename(&change, upstream, &mut good, &new).await?;
        good.retain(|good| match new.clash(&good.row) {
            None => true,
            Some(result) => {
                results[good.place] = result;
                false
            }
        });
        if good.is_empty() {
            return Ok(());
        }
        let first = change.ids(Kind::ProviderKey, good.len()).await?;
        for (good, id) in good.iter_mut().zip(first..) {
            results[good.place] = ImportResult::Created(Some(ProviderKeyId(id)));
            let row = &mut good.row;
            (row.id, row.owner_id, row.revision) = (id, owner, change.revision);
            (row.created_us, row.updated_us) = (change.now_us, change.now_us);
        }
        let sealer = self.0.sealer.clone();
        let many = good.len() > touched::MOST;
        let (rows, keys) = beside(move || sealed(good, &sealer)).await?;
        let mut detail = serde_json::json!({
            "count": rows.len(), "first_id": first, "upstream_id": upstream.0,
        });
        if part.1 > 1 {
            detail["part"] = format!("{} of {}", part.0, part.1).into();
        }
        insert(&change, rows).await?;
        let what = What::about("imported", Kind::ProviderKey.as_str(), detail);
        // Of fewer keys the rows are read, because a version of each is kept.
        let base = change.base();
        change.commit_knowing(what, &base, many.then_some(keys)).await?;
        Ok(())
    }
}

/// A key to be entered: where it stands in the list, and a row that lacks what only the change
/// that enters it knows.
struct Good {
    place: usize,
    row: Model,
    secret: SecretString,
    /// Whether the list names it, and not we.
    named: bool,
}

/// What a pool has already.
#[derive(Default)]
struct Pool {
    /// Keys by the fingerprints of their secrets.
    secrets: HashMap<String, i64>,
    names: HashSet<String>,
}

/// The id, the name and the fingerprint of a key, and its row where it has no fingerprint.
type Held = (i64, String, Option<String>, Option<Model>);

impl Pool {
    /// Keys that were entered before there were fingerprints get theirs here. One that does not
    /// open is of no use, and like no other.
    fn of(held: Vec<Held>, sealer: &Sealer, fingerprints: &Fingerprints) -> Self {
        let mut pool = Pool::default();
        for (id, name, fingerprint, row) in held {
            let opened = || {
                let row = row?;
                sealer.open(&place(&row), &row.secret).ok()
            };
            let fingerprint = fingerprint.or_else(|| Some(fingerprints.of(&opened()?)));
            pool.names.insert(name);
            pool.secrets.extend(fingerprint.map(|fingerprint| (fingerprint, id)));
        }
        pool
    }

    /// What becomes of a good key that this has already.
    fn clash(&self, row: &Model) -> Option<ImportResult> {
        let same = row.fingerprint.as_ref().and_then(|fingerprint| self.secrets.get(fingerprint));
        if let Some(id) = same {
            return Some(ImportResult::InPool(ProviderKeyId(*id)));
        }
        self.names.contains(&row.name).then(|| ImportResult::Invalid(Faults(vec![name_taken()])))
    }
}

fn name_taken() -> Fault {
    Fault::new("name", "another key of this upstream has this name")
}

/// Refused where there is no such upstream, as far as whoever imports can see.
async fn may_hold(db: &impl ConnectionTrait, by: &Actor, id: UpstreamId) -> Result<()> {
    let row = upstreams::Entity::find_by_id(id.0).one(db).await?;
    let visible = |owner| by.confined_to().is_none_or(|own| own.0 == owner);
    match row.filter(|row| visible(row.owner_id)) {
        Some(_) => Ok(()),
        None => Err(StoreError::fault("upstream_id", "there is no such upstream")),
    }
}

/// The keys of a pool.
async fn held(db: &impl ConnectionTrait, upstream: UpstreamId) -> Result<Vec<Held>> {
    let of_pool = || Entity::find().filter(Column::UpstreamId.eq(upstream.0));
    let unknown = of_pool().filter(Column::Fingerprint.is_null()).all(db).await?;
    let mut unknown: HashMap<i64, Model> = unknown.into_iter().map(|row| (row.id, row)).collect();
    let columns = of_pool().select_only().columns([Column::Id, Column::Name, Column::Fingerprint]);
    let rows: Vec<(i64, String, Option<String>)> = columns.into_tuple().all(db).await?;
    let whole = |(id, name, fingerprint)| (id, name, fingerprint, unknown.remove(&id));
    Ok(rows.into_iter().map(whole).collect())
}

/// The keys of a pool that have the secret or the name of one of these. All of them have
/// fingerprints: who had none was known before.
async fn newly_held(change: &Change<'_>, upstream: UpstreamId, good: &[Good]) -> Result<Pool> {
    let names = Column::Name.is_in(good.iter().map(|good| &good.row.name));
    let prints = Column::Fingerprint.is_in(good.iter().filter_map(|g| g.row.fingerprint.as_ref()));
    let mut pool = Pool::default();
    for these in [names, prints] {
        let found = Entity::find().filter(Column::UpstreamId.eq(upstream.0)).filter(these);
        let found = found.select_only().columns([Column::Id, Column::Name, Column::Fingerprint]);
        let found: Vec<(i64, String, Option<String>)> = found.into_tuple().all(change.tx()).await?;
        for (id, name, fingerprint) in found {
            pool.names.insert(name);
            pool.secrets.extend(fingerprint.map(|fingerprint| (fingerprint, id)));
        }
    }
    Ok(pool)
}

/// Gives other names to keys that we named, where the pool has such names since it was looked at.
async fn rename(
    change: &Change<'_>,
    upstream: UpstreamId,
    good: &mut [Good],
    new: &Pool,
) -> Result<()> {
    let clashes = |good: &Good| !good.named && new.names.contains(&good.row.name);
    if !good.iter().any(clashes) {
        return Ok(());
    }
    let names = Entity::find().filter(Column::UpstreamId.eq(upstream.0)).select_only();
    let names: Vec<String> = names.column(Column::Name).into_tuple().all(change.tx()).await?;
    let mut names: HashSet<_> = names.into_iter().collect();
    let mut number = names.len();
    names.extend(good.iter().map(|good| good.row.name.clone()));
    for good in good.iter_mut().filter(|good| clashes(good)) {
        good.row.name = next_name(&names, &mut number);
        names.insert(good.row.name.clone());
    }
    Ok(())
}

/// Tells the good keys of a list from the others.
fn sort_out(
    keys: Vec<ImportedKey>,
    mut pool: Pool,
    upstream: UpstreamId,
    fingerprints: &Fingerprints,
) -> (Vec<ImportResult>, Vec<Good>) {
    let mut seen = HashMap::new();
    let mut good = Vec::new();
    let mut number = pool.names.len();
    let mut results = Vec::with_capacity(keys.len());
    for (place, key) in keys.into_iter().enumerate() {
        let fingerprint = fingerprints.of(&key.secret);
        if let Some(id) = pool.secrets.get(&fingerprint) {
            results.push(ImportResult::InPool(ProviderKeyId(*id)));
            continue;
        }
        if let Some(first) = seen.get(&fingerprint) {
            results.push(ImportResult::InList(*first));
            continue;
        }
        let named = key.name.is_some();
        let name = key.name.clone().unwrap_or_else(|| next_name(&pool.names, &mut number));
        let (key, secret) = entered(key, name, upstream);
        let found = judged(&key, &pool.names);
        if !found.0.is_empty() {
            results.push(ImportResult::Invalid(found));
            continue;
        }
        seen.insert(fingerprint.clone(), place);
        pool.names.insert(key.name.clone());
        let mut row = row(&key, UNSTAMPED);
        row.fingerprint = Some(fingerprint);
        good.push(Good { place, row, secret, named });
        results.push(ImportResult::Created(None));
    }
    (results, good)
}

fn judged(key: &MaskedKey, names: &HashSet<String>) -> Faults {
    let mut found = key.faults();
    if names.contains(&key.name) {
        found.0.push(name_taken());
    }
    found
}

/// The next name that no key of the pool has.
fn next_name(names: &HashSet<String>, number: &mut usize) -> String {
    loop {
        *number += 1;
        let name = format!("key {number:06}");
        if !names.contains(&name) {
            return name;
        }
    }
}

/// What only the change that enters a key knows.
const UNSTAMPED: Stamp = Stamp { created_us: 0, updated_us: 0, revision: 0 };

/// A key of the list, but for what only the change that enters it knows.
fn entered(key: ImportedKey, name: String, upstream: UpstreamId) -> (MaskedKey, SecretString) {
    let secret = key.secret.clone();
    let mut new = MaskedKey::new(ProviderKeyId(0), UserId(0), upstream, name, key.secret);
    new.state = key.state.unwrap_or(new.state);
    new.weight = key.weight.unwrap_or(new.weight);
    (new.note, new.group, new.tags) = (key.note, key.group, key.tags);
    new.enable_quota = key.enable_quota.unwrap_or(key.quota_total.is_some());
    new.quota_total = key.quota_total;
    new.quotas = key.quotas;
    (new, secret)
}

/// The rows of keys with their secrets sealed, and the keys as the data plane gets them.
fn sealed(good: Vec<Good>, sealer: &Sealer) -> (Vec<Model>, Keys) {
    let mut rows = Vec::with_capacity(good.len());
    let mut keys = Keys::new();
    for Good { mut row, secret, .. } in good {
        row.secret = seal(sealer, &row, &secret);
        let key = MaskedKey::read(row.clone(), ()).map(|(key, _)| Arc::new(key.served(secret)));
        keys.insert(ProviderKeyId(row.id), key.ok());
        rows.push(row);
    }
    (rows, keys)
}

/// Work that takes long is done beside the async threads.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| StoreError::Unavailable("shutting down".into()))
}
