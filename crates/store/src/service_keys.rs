//! Service keys: made, changed, read, deleted. Only digests come here.

use auth::Actor;
use domain::{
    Access, Fault, Faults, Revision, Scope, ServiceKey, ServiceKeyId, UpstreamId, UserId,
    access::Hours, service_key::PreviousKey,
};
use entity::{service_keys, upstreams};
use ipnet::IpNet;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect,
};

use crate::{
    Listed, NewServiceKey, Page, Result, RotatedServiceKey, ServiceKeyEdit, ServiceKeyRow, Store,
    StoreError,
    change::{Change, What},
    json, limits, moment, paging,
    upstreams::list,
};

const KIND: &str = "service_key";

impl Store {
    /// Stores a service key that was just minted.
    pub async fn create_service_key(&self, by: &Actor, new: NewServiceKey) -> Result<ServiceKeyId> {
        let change = self.begin(by).await?;
        let owner = change.owner(new.owner).await?;
        known(&change, &new.allowed_upstreams).await?;
        fresh(&change, &new.public_id).await?;
        let row = service_keys::Model {
            id: change.ids("service_keys", 1).await?,
            owner_id: owner,
            name: new.name,
            public_id: new.public_id,
            digest: new.digest.to_vec(),
            last_four: new.last_four,
            enabled: new.enabled.unwrap_or(true),
            expires_us: new.expires_at.map(|at| at.timestamp_micros()),
            allowed_upstreams: json(&new.allowed_upstreams),
            allowed_models: json(&new.allowed_models),
            access: json(&new.access),
            previous_public_id: None,
            previous_digest: None,
            previous_until_us: None,
            created_us: change.now_us,
            updated_us: change.now_us,
            revision: change.revision,
        };
        let active: service_keys::ActiveModel = row.clone().into();
        let insert = service_keys::Entity::insert(active.reset_all());
        insert.exec_without_returning(change.tx()).await?;
        change.commit(What::created(KIND, row.id, &row)).await?;
        Ok(ServiceKeyId(row.id))
    }

    /// Changes what `edit` names and leaves the rest.
    pub async fn edit_service_key(
        &self,
        by: &Actor,
        id: ServiceKeyId,
        edit: ServiceKeyEdit,
    ) -> Result<Revision> {
        let change = self.begin(by).await?;
        let before = find(&change, id).await?;
        if let Some(allowed) = &edit.allowed_upstreams {
            known(&change, allowed).await?;
        }
        let mut row = before.clone();
        if let Some(name) = edit.name {
            row.name = name;
        }
        if let Some(enabled) = edit.enabled {
            row.enabled = enabled;
        }
        if let Some(expires) = edit.expires_at {
            row.expires_us = expires.map(|at| at.timestamp_micros());
        }
        if let Some(allowed) = edit.allowed_upstreams {
            row.allowed_upstreams = json(&allowed);
        }
        if let Some(allowed) = edit.allowed_models {
            row.allowed_models = json(&allowed);
        }
        restrict(&mut row, edit.allowed_ips, edit.allowed_methods, edit.allowed_hours);
        row.updated_us = change.now_us;
        row.revision = change.revision;
        let active: service_keys::ActiveModel = row.clone().into();
        active.reset_all().update(change.tx()).await?;
        change.commit(What::edited(KIND, id.0, &before, &row, None)).await
    }

    /// Puts another key in the place of a service key. The old one is accepted for a while yet; one
    /// that was still accepted from a rotation before is not any more.
    pub async fn rotate_service_key(
        &self,
        by: &Actor,
        id: ServiceKeyId,
        new: RotatedServiceKey,
    ) -> Result<Revision> {
        let change = self.begin(by).await?;
        let mut row = find(&change, id).await?;
        fresh(&change, &new.public_id).await?;
        let grace = i64::try_from(new.grace.as_micros()).unwrap_or(i64::MAX);
        let old = std::mem::replace(&mut row.public_id, new.public_id);
        let digest = std::mem::replace(&mut row.digest, new.digest.to_vec());
        row.last_four = new.last_four;
        let kept = grace > 0;
        row.previous_until_us = kept.then(|| change.now_us.saturating_add(grace));
        row.previous_public_id = kept.then_some(old);
        row.previous_digest = kept.then_some(digest);
        row.updated_us = change.now_us;
        row.revision = change.revision;
        let detail = serde_json::json!({
            "public_id": row.public_id, "previous_until_us": row.previous_until_us,
        });
        let active: service_keys::ActiveModel = row.into();
        active.reset_all().update(change.tx()).await?;
        let mut what = What::about("rotated", KIND, detail);
        what.id = Some(id.0);
        change.commit(what).await
    }

    /// Deletes a service key: it is refused from the next revision on.
    pub async fn delete_service_key(&self, by: &Actor, id: ServiceKeyId) -> Result<Revision> {
        let change = self.begin(by).await?;
        let row = find(&change, id).await?;
        limits::delete_of(&change, &Scope::ServiceKey(None), &[id.0]).await?;
        service_keys::Entity::delete_by_id(id.0).exec(change.tx()).await?;
        change.bury("service_keys", [id.0]).await?;
        change.commit(What::deleted(KIND, id.0, &row)).await
    }

    /// One service key.
    pub async fn service_key(&self, id: ServiceKeyId) -> Result<ServiceKeyRow> {
        let row = service_keys::Entity::find_by_id(id.0).one(&self.0.db.reader().await?).await?;
        stamped(row.ok_or(StoreError::NotFound(KIND))?)
    }

    /// A page of service keys.
    pub async fn service_keys(&self, page: Page) -> Result<Listed<ServiceKeyRow>> {
        let db = self.0.db.reader().await?;
        let (rows, next_cursor) = paging::page(service_keys::Entity::find(), &page, &db).await?;
        let items = rows.into_iter().map(stamped).collect::<Result<_>>()?;
        Ok(Listed { items, next_cursor })
    }
}

/// Changes from where, when and for what a key is accepted. What could not be read before is
/// mended only by naming all of it; else the catalog tells of it.
fn restrict(
    row: &mut service_keys::Model,
    ips: Option<Vec<IpNet>>,
    methods: Option<Vec<String>>,
    hours: Option<Vec<Hours>>,
) {
    let all = ips.is_some() && methods.is_some() && hours.is_some();
    let mut access = match serde_json::from_str::<Access>(&row.access) {
        Ok(access) => access,
        Err(_) if all => Access::default(),
        Err(_) => return,
    };
    access.ips = ips.unwrap_or(access.ips);
    access.methods = methods.unwrap_or(access.methods);
    access.hours = hours.unwrap_or(access.hours);
    row.access = json(&access);
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
async fn known(change: &Change<'_>, allowed: &[UpstreamId]) -> Result<()> {
    if allowed.is_empty() {
        return Ok(());
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
    Ok(faults.none_or(())?)
}

async fn find(change: &Change<'_>, id: ServiceKeyId) -> Result<service_keys::Model> {
    let row = service_keys::Entity::find_by_id(id.0).one(change.tx()).await?;
    let row = row.ok_or(StoreError::NotFound(KIND))?;
    change.owned(row.owner_id, KIND)?;
    change.expects(row.updated_us)?;
    Ok(row)
}

/// The service key of a row, or the columns that this program cannot read. A key whose limits
/// cannot be read must not be taken for one without limits.
pub(crate) fn read(row: service_keys::Model) -> Result<ServiceKey, Faults> {
    let mut faults = Faults::default();
    let allowed_upstreams = list(&mut faults, "allowed_upstreams", &row.allowed_upstreams);
    let allowed_models = list(&mut faults, "allowed_models", &row.allowed_models);
    let access = serde_json::from_str::<Access>(&row.access);
    if access.is_err() {
        faults.add("access", "cannot be read by this version");
    }
    let previous = previous(&row).map_err(|fault| faults.0.push(fault));
    let digest = <[u8; 32]>::try_from(row.digest.as_slice());
    let (Some(allowed_upstreams), Some(allowed_models), Ok(access), Ok(previous), Ok(digest)) =
        (allowed_upstreams, allowed_models, access, previous, digest)
    else {
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

fn stamped(row: service_keys::Model) -> Result<ServiceKeyRow> {
    let (created_at, updated_at) = (moment(row.created_us), moment(row.updated_us));
    Ok(ServiceKeyRow { key: read(row)?, created_at, updated_at })
}
