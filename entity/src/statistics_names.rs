//! What upstreams and keys were called when they were last used.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `statistics_names`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "statistics_names")]
pub struct Model {
    /// What it is: `upstream`, `provider_key` or `service_key`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Its name.
    pub name: String,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
