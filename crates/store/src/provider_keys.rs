//! Provider keys: entered, changed, read, deleted. Their secrets are sealed on the way in, and
//! opened only on the way into the catalog.

use std::collections::BTreeMap;

use auth::{Actor, Place, Sealer};
use domain::{
    Fault, Faults, KeptStanding, KeyState, Period, ProviderKey, ProviderKeyId, Quota, Revision,
    Unit, UpstreamId, UserId, provider_key::mask,
};
use entity::{provider_keys, upstreams};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    KeptKey, Listed, NewProviderKey, Page, ProviderKeyEdit, ProviderKeyFilter, ProviderKeyRow,
    Result, Store, StoreError,
    change::{Change, What},
    count, json, moment, paging,
    standings::{self, Before},
    uncount,
};

mod bulk;
mod import;

const KIND: &str = "provider_key";
/// Rows of one statement; SQLite takes at most 32,766 values.
const ROWS: usize = 1000;
/// Longest note.
const NOTE_MAX: usize = 2000;

impl Store {
    /// Enters a key into the pool of an upstream; refused where the pool has its secret already.
    pub async fn create_provider_key(
        &self,
        by: &Actor,
        new: NewProviderKey,
    ) -> Result<ProviderKeyId> {
        let change = self.begin(by).await?;
        let rows = self.sealed(&change, vec![new], |_| String::new()).await?;
        let row = rows.into_iter().next().expect("one key makes one row");
        self.first_in_pool(&change, &row).await?;
        insert(&change, vec![row.clone()]).await?;
        change.commit(What::created(KIND, row.id, &row)).await?;
        Ok(ProviderKeyId(row.id))
    }

    /// Enters many keys as one change: all of them, or none. Field paths of faults begin with the
    /// place in the list: `keys[3].name`.
    pub async fn create_provider_keys(
        &self,
        by: &Actor,
        new: Vec<NewProviderKey>,
    ) -> Result<Vec<ProviderKeyId>> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let change = self.begin(by).await?;
        let rows = self.sealed(&change, new, |i| format!("keys[{i}].")).await?;
        let ids = rows.iter().map(|row| ProviderKeyId(row.id)).collect();
        let first = rows.first().map(|row| row.id);
        let detail = serde_json::json!({ "count": rows.len(), "first_id": first });
        insert(&change, rows).await?;
        change.commit(What::about("imported", KIND, detail)).await?;
        Ok(ids)
    }

    /// Changes what `edit` names and leaves the rest.
    pub async fn edit_provider_key(
        &self,
        by: &Actor,
        id: ProviderKeyId,
        edit: ProviderKeyEdit,
    ) -> Result<Revision> {
        let change = self.begin(by).await?;
        let before = find(&change, id).await?;
        let (mut row, secret) = (before.clone(), edit.secret.clone());
        if let (Some(state), Ok(was)) = (edit.state, before.state.parse()) {
            let stood = Before {
                key: id,
                upstream: UpstreamId(before.upstream_id),
                state: was,
                cleared_us: before.cleared_us,
            };
            standings::note(&change, by, &[stood], state).await?;
        }
        apply(&mut row, edit, change.now_us);
        let mut faults = faults(&row, secret.as_ref());
        if secret.is_none() {
            faults.0.retain(|fault| fault.field != "key_value");
        }
        faults.none_or(())?;
        if let Some(secret) = &secret {
            row.mask = mask(secret.expose_secret());
            row.secret = seal(&self.0.sealer, &row, secret);
            row.fingerprint = Some(self.0.fingerprints.of(secret));
            self.first_in_pool(&change, &row).await?;
            // What was found of another secret says nothing of this one.
            row.cleared_us = Some(change.now_us);
        }
        row.updated_us = change.now_us;
        row.revision = change.revision;
        let active: provider_keys::ActiveModel = row.clone().into();
        active.reset_all().update(change.tx()).await?;
        let replaced = secret.map(|_| "key_value");
        change.commit(What::edited(KIND, id.0, &before, &row, replaced)).await
    }

    /// Deletes a key.
    pub async fn delete_provider_key(&self, by: &Actor, id: ProviderKeyId) -> Result<Revision> {
        let change = self.begin(by).await?;
        let row = find(&change, id).await?;
        provider_keys::Entity::delete_by_id(id.0).exec(change.tx()).await?;
        change.bury("provider_keys", [id.0]).await?;
        change.commit(What::deleted(KIND, id.0, &row)).await
    }

    /// One key, masked.
    pub async fn provider_key(&self, id: ProviderKeyId) -> Result<ProviderKeyRow> {
        let row = provider_keys::Entity::find_by_id(id.0).one(&self.0.db.reader().await?).await?;
        masked(row.ok_or(StoreError::NotFound(KIND))?)
    }

    /// A page of keys, of one upstream or of all.
    pub async fn provider_keys(
        &self,
        upstream: Option<UpstreamId>,
        page: Page,
    ) -> Result<Listed<ProviderKeyRow>> {
        let filter = ProviderKeyFilter { upstream, ..ProviderKeyFilter::default() };
        Ok(self.provider_keys_that(&filter, page, |_| true).await?.map(|key| key.row))
    }

    /// A page of the keys that the filter means and `keep` keeps: it may ask what no column says.
    /// Where few are kept the page may end before it is full, with a cursor to go on from: no more
    /// than [`Store::KEYS_LOOKED_AT`] keys are looked at for one page.
    pub async fn provider_keys_that(
        &self,
        filter: &ProviderKeyFilter,
        page: Page,
        keep: impl Fn(&KeptKey) -> bool + Send,
    ) -> Result<Listed<KeptKey>> {
        let mut page = page;
        let mut filter = filter.clone();
        filter.search = page.search.take().or(filter.search);
        let select = self.meant(&filter)?;
        let kept = |rows: Vec<provider_keys::Model>| async {
            let rows: Result<_> = rows.into_iter().map(masked).collect();
            self.kept_keys(rows?).await
        };
        let db = self.0.db.reader().await?;
        paging::sifted(select, &page, &db, Self::KEYS_LOOKED_AT, kept, keep).await
    }

    /// A key with what is kept of how it stands.
    pub async fn kept_key(&self, row: ProviderKeyRow) -> Result<KeptKey> {
        let standings = self.standings(&[row.id]).await?;
        Ok(kept(row, standings))
    }

    /// These keys with what is kept of how they stand.
    pub async fn kept_keys(&self, rows: Vec<ProviderKeyRow>) -> Result<Vec<KeptKey>> {
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let mut standings = BTreeMap::<_, Vec<_>>::new();
        for found in self.standings(&ids).await? {
            standings.entry(found.key).or_default().push(found);
        }
        let of = |row: ProviderKeyRow| {
            let standings = standings.remove(&row.id).unwrap_or_default();
            kept(row, standings)
        };
        Ok(rows.into_iter().map(of).collect())
    }

    /// Refuses a key whose secret another key of its pool has: the provider counts both as one, and
    /// would be asked twice as often as it allows.
    async fn first_in_pool(&self, change: &Change<'_>, row: &provider_keys::Model) -> Result<()> {
        use provider_keys::{Column, Entity};
        let known = row.fingerprint.as_deref();
        let others = || {
            let of_pool = Entity::find().filter(Column::UpstreamId.eq(row.upstream_id));
            of_pool.filter(Column::Id.ne(row.id))
        };
        let same = others().filter(Column::Fingerprint.eq(known)).one(change.tx()).await?;
        let same = match same {
            Some(same) => Some(same),
            // Keys that were entered before there were fingerprints.
            None => {
                let unknown =
                    others().filter(Column::Fingerprint.is_null()).all(change.tx()).await?;
                let secret = |row: &provider_keys::Model| {
                    let opened = self.0.sealer.open(&place(row), &row.secret).ok()?;
                    Some(self.0.fingerprints.of(&opened))
                };
                unknown.into_iter().find(|row| secret(row).as_deref() == known)
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

    /// The rows of new keys, checked and sealed. `at` begins the field paths of the key at a place.
    async fn sealed(
        &self,
        change: &Change<'_>,
        new: Vec<NewProviderKey>,
        at: impl Fn(usize) -> String,
    ) -> Result<Vec<provider_keys::Model>> {
        let mut upstreams = BTreeMap::new();
        let mut owners = BTreeMap::new();
        for key in &new {
            if let std::collections::btree_map::Entry::Vacant(place) = upstreams.entry(key.upstream)
            {
                place.insert(may_hold(change, key.upstream).await?);
            }
            if let std::collections::btree_map::Entry::Vacant(place) = owners.entry(key.owner) {
                place.insert(change.owner(key.owner).await?);
            }
        }
        let first = change.ids("provider_keys", new.len()).await?;
        let mut all = Faults::default();
        let mut rows = Vec::with_capacity(new.len());
        for (i, (key, id)) in new.into_iter().zip(first..).enumerate() {
            let mut row = row(id, owners[&key.owner], &key, change.now_us, change.revision);
            let mut found = faults(&row, Some(&key.secret));
            if !upstreams[&key.upstream] {
                found.add("upstream_id", "there is no such upstream");
            }
            for fault in found.0 {
                all.add(format!("{}{}", at(i), fault.field), fault.message);
            }
            row.secret = seal(&self.0.sealer, &row, &key.secret);
            row.fingerprint = Some(self.0.fingerprints.of(&key.secret));
            rows.push(row);
        }
        Ok(all.none_or(rows)?)
    }
}

/// What a person made void since is left out.
fn kept(row: ProviderKeyRow, mut standings: Vec<KeptStanding>) -> KeptKey {
    standings.retain(|found| row.cleared_at.is_none_or(|at| found.standing.since > at));
    KeptKey { row, standings }
}

/// Whether there is such an upstream, as far as whoever changes this can see.
async fn may_hold(change: &Change<'_>, id: UpstreamId) -> Result<bool> {
    let row = upstreams::Entity::find_by_id(id.0).one(change.tx()).await?;
    Ok(row.is_some_and(|row| change.owned(row.owner_id, "upstream").is_ok()))
}

fn row(
    id: i64,
    owner: i64,
    new: &NewProviderKey,
    now_us: i64,
    revision: i64,
) -> provider_keys::Model {
    provider_keys::Model {
        id,
        upstream_id: new.upstream.0,
        owner_id: owner,
        name: new.name.clone(),
        secret: String::new(),
        mask: mask(new.secret.expose_secret()),
        state: new.state.unwrap_or(KeyState::Active).to_string(),
        weight: weight(new.weight.unwrap_or(1)),
        enable_quota: new.enable_quota,
        quota_total: new.quota_total.map(count),
        quotas: json(&new.quotas),
        quota_group: new.group.clone(),
        cleared_us: None,
        fingerprint: None,
        note: new.note.clone(),
        created_us: now_us,
        updated_us: now_us,
        revision,
    }
}

fn apply(row: &mut provider_keys::Model, edit: ProviderKeyEdit, now_us: i64) {
    if let Some(name) = edit.name {
        row.name = name;
    }
    if let Some(state) = edit.state {
        row.state = state.to_string();
        if state == KeyState::Active {
            row.cleared_us = Some(now_us);
        }
    }
    if let Some(quotas) = edit.quotas {
        row.quotas = json(&quotas);
    }
    if let Some(group) = edit.group {
        row.quota_group = group;
    }
    if let Some(share) = edit.weight {
        row.weight = weight(share);
    }
    if let Some(enable) = edit.enable_quota {
        row.enable_quota = enable;
    }
    if let Some(total) = edit.quota_total {
        row.quota_total = total.map(count);
    }
    if let Some(note) = edit.note {
        row.note = note;
    }
}

fn weight(share: u32) -> i32 {
    i32::try_from(share).unwrap_or(i32::MAX)
}

/// What the domain says of the key, and of what only we know.
fn faults(row: &provider_keys::Model, secret: Option<&SecretString>) -> Faults {
    let secret = secret.cloned().unwrap_or_default();
    let mut faults = match read(row, secret) {
        Ok(key) => key.faults(),
        Err(fault) => return Faults(vec![fault]),
    };
    if row.enable_quota && quotas(row).is_ok_and(|own| own.iter().any(is_short)) {
        faults.add("enable_quota", "`quotas` says already how many requests it may make a day");
    }
    if row.enable_quota && row.quota_total.is_none() {
        faults.add("quota_total", "must be given when the quota counts");
    }
    if row.note.len() > NOTE_MAX {
        faults.add("note", format!("must be at most {NOTE_MAX} bytes"));
    }
    faults
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

async fn find(change: &Change<'_>, id: ProviderKeyId) -> Result<provider_keys::Model> {
    let row = provider_keys::Entity::find_by_id(id.0).one(change.tx()).await?;
    let row = row.ok_or(StoreError::NotFound(KIND))?;
    change.owned(row.owner_id, KIND)?;
    change.expects(row.updated_us)?;
    Ok(row)
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
    read(&row, secret).map_err(|fault| fault.to_string())
}

fn read(row: &provider_keys::Model, secret: SecretString) -> Result<ProviderKey, Fault> {
    let mut quotas = quotas(row)?;
    let short = row.quota_total.filter(|_| row.enable_quota);
    if let Some(total) = short.filter(|_| !quotas.iter().any(is_short)) {
        quotas.push(Quota::requests_a_day(uncount(total)));
    }
    Ok(ProviderKey {
        id: ProviderKeyId(row.id),
        upstream: UpstreamId(row.upstream_id),
        owner: UserId(row.owner_id),
        name: row.name.clone(),
        secret,
        state: row.state.parse()?,
        weight: u32::try_from(row.weight).unwrap_or_default(),
        quotas,
        group: row.quota_group.clone(),
        cleared_at: row.cleared_us.map(moment),
    })
}

/// The quotas that are not given in the short form.
fn quotas(row: &provider_keys::Model) -> Result<Vec<Quota>, Fault> {
    let quotas = serde_json::from_str(&row.quotas);
    quotas.map_err(|_| Fault::new("quotas", "cannot be read by this version"))
}

/// Whether it says what the short form says.
fn is_short(quota: &Quota) -> bool {
    (quota.unit, quota.period) == (Unit::Requests, Period::Day)
}

fn masked(row: provider_keys::Model) -> Result<ProviderKeyRow> {
    let unreadable = |fault: Fault| StoreError::Unexpected(fault.to_string());
    Ok(ProviderKeyRow {
        id: ProviderKeyId(row.id),
        upstream: UpstreamId(row.upstream_id),
        owner: UserId(row.owner_id),
        state: row.state.parse().map_err(unreadable)?,
        quotas: quotas(&row).map_err(unreadable)?,
        name: row.name,
        mask: row.mask,
        weight: u32::try_from(row.weight).unwrap_or_default(),
        enable_quota: row.enable_quota,
        quota_total: row.quota_total.map(uncount),
        group: row.quota_group,
        cleared_at: row.cleared_us.map(moment),
        note: row.note,
        created_at: moment(row.created_us),
        updated_at: moment(row.updated_us),
    })
}
