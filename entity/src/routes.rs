//! Model names that callers may ask for.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// One row of `routes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
#[sea_orm(table_name = "routes")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Who owns it; 0 is nobody.
    pub owner_id: i64,
    /// The model name; unique.
    pub name: String,
    /// Whether it is served.
    pub enabled: bool,
    /// Whether its calls may be converted.
    pub conversion: String,
    /// How one of the targets of equal priority is chosen.
    pub strategy: String,
    /// What keeps calls that belong together with one target, as JSON.
    pub sticky: Option<String>,
    /// Which calls it takes by what they are like, as JSON.
    pub matching: Option<String>,
    /// When it was made.
    pub created_us: i64,
    /// When it was last changed.
    pub updated_us: i64,
    /// The change that last touched it.
    pub revision: i64,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
