//! Many provider keys at once: found by a filter, decided upon, deleted, exported.

use auth::Actor;
use domain::{Faults, KeyState, ProviderKey, ProviderKeyId, UserId};
use entity::provider_keys::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, Select, sea_query::ExprTrait, sea_query::LikeExpr,
};
use secrecy::SecretString;
use serde_json::json;

use super::{masked, place};
use crate::{
    ExportedKey, KeyBulk, KeySet, KeysChanged, Kind, MaskedKey, ProviderKeyFilter, Result, Store,
    StoreError, WhichKeys, catalog,
    change::{Change, What},
    moment, paging,
    resource::{Stored, stored},
    standings, touched,
    view::View,
};

const KIND: Kind = Kind::ProviderKey;
/// Keys of one part: of each part there is one statement of a kind.
const PART: usize = 5000;
/// So many ids are named in the audit trail.
const TOLD: usize = 1000;

impl Store {
    /// Most keys that are changed or exported at once.
    pub const KEYS_AT_ONCE: usize = 100_000;
    /// Most keys that are looked at for one page of a list.
    pub const KEYS_LOOKED_AT: usize = 5000;

    /// Does the same to many keys as one change. Those that there are not, and those of others where
    /// whoever does it may not see them, are passed over. A filter is asked inside the change.
    ///
    /// # Errors
    ///
    /// Where `confirmed` names another number of keys than are meant, nothing is changed.
    pub async fn change_provider_keys(
        &self,
        by: &Actor,
        which: &WhichKeys,
        bulk: &KeyBulk,
        confirmed: Option<u64>,
    ) -> Result<KeysChanged> {
        if let KeyBulk::Set(set) = bulk {
            set.faults().none_or(())?;
        }
        let change = self.begin(by).await?;
        let (matched, found) = self.found(change.tx(), which, by.confined_to()).await?;
        confirm(confirmed, matched)?;
        let ids = found.iter().take(TOLD).copied().map(ProviderKeyId).collect();
        let changed = KeysChanged { matched, done: found.len() as u64, ids };
        if found.is_empty() {
            return Ok(changed);
        }
        for part in found.chunks(PART) {
            change_part(&change, by, part, bulk).await?;
        }
        let detail = json!({ "count": found.len(), "ids": changed.ids });
        let what = What::about(action(bulk), KIND.as_str(), told(detail, bulk));
        // Of fewer keys the rows are read, because a version of each is kept.
        let many = found.len() > touched::MOST;
        let base = change.base();
        let known = bulk.edit(change.now_us).filter(|_| many);
        let known = known.map(|edit| catalog::edited_keys(&base, &found, edit));
        change.commit_knowing(what, &base, known).await?;
        Ok(changed)
    }

    /// How many keys a change of many would be about now.
    pub async fn count_provider_keys(&self, by: &Actor, which: &WhichKeys) -> Result<KeysChanged> {
        let db = self.0.db.reader().await?;
        let (matched, found) = self.found(&db, which, by.confined_to()).await?;
        let ids = found.iter().take(TOLD).copied().map(ProviderKeyId).collect();
        Ok(KeysChanged { matched, done: found.len() as u64, ids })
    }

    /// How many keys are meant, and the ids of those that there are.
    async fn found(
        &self,
        db: &impl ConnectionTrait,
        which: &WhichKeys,
        owner: Option<UserId>,
    ) -> Result<(u64, Vec<i64>)> {
        let owned = owner.map(|UserId(own)| Column::OwnerId.eq(own));
        let owned = Condition::all().add_option(owned);
        let many = |n: usize| match n > Self::KEYS_AT_ONCE {
            true => Err(StoreError::fault(which.field(), "must mean at most 100000 keys")),
            false => Ok(n as u64),
        };
        let mut found: Vec<i64> = Vec::new();
        let mut matched = None;
        match which {
            WhichKeys::Ids(ids) => {
                matched = Some(many(ids.len())?);
                for ids in ids.chunks(PART) {
                    let these = Column::Id.is_in(ids.iter().map(|id| id.0));
                    found.extend(ids_of(Entity::find().filter(these), &owned, db).await?);
                }
            }
            WhichKeys::Values(values) => {
                matched = Some(many(values.len())?);
                for values in values.chunks(PART) {
                    let prints = values.iter().map(|value| self.0.fingerprints.of(value));
                    let these = Column::Fingerprint.is_in(prints);
                    found.extend(ids_of(Entity::find().filter(these), &owned, db).await?);
                }
                found.extend(self.without_fingerprint(values, &owned, db).await?);
            }
            WhichKeys::Filter(filter) => {
                let most = Self::KEYS_AT_ONCE as u64 + 1;
                let meant = Entity::find().filter(self.meant(filter)?);
                let meant = meant.order_by_asc(Column::Id).limit(most);
                found = ids_of(meant, &owned, db).await?;
            }
        }
        found.sort_unstable();
        found.dedup();
        let matched = matched.map_or_else(|| many(found.len()), Ok)?;
        Ok((matched, found))
    }

    /// Which of the keys that were entered before there were fingerprints have one of these secrets.
    async fn without_fingerprint(
        &self,
        values: &[SecretString],
        owned: &Condition,
        db: &impl ConnectionTrait,
    ) -> Result<Vec<i64>> {
        let unknown = Entity::find().filter(Column::Fingerprint.is_null()).filter(owned.clone());
        let unknown = unknown.limit(Self::KEYS_AT_ONCE as u64).all(db).await?;
        if unknown.is_empty() {
            return Ok(Vec::new());
        }
        let prints: Vec<_> = values.iter().map(|value| self.0.fingerprints.of(value)).collect();
        let same = |row: &Model| {
            let opened = self.0.sealer.open(&place(row), &row.secret);
            opened.is_ok_and(|secret| prints.contains(&self.0.fingerprints.of(&secret)))
        };
        Ok(unknown.iter().filter(|row| same(row)).map(|row| row.id).collect())
    }

    /// What a filter means.
    pub(super) fn meant(&self, filter: &ProviderKeyFilter) -> Result<Condition> {
        let mut wanted = Condition::all()
            .add_option(filter.upstream.map(|id| Column::UpstreamId.eq(id.0)))
            .add_option(filter.state.map(|state| Column::State.eq(state.as_str())))
            .add_option(filter.group.as_ref().map(|group| Column::QuotaGroup.eq(group)));
        wanted = wanted.add(paging::tagged(Column::Tags, filter.tag.as_deref())?);
        if let Some(ids) = &filter.ids {
            wanted = wanted.add(Column::Id.is_in(ids.iter().map(|id| id.0)));
        }
        if let Some(text) = &filter.search {
            let end = LikeExpr::new(format!("%{}", paging::escaped(text))).escape('\\');
            let whole = self.0.fingerprints.of(&text.trim().into());
            let found = Condition::any()
                .add(paging::contains(Column::Name, text)?)
                .add(Column::Mask.into_expr().like(end))
                .add(Column::Fingerprint.eq(whole));
            wanted = wanted.add(found);
        }
        Ok(wanted)
    }
}

impl View<'_> {
    /// All keys that the filter means, up to [`Store::KEYS_AT_ONCE`], in the order of their ids.
    ///
    /// # Errors
    ///
    /// There are more of them.
    pub async fn every_provider_key(
        &self,
        filter: &ProviderKeyFilter,
    ) -> Result<Vec<Stored<MaskedKey>>> {
        let rows = self.every(filter).await?;
        stored(rows, &self.store.0.db.reader().await?).await
    }

    /// These keys, as far as there are such.
    ///
    /// # Errors
    ///
    /// A row cannot be read.
    pub async fn these_provider_keys(&self, ids: &[ProviderKeyId]) -> Result<Vec<MaskedKey>> {
        let db = self.store.0.db.reader().await?;
        let mut rows = Vec::with_capacity(ids.len());
        for ids in ids.chunks(PART) {
            let these = Column::Id.is_in(ids.iter().map(|id| id.0));
            rows.extend(self.select::<MaskedKey>(Condition::all().add(these)).all(&db).await?);
        }
        rows.into_iter().map(masked).collect()
    }

    /// All keys that the filter means, with their secrets where they are to be revealed; that they
    /// were is noted before any is opened.
    ///
    /// # Errors
    ///
    /// There are more of them than [`Store::KEYS_AT_ONCE`].
    pub async fn export_provider_keys(
        &self,
        filter: &ProviderKeyFilter,
        reveal: bool,
    ) -> Result<Vec<ExportedKey>> {
        let rows = self.every(filter).await?;
        if !reveal {
            let masked = rows.into_iter().map(masked);
            return masked.map(|key| Ok(ExportedKey { key: key?, secret: None })).collect();
        }
        let ids: Vec<i64> = rows.iter().take(TOLD).map(|row| row.id).collect();
        let detail = json!({
            "count": rows.len(), "ids": ids, "upstream_id": filter.upstream.map(|id| id.0),
        });
        self.store.note_about(self.who, What::about("revealed", KIND.as_str(), detail)).await?;
        let sealer = self.store.0.sealer.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let open = |row: Model| {
                let secret = sealer.open(&place(&row), &row.secret).ok();
                Ok(ExportedKey { key: masked(row)?, secret })
            };
            rows.into_iter().map(open).collect()
        });
        opening.await.map_err(|_| StoreError::Unavailable("shutting down".into()))?
    }

    async fn every(&self, filter: &ProviderKeyFilter) -> Result<Vec<Model>> {
        let wanted = self.select::<MaskedKey>(self.store.meant(filter)?);
        let rows = wanted.order_by_asc(Column::Id).limit(Store::KEYS_AT_ONCE as u64 + 1);
        let rows = rows.all(&self.store.0.db.reader().await?).await?;
        if rows.len() > Store::KEYS_AT_ONCE {
            return Err(StoreError::fault("filter", "must match at most 100000 keys"));
        }
        Ok(rows)
    }
}

async fn ids_of(
    select: Select<Entity>,
    owned: &Condition,
    db: &impl ConnectionTrait,
) -> Result<Vec<i64>> {
    let ids = select.filter(owned.clone()).select_only().column(Column::Id);
    Ok(ids.into_tuple().all(db).await?)
}

/// Changes the keys of one part, with one statement of each kind.
async fn change_part(change: &Change<'_>, by: &Actor, part: &[i64], bulk: &KeyBulk) -> Result<()> {
    let these = Column::Id.is_in(part.iter().copied());
    let mut set = ActiveModel {
        updated_us: Set(change.now_us),
        revision: Set(change.revision),
        ..ActiveModel::default()
    };
    match bulk {
        KeyBulk::Delete => {
            Entity::delete_many().filter(these).exec(change.tx()).await?;
            return change.bury(KIND, part.iter().copied()).await;
        }
        KeyBulk::State(state) => {
            standings::note_many(change, by, part, *state).await?;
            set.state = Set(state.to_string());
            if *state == KeyState::Active {
                set.cleared_us = Set(Some(change.now_us));
            }
        }
        KeyBulk::Set(new) => {
            new.weight.inspect(|weight| set.weight = Set(super::weight(*weight)));
            new.group.iter().for_each(|group| set.quota_group = Set(group.clone()));
            new.note.iter().for_each(|note| set.note = Set(note.clone()));
        }
    }
    Entity::update_many().set(set).filter(these).exec(change.tx()).await?;
    Ok(())
}

/// Nothing is done where somebody expected another number of keys.
fn confirm(confirmed: Option<u64>, matched: u64) -> Result<()> {
    match confirmed {
        Some(number) if number != matched => Err(StoreError::conflict(
            "confirm",
            format!("{matched} keys are meant, not {number}; nothing was changed"),
        )),
        _ => Ok(()),
    }
}

fn action(bulk: &KeyBulk) -> &'static str {
    match bulk {
        KeyBulk::Delete => "deleted",
        KeyBulk::Set(_) => "edited",
        KeyBulk::State(KeyState::Active) => "enabled",
        KeyBulk::State(KeyState::Disabled) => "disabled",
        KeyBulk::State(KeyState::Banned) => "banned",
    }
}

/// What the audit trail tells of a change of many keys.
fn told(mut detail: serde_json::Value, bulk: &KeyBulk) -> serde_json::Value {
    if let KeyBulk::Set(KeySet { weight, group, note }) = bulk {
        let fields = [
            ("weight", weight.map(Into::into)),
            ("quota_group", group.as_ref().map(|group| json!(group))),
            ("note", note.as_ref().map(|note| json!(note))),
        ];
        let set = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
        detail["after"] = set.collect::<std::collections::BTreeMap<_, _>>().into_iter().collect();
    }
    detail
}

impl KeySet {
    /// What no key can have.
    fn faults(&self) -> Faults {
        let (id, owner, upstream) = (ProviderKeyId(0), UserId(0), domain::UpstreamId(0));
        let mut key = MaskedKey::new(id, owner, upstream, "name", "secret".into());
        key.weight = self.weight.unwrap_or(key.weight);
        key.group = self.group.clone().flatten();
        key.note = self.note.clone().unwrap_or_default();
        let mut faults = key.faults();
        for fault in &mut faults.0 {
            fault.field = format!("set.{}", fault.field);
        }
        faults
    }
}

impl KeyBulk {
    /// What it makes of a key as the data plane has it; none where it deletes the key. It says the same
    /// as the columns that it sets.
    fn edit(&self, now_us: i64) -> Option<impl Fn(&mut ProviderKey)> {
        let (state, set) = match self {
            KeyBulk::Delete => return None,
            KeyBulk::State(state) => (Some(*state), None),
            KeyBulk::Set(set) => (None, Some(set)),
        };
        Some(move |key: &mut ProviderKey| {
            state.inspect(|state| key.state = *state);
            if state == Some(KeyState::Active) {
                key.cleared_at = Some(moment(now_us));
            }
            if let Some(KeySet { weight, group, note: _ }) = set {
                weight.inspect(|weight| key.weight = *weight);
                group.iter().for_each(|group| key.group.clone_from(group));
            }
        })
    }
}

impl WhichKeys {
    /// The field of the API that means them.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Ids(_) => "ids",
            Self::Values(_) => "values",
            Self::Filter(_) => "filter",
        }
    }
}
