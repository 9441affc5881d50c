//! Roles: those that are built in, which the code defines, and those that administrators define.

use auth::{Grant, Permissions};
use domain::{Faults, RoleId, UserId};
use entity::{roles, users};
use sea_orm::{ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter};

use crate::{
    Kind, Page, Result, RoleDefinition, Store, StoreError, change::Change, grants::permissions,
    json, paging::Stamp, resource::Resource,
};

impl Resource for RoleDefinition {
    const KIND: Kind = Kind::Role;
    type Id = RoleId;
    type Filter = ();
    type Extra = ();
    type Entity = roles::Entity;
    type Model = roles::Model;
    type Parts = ();

    fn id(&self) -> RoleId {
        self.id
    }

    /// Nobody owns a role: who is confined to what they own changes none.
    fn owner(&self) -> UserId {
        UserId(0)
    }

    fn identify(&mut self, id: RoleId, _: UserId) {
        self.id = id;
    }

    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        if !(1..=64).contains(&self.name.len()) || !self.name.chars().all(plain) {
            faults.add("name", "must be 1 to 64 characters of a-z, 0-9, `_` and `-`");
        }
        if self.permissions == Permissions::NONE {
            faults.add("permissions", "must name at least one permission");
        }
        if self.description.len() > Self::DESCRIPTION_MAX {
            let message = format!("must be at most {} bytes", Self::DESCRIPTION_MAX);
            faults.add("description", message);
        }
        faults
    }

    /// Nobody defines a role that may more than they do, and nobody changes one that is built in.
    async fn check(&self, before: Option<&Self>, change: &Change<'_>) -> Result<Faults> {
        if let Some(before) = before {
            editable(before)?;
        } else if roles::Entity::find_by_id(&self.name).one(change.tx()).await?.is_some() {
            return Err(StoreError::conflict("name", "another role has this name"));
        }
        for role in before.into_iter().chain([self]) {
            covered(change, &role.grant())?;
        }
        Ok(Faults::default())
    }

    fn read(row: roles::Model, (): ()) -> Result<(Self, Faults), Faults> {
        let scope = row.data_scope.parse().map_err(|fault| Faults(vec![fault]))?;
        let role = RoleDefinition {
            id: RoleId(row.id),
            permissions: permissions(&row.permissions),
            name: row.name,
            description: row.description,
            scope,
        };
        Ok((role, Faults::default()))
    }

    fn write(&self, _: Option<&roles::Model>, stamp: Stamp, _: &Change<'_>) -> roles::Model {
        roles::Model {
            name: self.name.clone(),
            id: self.id.0,
            description: self.description.clone(),
            permissions: json(&self.permissions),
            data_scope: self.scope.to_string(),
            created_us: stamp.created_us,
            updated_us: stamp.updated_us,
            revision: stamp.revision,
        }
    }

    async fn deleting(&self, change: &Change<'_>) -> Result<()> {
        editable(self)?;
        covered(change, &self.grant())?;
        let theirs = users::Column::Role.eq(&self.name);
        match users::Entity::find().filter(theirs).count(change.tx()).await? {
            0 => Ok(()),
            n => Err(StoreError::conflict(
                "id",
                format!("{n} users have this role; give them another one first"),
            )),
        }
    }

    /// Roles are no secret of those whose users they are.
    fn seen_by(_: UserId) -> Condition {
        Condition::all()
    }

    fn wanted((): &(), _: &mut Page, _: &Store) -> Result<Condition> {
        Ok(Condition::all())
    }
}

fn editable(role: &RoleDefinition) -> Result<()> {
    if role.built_in() {
        return Err(StoreError::conflict("id", "a role that is built in cannot be changed"));
    }
    Ok(())
}

/// Refuses what concerns a grant that goes further than that of whoever makes the change.
pub(crate) fn covered(change: &Change<'_>, grant: &Grant) -> Result<()> {
    if change.by().covers(grant) { Ok(()) } else { Err(StoreError::Stronger) }
}
