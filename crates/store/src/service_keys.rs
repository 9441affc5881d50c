//! Service keys: made, changed, read, deleted. Only digests come here.

use auth::Actor;
use domain::{Access, Fault, Faults, Revision, ServiceKey, ServiceKeyId, UpstreamId, UserId};
use entity::{service_keys, upstreams};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use crate::{
    Listed, NewServiceKey, Page, Result, ServiceKeyEdit, ServiceKeyRow, Store, StoreError,
    change::{Change, What},
    json, moment, paging,
    upstreams::list,
};

const KIND: &str = "service_key";

impl Store {
    /// Stores a service key that was just minted.
    pub async fn create_service_key(&self, by: &Actor, new: NewServiceKey) -> Result<ServiceKeyId> {
        let change = self.begin(by).await?;
        let owner = change.owner(new.owner).await?;
        known(&change, &new.allowed_upstreams).await?;
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
        row.updated_us = change.now_us;
        row.revision = change.revision;
        let active: service_keys::ActiveModel = row.clone().into();
        active.reset_all().update(change.tx()).await?;
        change.commit(What::edited(KIND, id.0, &before, &row, None)).await
    }

    /// Deletes a service key: it is refused from the next revision on.
    pub async fn delete_service_key(&self, by: &Actor, id: ServiceKeyId) -> Result<Revision> {
        let change = self.begin(by).await?;
        let row = find(&change, id).await?;
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
    Ok(row)
}

/// The service key of a row, or the columns that this program cannot read. A key whose limits
/// cannot be read must not be taken for one without limits.
pub(crate) fn read(row: service_keys::Model) -> Result<ServiceKey, Faults> {
    let mut faults = Faults::default();
    let allowed_upstreams = list(&mut faults, "allowed_upstreams", &row.allowed_upstreams);
    let allowed_models = list(&mut faults, "allowed_models", &row.allowed_models);
    let digest = <[u8; 32]>::try_from(row.digest.as_slice());
    let (Some(allowed_upstreams), Some(allowed_models), Ok(digest)) =
        (allowed_upstreams, allowed_models, digest)
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
        access: Access::default(),
        previous: None,
    })
}

fn stamped(row: service_keys::Model) -> Result<ServiceKeyRow> {
    let (created_at, updated_at) = (moment(row.created_us), moment(row.updated_us));
    Ok(ServiceKeyRow { key: read(row)?, created_at, updated_at })
}
