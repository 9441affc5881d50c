//! What roles allow: of those that are built in the code says it, of the others the table.

use std::{collections::BTreeMap, fmt::Display};

use auth::{DataScope, Grant, Permission, Permissions, Role};
use entity::roles::{self, Column};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, sea_query::OnConflict,
};

use crate::{Result, link::Transaction};

/// The permissions of a column. One that this program does not know allows nothing.
pub(crate) fn permissions(column: &str) -> Permissions {
    let names = serde_json::from_str::<Vec<String>>(column).unwrap_or_default();
    names.iter().filter_map(|name| name.parse::<Permission>().ok()).collect()
}

/// The grants of these roles by their names; one that there is not is left out.
pub(crate) async fn grants(
    db: &impl ConnectionTrait,
    names: impl IntoIterator<Item = impl Display>,
) -> Result<BTreeMap<String, Grant>> {
    let (mut known, mut own) = (BTreeMap::new(), Vec::new());
    for name in names {
        let name = name.to_string();
        match name.parse::<Role>() {
            Ok(role) => drop(known.insert(name, role.into())),
            Err(_) => own.push(name),
        }
    }
    if own.is_empty() {
        return Ok(known);
    }
    let rows = roles::Entity::find().filter(roles::Column::Name.is_in(own)).all(db).await?;
    for row in rows {
        let scope = row.data_scope.parse().unwrap_or(DataScope::Own);
        let permissions = permissions(&row.permissions);
        known.insert(row.name.clone(), Grant { role: row.name, permissions, scope });
    }
    Ok(known)
}

/// The grant of a role; of one that there is not, one that allows nothing.
pub(crate) async fn grant(db: &impl ConnectionTrait, role: &str) -> Result<Grant> {
    let nothing = || {
        let (permissions, scope) = (Permissions::NONE, DataScope::Own);
        Grant { role: role.to_owned(), permissions, scope }
    };
    Ok(grants(db, [role]).await?.remove(role).unwrap_or_else(nothing))
}

/// Writes what the code says of the roles that are built in: the table repeats it for lists and
/// reports.
pub(crate) async fn write_built_in(tx: &Transaction, now: i64) -> Result<()> {
    let row = |(id, role): (i64, Role)| roles::ActiveModel {
        name: Set(role.to_string()),
        id: Set(id),
        description: Set(role.description().to_owned()),
        permissions: Set(serde_json::json!(role.permissions()).to_string()),
        data_scope: Set(Grant::from(role).scope.to_string()),
        created_us: Set(now),
        updated_us: Set(now),
        revision: Set(0),
    };
    let rows: Vec<_> = (1..).zip(Role::ALL).map(row).collect();
    let columns = [Column::Id, Column::Description, Column::Permissions, Column::DataScope];
    let again = OnConflict::column(Column::Name).update_columns(columns).to_owned();
    roles::Entity::insert_many(rows).on_conflict(again).exec_without_returning(tx).await?;
    Ok(())
}
