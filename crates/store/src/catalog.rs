//! The catalog: read whole once, and then only what changed since.
//!
//! Every row of the catalog carries the revision of the change that last touched it, and what was
//! deleted leaves a tombstone with the revision of the change that did it. So a catalog is brought
//! from one revision to another by reading the rows and tombstones in between; the rest is shared
//! with the catalog before.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use auth::{Grant, Sealer};
use domain::{
    Catalog, CompiledRule, Faults, Limit, LimitId, Owner, ProviderKey, ProviderKeyId, Revision,
    Route, RouteId, RuleId, ServiceKey, ServiceKeyId, UpstreamEntry, UpstreamId, UserId,
};
use entity::{
    limits, provider_keys, roles, routes, rules, service_keys, tombstones, upstreams, users,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde::Serialize;
use tracing::error;

use crate::{
    Kind, Result, Store, StoreError,
    loaded::{Loaded, revision},
    routes::Whole,
    touched::Touched,
};

/// Tombstones of this many changes are kept; who fell further behind reads everything.
pub(crate) const TOMBSTONES_KEPT: i64 = 100_000;
/// Longest time in which a load of the catalog waits for a commit of this process.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(1);
/// From this many secrets on they are opened beside the async threads.
const MANY_SECRETS: usize = 256;
/// Keys that are read at once of all there are.
const PART: usize = 5000;

impl Store {
    /// The number of the newest change; one cheap query. Another process may have raised it.
    pub async fn revision(&self) -> Result<Revision> {
        revision(&self.0.db.reader().await?).await
    }

    /// The catalog at its newest revision. Only what changed since the last call is read; the rest
    /// is shared with the catalog before. A provider key whose secret does not open is left out.
    pub async fn load_catalog(&self) -> Result<Arc<Catalog>> {
        let newest = self.revision().await?;
        let base = self.base(self.0.db.generation());
        if base.revision == newest {
            return Ok(base);
        }
        self.await_commit().await;
        let _one = self.0.loading.lock().await;
        let tx = self.0.db.read().await?;
        let generation = self.0.db.generation();
        let base = self.base(generation);
        let (catalog, rows) = load(&tx, &base, &self.0.sealer, None, None).await?;
        tx.commit().await?;
        self.0.rows_loaded.fetch_add(rows, Ordering::Relaxed);
        self.keep(generation, Arc::clone(&catalog));
        Ok(catalog)
    }

    /// Waits while a change of this process is being committed: others see it before the catalog that
    /// it made is kept here, and would read what is known in a moment.
    async fn await_commit(&self) {
        // Nothing is lost when it takes longer: the rows are read then.
        drop(tokio::time::timeout(COMMIT_TIMEOUT, self.0.committing.read()).await);
    }

    /// How many rows the loads of the catalog have read since the store was opened.
    pub fn rows_loaded(&self) -> u64 {
        self.0.rows_loaded.load(Ordering::Relaxed)
    }

    /// The newest catalog that was loaded from this file, or an empty one.
    pub(crate) fn base(&self, generation: u64) -> Arc<Catalog> {
        let loaded = self.0.loaded.lock();
        if loaded.generation == generation {
            Arc::clone(&loaded.catalog)
        } else {
            Arc::new(Catalog::empty())
        }
    }

    /// Remembers a catalog, unless a newer one is known already.
    pub(crate) fn keep(&self, generation: u64, catalog: Arc<Catalog>) {
        let mut loaded = self.0.loaded.lock();
        let older = loaded.generation == generation && loaded.catalog.revision > catalog.revision;
        if generation >= loaded.generation && !older {
            *loaded = Loaded { generation, catalog };
        }
    }
}

/// Brings `base` to what the tables say now, and tells how many rows were read for it. Rows that a
/// change touched are noted in `touched`. Provider keys that are `known` are not read, if the change
/// that made them directly follows `base`. Must run in one transaction.
pub(crate) async fn load(
    db: &impl ConnectionTrait,
    base: &Arc<Catalog>,
    sealer: &Sealer,
    touched: Option<&mut Touched>,
    known: Option<Keys>,
) -> Result<(Arc<Catalog>, u64)> {
    let newest = revision(db).await?;
    if newest == base.revision {
        return Ok((Arc::clone(base), 0));
    }
    let behind = newest.0 - base.revision.0;
    let whole = base.revision.0 == 0 || !(0..=TOMBSTONES_KEPT).contains(&behind);
    let mut next = if whole { Catalog::empty() } else { Catalog::clone(base) };
    let since = next.revision.0;
    let mut work = Work { since, rows: 0, faults: Faults::default(), touched };
    next.revision = newest;
    let mut keys = BTreeMap::new();
    if !whole {
        work.bury(db, &mut next, &mut keys).await?;
    }
    work.upstreams(db, &mut next).await?;
    match known.filter(|_| behind == 1) {
        Some(known) => {
            work.touch(known.len());
            keys.extend(known);
        }
        None => work.provider_keys(db, sealer, &mut keys).await?,
    }
    place_keys(&mut next, keys);
    work.service_keys(db, &mut next).await?;
    work.routes(db, &mut next).await?;
    work.limits(db, &mut next).await?;
    work.rules(db, &mut next).await?;
    work.owners(db, &mut next).await?;
    Ok((Arc::new(work.faults.none_or(next)?), work.rows))
}

/// Keys by id, changed or (where there is none) deleted.
pub(crate) type Keys = BTreeMap<ProviderKeyId, Option<Arc<ProviderKey>>>;

/// What `edit` makes of those keys of `base` that have one of these ids, which must be sorted.
pub(crate) fn edited_keys(base: &Catalog, ids: &[i64], edit: impl Fn(&mut ProviderKey)) -> Keys {
    let all = base.upstreams.values().flat_map(|entry| &entry.keys);
    let meant = all.filter(|key| ids.binary_search(&key.id.0).is_ok());
    let edited = meant.map(|key| {
        let mut key = ProviderKey::clone(key);
        edit(&mut key);
        (key.id, Some(Arc::new(key)))
    });
    edited.collect()
}

struct Work<'a> {
    since: i64,
    rows: u64,
    faults: Faults,
    touched: Option<&'a mut Touched>,
}

impl Work<'_> {
    /// Counts rows that the change touched and that are not read.
    fn touch(&mut self, rows: usize) {
        if let Some(touched) = &mut self.touched {
            touched.count(rows);
        }
    }

    /// Notes a row that was read; none where it was deleted.
    fn note(&mut self, kind: Kind, id: i64, revision: i64, row: Option<&impl Serialize>) {
        self.rows += 1;
        if let Some(touched) = &mut self.touched {
            touched.note(kind, id, revision, row);
        }
    }

    /// Takes out what was deleted.
    async fn bury(
        &mut self,
        db: &impl ConnectionTrait,
        next: &mut Catalog,
        keys: &mut Keys,
    ) -> Result<()> {
        let gone = tombstones::Entity::find().filter(tombstones::Column::Revision.gt(self.since));
        for row in gone.all(db).await? {
            // A kind that only a newer program knows was never in this catalog.
            let Some(kind) = Kind::of_table(&row.kind) else { continue };
            let id = row.id;
            self.note(kind, id, row.revision, None::<&()>);
            match kind {
                Kind::Upstream => drop(next.upstreams.remove(&UpstreamId(id))),
                Kind::ProviderKey => drop(keys.insert(ProviderKeyId(id), None)),
                Kind::ServiceKey => drop(next.service_keys.remove(&ServiceKeyId(id))),
                Kind::Route => drop(next.routes.remove(&RouteId(id))),
                Kind::Limit => drop(next.limits.remove(&LimitId(id))),
                Kind::Rule => drop(next.rules.remove(&RuleId(id))),
                Kind::User => drop(next.owners.remove(&UserId(id))),
                // The grants of its users are in their own entries.
                Kind::Role => {}
            }
        }
        Ok(())
    }

    async fn upstreams(&mut self, db: &impl ConnectionTrait, next: &mut Catalog) -> Result<()> {
        let changed = upstreams::Entity::find().filter(upstreams::Column::Revision.gt(self.since));
        for row in changed.all(db).await? {
            self.note(Kind::Upstream, row.id, row.revision, Some(&row));
            let id = UpstreamId(row.id);
            let keys = next.upstreams.get(&id).map(|e| e.keys.clone()).unwrap_or_default();
            match crate::upstreams::read(row) {
                Ok(upstream) => {
                    next.upstreams.insert(id, Arc::new(UpstreamEntry { upstream, keys }));
                }
                Err(faults) => self.blame(format!("upstreams[{id}]"), faults),
            }
        }
        Ok(())
    }

    async fn provider_keys(
        &mut self,
        db: &impl ConnectionTrait,
        sealer: &Sealer,
        keys: &mut Keys,
    ) -> Result<()> {
        use provider_keys::{Column, Entity};
        if self.since == 0 {
            return self.every_provider_key(db, sealer, keys).await;
        }
        let rows = Entity::find().filter(Column::Revision.gt(self.since)).all(db).await?;
        for row in &rows {
            self.note(Kind::ProviderKey, row.id, row.revision, Some(row));
        }
        keys.extend(opening(rows, sealer).await?);
        Ok(())
    }

    /// Reads all keys in parts; the secrets of one part are opened while the next is read.
    async fn every_provider_key(
        &mut self,
        db: &impl ConnectionTrait,
        sealer: &Sealer,
        keys: &mut Keys,
    ) -> Result<()> {
        use provider_keys::{Column, Entity};
        let (mut last, mut more) = (i64::MIN, true);
        let mut read = Vec::new();
        while more {
            let part = Entity::find().filter(Column::Id.gt(last)).order_by_asc(Column::Id);
            let next = part.limit(PART as u64).all(db);
            let (next, opened) = tokio::join!(next, opening(read, sealer));
            keys.extend(opened?);
            read = next?;
            for row in &read {
                self.note(Kind::ProviderKey, row.id, row.revision, Some(row));
            }
            last = read.last().map_or(last, |row| row.id);
            more = read.len() == PART;
        }
        keys.extend(opening(read, sealer).await?);
        Ok(())
    }

    async fn service_keys(&mut self, db: &impl ConnectionTrait, next: &mut Catalog) -> Result<()> {
        let changed = service_keys::Entity::find();
        let changed = changed.filter(service_keys::Column::Revision.gt(self.since));
        for row in changed.all(db).await? {
            self.note(Kind::ServiceKey, row.id, row.revision, Some(&row));
            let id = ServiceKeyId(row.id);
            match crate::service_keys::read(row) {
                Ok(key) => drop(next.service_keys.insert(id, Arc::<ServiceKey>::new(key))),
                Err(faults) => self.blame(format!("service_keys[{id}]"), faults),
            }
        }
        Ok(())
    }

    async fn routes(&mut self, db: &impl ConnectionTrait, next: &mut Catalog) -> Result<()> {
        let changed = routes::Entity::find().filter(routes::Column::Revision.gt(self.since));
        let rows = changed.all(db).await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let mut targets = crate::routes::targets(db, &ids).await?;
        self.rows += targets.values().map(|of| of.len() as u64).sum::<u64>();
        for row in rows {
            let targets = targets.remove(&row.id).unwrap_or_default();
            let whole = Whole { row, targets };
            self.note(Kind::Route, whole.row.id, whole.row.revision, Some(&whole));
            let Whole { row, targets } = whole;
            match crate::routes::read(&row, targets) {
                Ok(route) => drop(next.routes.insert(route.id, Arc::<Route>::new(route))),
                Err(faults) => self.blame(format!("routes[{}]", row.id), faults),
            }
        }
        Ok(())
    }

    async fn limits(&mut self, db: &impl ConnectionTrait, next: &mut Catalog) -> Result<()> {
        let changed = limits::Entity::find().filter(limits::Column::Revision.gt(self.since));
        for row in changed.all(db).await? {
            self.note(Kind::Limit, row.id, row.revision, Some(&row));
            let id = LimitId(row.id);
            match crate::limits::read(row) {
                Ok(limit) => drop(next.limits.insert(id, Arc::<Limit>::new(limit))),
                Err(faults) => self.blame(format!("limits[{id}]"), faults),
            }
        }
        Ok(())
    }

    async fn rules(&mut self, db: &impl ConnectionTrait, next: &mut Catalog) -> Result<()> {
        let changed = rules::Entity::find().filter(rules::Column::Revision.gt(self.since));
        for row in changed.all(db).await? {
            self.note(Kind::Rule, row.id, row.revision, Some(&row));
            let id = RuleId(row.id);
            match crate::rules::compiled(row) {
                Ok(rule) => drop(next.rules.insert(id, Arc::<CompiledRule>::new(rule))),
                Err(faults) => self.blame(format!("rules[{id}]"), faults),
            }
        }
        Ok(())
    }

    /// Users that were changed, and those whose role was.
    async fn owners(&mut self, db: &impl ConnectionTrait, next: &mut Catalog) -> Result<()> {
        let changed = roles::Entity::find().filter(roles::Column::Revision.gt(self.since));
        let changed = changed.all(db).await?;
        for row in &changed {
            self.note(Kind::Role, row.id, row.revision, Some(row));
        }
        let named = changed.into_iter().map(|row| row.name);
        let wanted = Condition::any()
            .add(users::Column::Revision.gt(self.since))
            .add(users::Column::Role.is_in(named));
        let rows = users::Entity::find().filter(wanted).all(db).await?;
        let names: BTreeSet<&str> = rows.iter().map(|row| row.role.as_str()).collect();
        let grants = crate::grants::grants(db, names).await?;
        for row in rows {
            self.note(Kind::User, row.id, row.revision, Some(&row));
            let uses_all_upstreams = grants.get(&row.role).is_some_and(Grant::uses_all_upstreams);
            next.owners.insert(UserId(row.id), Owner { active: row.active, uses_all_upstreams });
        }
        Ok(())
    }

    fn blame(&mut self, place: String, faults: Faults) {
        for fault in faults.0 {
            self.faults.add(format!("{place}.{}", fault.field), fault.message);
        }
    }
}

/// Opens secrets, many of them beside the async threads.
async fn opening(rows: Vec<provider_keys::Model>, sealer: &Sealer) -> Result<Keys> {
    if rows.len() < MANY_SECRETS {
        return Ok(open(rows, sealer));
    }
    let sealer = sealer.clone();
    let opening = tokio::task::spawn_blocking(move || open(rows, &sealer));
    opening.await.map_err(|_| StoreError::Unavailable("shutting down".into()))
}

/// Opens secrets. One that does not open was sealed for another row or by another key: it is of no
/// use, and no reason to refuse all the others.
fn open(rows: Vec<provider_keys::Model>, sealer: &Sealer) -> Keys {
    let mut keys = Keys::new();
    for row in rows {
        let id = ProviderKeyId(row.id);
        match crate::provider_keys::open(row, sealer) {
            Ok(key) => drop(keys.insert(id, Some(Arc::new(key)))),
            Err(words) => {
                error!(provider_key.id = id.0, "a provider key is left out: {words}");
                keys.insert(id, None);
            }
        }
    }
    keys
}

/// Merges changed keys into their pools. Pools that none of them is in stay the same allocation.
fn place_keys(next: &mut Catalog, changed: Keys) {
    if changed.is_empty() {
        return;
    }
    let mut added = BTreeMap::<UpstreamId, Vec<Arc<ProviderKey>>>::new();
    for key in changed.values().flatten() {
        added.entry(key.upstream).or_default().push(Arc::clone(key));
    }
    for (id, entry) in &mut next.upstreams {
        let new = added.remove(id).unwrap_or_default();
        let held = |id: &ProviderKeyId| entry.keys.binary_search_by_key(id, |k| k.id).is_ok();
        if new.is_empty() && !changed.keys().any(held) {
            continue;
        }
        let old = entry.keys.iter().filter(|key| !changed.contains_key(&key.id)).cloned();
        let mut keys: Vec<_> = old.chain(new).collect();
        keys.sort_by_key(|key| key.id);
        *entry = Arc::new(UpstreamEntry { upstream: entry.upstream.clone(), keys });
    }
}
