//! Configuration resources: the only code that creates, edits, deletes and audits one.
//!
//! A resource is edited as a value, inside the change: of two edits at once neither undoes the other.
//! What differs from one resource to the next (its table, its checks, what goes with it) is said in its
//! own file; reading stands in [`view`](crate::view). Bulk changes of provider keys have statements of
//! their own, in the same [`Change`].

use std::{collections::BTreeMap, fmt::Debug};

use auth::Actor;
use chrono::{DateTime, Utc};
use domain::{Faults, Revision, UserId};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel,
    ModelTrait, QueryFilter,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    Kind, Page, Result, Store, StoreError,
    change::{Change, What, fields},
    moment,
    paging::{Paged, Stamp},
};

/// A kind of configuration that is edited as a value.
pub trait Resource: Debug + Clone + Send + Sync + Sized + 'static {
    /// Its kind.
    const KIND: Kind;
    /// Its id.
    type Id: Copy + Debug + Send + Sync + From<i64> + Into<i64>;
    /// What a list of it can be confined to.
    type Filter: Default + Send + Sync;
    /// What is shown beside it, though no edit changes it.
    type Extra: Debug + Clone + Default + PartialEq + Send + Sync;
    /// Its table.
    type Entity: Paged<Model = Self::Model>;
    /// A row of its table. What it does not serialise is secret.
    type Model: ModelTrait<Entity = Self::Entity>
        + IntoActiveModel<<Self::Entity as EntityTrait>::ActiveModel>
        + Serialize
        + DeserializeOwned
        + Clone
        + Send
        + Sync;
    /// Its rows in other tables.
    type Parts: Default + Send;

    /// Its id.
    fn id(&self) -> Self::Id;

    /// Who owns it.
    fn owner(&self) -> UserId;

    /// Puts id and owner in their places: no edit changes them.
    fn identify(&mut self, id: Self::Id, owner: UserId);

    /// Whether compiling the catalog tells the faults of one as well, with those of what needs it.
    const COMPILED: bool = false;

    /// What is wrong with it, as far as it can be judged alone.
    fn faults(&self) -> Faults;

    /// What is wrong with it as far as only the store knows. `before` is what it was.
    ///
    /// # Errors
    ///
    /// Where it clashes with another one.
    fn check(
        &self,
        before: Option<&Self>,
        change: &Change<'_>,
    ) -> impl Future<Output = Result<Faults>> + Send;

    /// Its rows in other tables, by its id.
    fn parts(
        _ids: &[i64],
        _db: &impl ConnectionTrait,
    ) -> impl Future<Output = Result<BTreeMap<i64, Self::Parts>>> + Send {
        async { Ok(BTreeMap::new()) }
    }

    /// The value of a row. Columns that this program cannot read, and that an edit can mend, are named
    /// beside a value that has something else in their place.
    ///
    /// # Errors
    ///
    /// The columns that cannot be read, where an edit could not mend them.
    fn read(row: Self::Model, parts: Self::Parts) -> Result<(Self, Faults), Faults>;

    /// The row of a version in the history, and its rows in other tables. What is secret is not there.
    ///
    /// # Errors
    ///
    /// They are no longer of this form.
    fn revive(columns: &str) -> serde_json::Result<(Self::Model, Self::Parts)> {
        Ok((serde_json::from_str(columns)?, Self::Parts::default()))
    }

    /// Its row. What is no part of the value, as a sealed secret, stays as it is in `before`.
    fn write(&self, before: Option<&Self::Model>, stamp: Stamp, change: &Change<'_>)
    -> Self::Model;

    /// What follows from other fields.
    fn complete(&mut self, _before: Option<&Self>, _change: &Change<'_>) {}

    /// What else is stored when it was created or edited.
    fn saved(
        &self,
        _before: Option<&Self>,
        _options: EditOptions,
        _change: &Change<'_>,
    ) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// What goes before it is deleted.
    fn deleting(&self, _change: &Change<'_>) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// What the audit trail and the history tell of it.
    fn told(&self, row: &Self::Model) -> Map<String, Value> {
        fields(row)
    }

    /// The secret field that an edit replaced.
    fn replaced(&self) -> Option<&'static str> {
        None
    }

    /// What `user` may see, who may not see everything.
    fn seen_by(user: UserId) -> Condition {
        Condition::all().add(<Self::Entity as Paged>::OWNER.eq(user.0))
    }

    /// What a list is confined to.
    ///
    /// # Errors
    ///
    /// What is asked for cannot be looked for.
    fn wanted(filter: &Self::Filter, page: &mut Page, store: &Store) -> Result<Condition>;

    /// What is shown beside these, in their order.
    fn extras(
        values: &[Self],
        _db: &impl ConnectionTrait,
    ) -> impl Future<Output = Result<Vec<Self::Extra>>> + Send {
        let extras = values.iter().map(|_| Self::Extra::default()).collect();
        async { Ok(extras) }
    }
}

/// How a resource is edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EditOptions {
    /// What the audit trail calls it.
    pub(crate) action: &'static str,
    /// Whether the keys of an upstream's pool are deleted where a new address needs that.
    pub(crate) clear_keys: bool,
}

impl EditOptions {
    /// Says whether the keys of an upstream's pool are deleted where a new address needs that.
    pub fn clear_keys(clear_keys: bool) -> Self {
        Self { clear_keys, ..Self::default() }
    }
}

impl Default for EditOptions {
    fn default() -> Self {
        Self { action: "edited", clear_keys: false }
    }
}

/// A resource as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<R: Resource> {
    /// The resource.
    pub value: R,
    /// What is shown beside it.
    pub extra: R::Extra,
    /// The change that last touched it.
    pub revision: Revision,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl<R: Resource> Stored<R> {
    /// A resource of which it does not matter when it was stored.
    pub fn new(value: R) -> Self {
        Self::stamped(value, Stamp { created_us: 0, updated_us: 0, revision: 0 })
    }

    /// A resource with nothing beside it.
    pub(crate) fn stamped(value: R, stamp: Stamp) -> Self {
        Self {
            value,
            extra: R::Extra::default(),
            revision: Revision(stamp.revision),
            created_at: moment(stamp.created_us),
            updated_at: moment(stamp.updated_us),
        }
    }
}

impl Store {
    /// Creates a resource: `fresh` makes it of an id and an owner, with what nothing was said of as it
    /// usually is, and `edit` does to it what an edit would.
    ///
    /// # Errors
    ///
    /// Every field at fault; or what it clashes with.
    pub async fn create<R: Resource>(
        &self,
        by: &Actor,
        fresh: impl FnOnce(R::Id, UserId) -> R + Send,
        edit: impl FnOnce(&mut R) -> Result<(), Faults> + Send,
    ) -> Result<Stored<R>> {
        let change = self.begin(by).await?;
        let (id, owner) = (R::Id::from(change.ids(R::KIND, 1).await?), change.owner());
        let mut value = fresh(id, owner);
        let faults = edit(&mut value).err().unwrap_or_default();
        value.identify(id, owner);
        checked(&value, None, faults, &change).await?;
        value.complete(None, &change);
        let row = value.write(None, change.stamp(None), &change);
        let active = row.clone().into_active_model().reset_all();
        R::Entity::insert(active).exec_without_returning(change.tx()).await?;
        value.saved(None, EditOptions::default(), &change).await?;
        let what = What::created(R::KIND, id.into(), value.told(&row)).named(name_of::<R>(&row));
        kept(row, change, what).await
    }

    /// Edits a resource as `edit` does: what it refuses is not kept. It is asked inside the change, with
    /// the resource as it is then. A column that this program cannot read is mended by another value.
    ///
    /// # Errors
    ///
    /// Every field at fault; what it clashes with; or that there is no such resource, as far as whoever
    /// edits it may see.
    pub async fn edit<R: Resource>(
        &self,
        by: &Actor,
        id: R::Id,
        edit: impl FnOnce(&mut R) -> Result<(), Faults> + Send,
    ) -> Result<Stored<R>> {
        self.edit_with(by, id, |value| edit(value).map(|()| EditOptions::default())).await
    }

    /// Edits a resource as [`Store::edit`] does, in the way that `edit` says.
    ///
    /// # Errors
    ///
    /// As [`Store::edit`].
    pub async fn edit_with<R: Resource>(
        &self,
        by: &Actor,
        id: R::Id,
        edit: impl FnOnce(&mut R) -> Result<EditOptions, Faults> + Send,
    ) -> Result<Stored<R>> {
        let change = self.begin(by).await?;
        let (old_row, before, unreadable) = find::<R>(&change, id).await?;
        let mut value = before.clone();
        let (options, faults) = match edit(&mut value) {
            Ok(options) => (options, Faults::default()),
            Err(faults) => (EditOptions::default(), faults),
        };
        value.identify(id, before.owner());
        checked(&value, Some(&before), faults, &change).await?;
        value.complete(Some(&before), &change);
        let stamp = change.stamp(Some(&R::Entity::stamp(&old_row)));
        let row = value.write(Some(&old_row), stamp, &change);
        mended(&before.write(Some(&old_row), stamp, &change), &row, unreadable)?;
        let active = row.clone().into_active_model().reset_all();
        let this = R::Entity::update_many().set(active).filter(R::Entity::ID.eq(id.into()));
        this.exec(change.tx()).await?;
        value.saved(Some(&before), options, &change).await?;
        let (old, new) = (before.told(&old_row), value.told(&row));
        let secret = value.replaced();
        let what = What::edited(options.action, R::KIND, id.into(), old, new, secret);
        let what = what.named(name_of::<R>(&row));
        kept(row, change, what).await
    }

    /// Deletes a resource with what belongs to it.
    ///
    /// # Errors
    ///
    /// Something needs it; or there is no such resource, as far as whoever deletes it may see.
    pub async fn delete<R: Resource>(&self, by: &Actor, id: R::Id) -> Result<Revision> {
        let change = self.begin(by).await?;
        let (row, value, _) = find::<R>(&change, id).await?;
        value.deleting(&change).await?;
        let this = R::Entity::delete_many().filter(R::Entity::ID.eq(id.into()));
        this.exec(change.tx()).await?;
        change.bury(R::KIND, [id.into()]).await?;
        let what = What::deleted(R::KIND, id.into(), value.told(&row)).named(name_of::<R>(&row));
        change.commit(what).await
    }
}

/// What the thing of a row is called.
fn name_of<R: Resource>(row: &R::Model) -> &str {
    R::Entity::key(row).1
}

/// The row of a resource that whoever makes the change may see, its value, and what of it cannot be
/// read.
async fn find<R: Resource>(change: &Change<'_>, id: R::Id) -> Result<(R::Model, R, Faults)> {
    let row = R::Entity::find().filter(R::Entity::ID.eq(id.into())).one(change.tx()).await?;
    let row = row.ok_or(StoreError::NotFound(R::KIND.as_str()))?;
    let mut parts = R::parts(&[id.into()], change.tx()).await?;
    let parts = parts.remove(&id.into()).unwrap_or_default();
    let (value, unreadable) = R::read(row.clone(), parts)?;
    change.owned(value.owner().0, R::KIND)?;
    change.expects(R::Entity::stamp(&row).updated_us)?;
    Ok((row, value, unreadable))
}

/// Refuses a value with everything that is wrong with it: what the edit found, what can be judged of
/// it alone, and what only the store knows.
async fn checked<R: Resource>(
    value: &R,
    before: Option<&R>,
    mut faults: Faults,
    change: &Change<'_>,
) -> Result<()> {
    let further = match value.check(before, change).await {
        Ok(further) => further,
        // A clash is told once the fields are in order.
        Err(StoreError::Conflict { .. }) if !faults.0.is_empty() => Faults::default(),
        Err(other) => return Err(other),
    };
    let rest = if !R::COMPILED {
        [value.faults(), further]
    } else if faults.0.is_empty() && further.0.is_empty() {
        return Ok(());
    } else {
        [further, value.faults()]
    };
    let known: Vec<_> = faults.0.iter().map(|fault| fault.field.clone()).collect();
    let rest = rest.into_iter().flat_map(|more| more.0);
    faults.0.extend(rest.filter(|fault| !known.contains(&fault.field)));
    Ok(faults.none_or(())?)
}

/// Refuses to write a column that could not be read unless the edit gave it another value: what a
/// newer program wrote there must not be lost.
fn mended<M: Serialize>(before: &M, after: &M, unreadable: Faults) -> Result<()> {
    let (before, after) = (fields(before), fields(after));
    let stays = |field: &str| {
        let column = field.split(['.', '[']).next().unwrap_or(field);
        before.get(column) == after.get(column)
    };
    let left = unreadable.0.into_iter().filter(|fault| stays(&fault.field)).collect();
    Ok(Faults(left).none_or(())?)
}

/// Commits the change of one row, and gives the resource back as everybody reads it from now on.
async fn kept<R: Resource>(row: R::Model, change: Change<'_>, what: What) -> Result<Stored<R>> {
    let mut stored = stored::<R>(vec![row], change.tx()).await?;
    change.commit(what).await?;
    stored.pop().ok_or(StoreError::NotFound(R::KIND.as_str()))
}

/// The resources of these rows, in their order.
pub(crate) async fn stored<R: Resource>(
    rows: Vec<R::Model>,
    db: &impl ConnectionTrait,
) -> Result<Vec<Stored<R>>> {
    let ids: Vec<i64> = rows.iter().map(|row| R::Entity::key(row).0).collect();
    let mut parts = R::parts(&ids, db).await?;
    let (mut values, mut stamps) = (Vec::with_capacity(ids.len()), Vec::with_capacity(ids.len()));
    for (row, id) in rows.into_iter().zip(ids) {
        stamps.push(R::Entity::stamp(&row));
        let (value, unreadable) = R::read(row, parts.remove(&id).unwrap_or_default())?;
        values.push(unreadable.none_or(value)?);
    }
    let extras = R::extras(&values, db).await?;
    let whole = |((value, extra), stamp): ((R, R::Extra), Stamp)| Stored {
        extra,
        ..Stored::stamped(value, stamp)
    };
    Ok(values.into_iter().zip(extras).zip(stamps).map(whole).collect())
}
