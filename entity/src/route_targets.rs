//! Who could answer a route. That the upstream exists is checked when the catalog is compiled.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// One row of `route_targets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
#[sea_orm(table_name = "route_targets")]
pub struct Model {
    /// Of which route.
    #[sea_orm(primary_key, auto_increment = false)]
    pub route_id: i64,
    /// Its place in the list.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i32,
    /// Where.
    pub upstream_id: i64,
    /// The model to ask there; none keeps the name.
    pub model: Option<String>,
    /// Its share.
    pub weight: i32,
    /// Lower is tried first.
    pub priority: i32,
    /// The dialect that is spoken there; none leaves it to the call.
    pub dialect: Option<String>,
    /// What is known of the model, a JSON object.
    pub profile: Option<String>,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
