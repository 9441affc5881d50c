//! Service keys: how they lie in their table, and what is checked of them. Only digests come here.

use auth::Actor;
use chrono::{DateTime, Utc};
use domain::{
    Access, Fault, Faults, Scope, ServiceKey, ServiceKeyId, UpstreamId, UserId,
    service_key::PreviousKey,
};
use entity::{service_keys, upstreams};
use sea_orm::{ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect};

use crate::{
    Kind, Page, Result, RotatedServiceKey, Store, StoreError, TagFilter,
    change::Change,
    columns::list,
    json, limits, moment,
    paging::{self, Stamp},
    resource::{EditOptions, Resource, Stored},
};

impl Resource for ServiceKey {
    const KIND: Kind = Kind::ServiceKey;
    const COMPILED: bool = true;
    type Id = ServiceKeyId;
    type Filter = TagFilter;
    type Extra = ();
    type Entity = service_keys::Entity;
    type Model = service_keys::Model;
    type Parts = ();

    fn id(&self) -> ServiceKeyId {
        self.id
    }

    fn owner(&self) -> UserId {
        self.owner
    }

    fn identify(&mut self, id: ServiceKeyId, owner: UserId) {
        (self.id, self.owner) = (id, owner);
    }

    fn faults(&self) -> Faults {
        ServiceKey::faults(self)
    }

    async fn check(&self, before: Option<&Self>, change: &Change<'_>) -> Result<Faults> {
        if before.is_none_or(|before| before.public_id != self.public_id) {
            fresh(change, &self.public_id).await?;
        }
        if before.is_some_and(|before| before.allowed_upstreams == self.allowed_upstreams) {
            return Ok(Faults::default());
        }
        unknown(change, &self.allowed_upstreams).await
    }

    fn read(mut row: service_keys::Model, (): ()) -> Result<(Self, Faults), Faults> {
        let mut faults = Faults::default();
        if serde_json::from_str::<Access>(&row.access).is_err() {
            faults.add("access", "cannot be read by this version");
            row.access = json(&Access::default());
        }
        Ok((read(row)?, faults))
    }

    /// Digests are not in the history: there is a blank one in the place of each.
    fn revive(columns: &str) -> serde_json::Result<(service_keys::Model, ())> {
        let mut row: service_keys::Model = serde_json::from_str(columns)?;
        row.digest = vec![0; 32];
        row.previous_digest = row.previous_public_id.as_ref().map(|_| vec![0; 32]);
        Ok((row, ()))
    }

    fn write(
        &self,
        _: Option<&service_keys::Model>,
        stamp: Stamp,
        _: &Change<'_>,
    ) -> service_keys::Model {
        let previous = self.previous.as_ref();
        service_keys::Model {
            id: self.id.0,
            owner_id: self.owner.0,
            name: self.name.clone(),
            public_id: self.public_id.clone(),
            digest: self.digest.to_vec(),
            last_four: self.last_four.clone(),
            enabled: self.enabled,
            expires_us: self.expires_at.map(|at| at.timestamp_micros()),
            allowed_upstreams: json(&self.allowed_upstreams),
            allowed_models: json(&self.allowed_models),
            access: json(&self.access),
            previous_public_id: previous.map(|previous| previous.public_id.clone()),
            previous_digest: previous.map(|previous| previous.digest.to_vec()),
            previous_until_us: previous.map(|previous| previous.until.timestamp_micros()),
            tags: json(&self.tags),
            created_us: stamp.created_us,
            updated_us: stamp.updated_us,
            revision: stamp.revision,
        }
    }

    /// The limits that it is held to by name go with it.
    async fn deleting(&self, change: &Change<'_>) -> Result<()> {
        limits::delete_of(change, &Scope::ServiceKey(None), &[self.id.0]).await
    }

    fn wanted(filter: &TagFilter, _: &mut Page, _: &Store) -> Result<Condition> {
        paging::tagged(service_keys::Column::Tags, filter.tag.as_deref())
    }
}

impl Store {
    /// Puts another key in the place of a service key. The old one is accepted for a while yet; one
    /// that was still accepted from a rotation before is not any more.
    ///
    /// # Errors
    ///
    /// As [`Store::edit`].
    pub async fn rotate_service_key(
        &self,
        by: &Actor,
        id: ServiceKeyId,
        new: RotatedServiceKey,
    ) -> Result<Stored<ServiceKey>> {
        let rotate = |key: &mut ServiceKey| {
            let public_id = std::mem::replace(&mut key.public_id, new.public_id);
            let digest = std::mem::replace(&mut key.digest, new.digest);
            key.last_four = new.last_four;
            let until = Utc::now().checked_add_signed(grace(new.grace));
            let until = until.unwrap_or(DateTime::<Utc>::MAX_UTC);
            let previous = PreviousKey { public_id, digest, until };
            key.previous = (!new.grace.is_zero()).then_some(previous);
            Ok(EditOptions { action: "rotated", ..EditOptions::default() })
        };
        self.edit_with(by, id, rotate).await
    }
}

fn grace(grace: std::time::Duration) -> chrono::TimeDelta {
    chrono::TimeDelta::from_std(grace).unwrap_or(chrono::TimeDelta::MAX)
}

/// No key has this id, and none had it that is still accepted: each is found by its own.
async fn fresh(change: &Change<'_>, public_id: &str) -> Result<()> {
    let taken = Condition::any()
        .add(service_keys::Column::PublicId.eq(public_id))
        .add(service_keys::Column::PreviousPublicId.eq(public_id));
    match service_keys::Entity::find().filter(taken).count(change.tx()).await? {
        0 => Ok(()),
        _ => Err(StoreError::conflict("public_id", "another service key has this id")),
    }
}

/// A key can be confined to upstreams that there are. That one is deleted later does no harm: the
/// key then reaches one less, and never more, for the empty list is not what is left.
async fn unknown(change: &Change<'_>, allowed: &[UpstreamId]) -> Result<Faults> {
    if allowed.is_empty() {
        return Ok(Faults::default());
    }
    let found: Vec<i64> = upstreams::Entity::find()
        .select_only()
        .column(upstreams::Column::Id)
        .filter(upstreams::Column::Id.is_in(allowed.iter().map(|id| id.0)))
        .into_tuple()
        .all(change.tx())
        .await?;
    let mut faults = Faults::default();
    for (i, id) in allowed.iter().enumerate().filter(|(_, id)| !found.contains(&id.0)) {
        faults.add(format!("allowed_upstreams[{i}]"), format!("there is no upstream {id}"));
    }
    Ok(faults)
}

/// The service key of a row, or the columns that this program cannot read. A key whose limits
/// cannot be read must not be taken for one without limits.
pub(crate) fn read(row: service_keys::Model) -> Result<ServiceKey, Faults> {
    let mut faults = Faults::default();
    let allowed_upstreams = list(&mut faults, "allowed_upstreams", &row.allowed_upstreams);
    let allowed_models = list(&mut faults, "allowed_models", &row.allowed_models);
    let tags = list(&mut faults, "tags", &row.tags);
    let access = serde_json::from_str::<Access>(&row.access);
    if access.is_err() {
        faults.add("access", "cannot be read by this version");
    }
    let previous = previous(&row).map_err(|fault| faults.0.push(fault));
    let digest = <[u8; 32]>::try_from(row.digest.as_slice());
    let (Some(allowed_upstreams), Some(allowed_models), Some(tags)) =
        (allowed_upstreams, allowed_models, tags)
    else {
        return Err(faults);
    };
    let (Ok(access), Ok(previous), Ok(digest)) = (access, previous, digest) else {
        if digest.is_err() {
            faults.0.push(Fault::new("digest", "must be 32 bytes"));
        }
        return Err(faults);
    };
    Ok(ServiceKey {
        id: ServiceKeyId(row.id),
        owner: UserId(row.owner_id),
        name: row.name,
        public_id: row.public_id,
        digest,
        last_four: row.last_four,
        enabled: row.enabled,
        expires_at: row.expires_us.map(moment),
        allowed_upstreams,
        allowed_models,
        access,
        previous,
        tags,
    })
}

/// The key before the rotation, where there was one.
fn previous(row: &service_keys::Model) -> Result<Option<PreviousKey>, Fault> {
    let (Some(public_id), Some(digest), Some(until)) =
        (&row.previous_public_id, &row.previous_digest, row.previous_until_us)
    else {
        return Ok(None);
    };
    let digest = <[u8; 32]>::try_from(digest.as_slice())
        .map_err(|_| Fault::new("previous_digest", "must be 32 bytes"))?;
    Ok(Some(PreviousKey { public_id: public_id.clone(), digest, until: moment(until) }))
}
