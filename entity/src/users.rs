//! People who sign in to the management plane.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// One row of `users`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The name to sign in with, as entered.
    pub name: String,
    /// The name as it is compared: composed, lowercase, trimmed.
    pub name_key: String,
    /// Where to write to.
    pub email: Option<String>,
    /// What they want to be called.
    #[serde(default)]
    pub display_name: Option<String>,
    /// The language of the pages that they see.
    #[serde(default)]
    pub language: Option<String>,
    /// The name of the role.
    pub role: String,
    /// The hash of the password.
    #[serde(skip)]
    pub password_hash: Option<String>,
    /// Grows when all sessions must end.
    pub epoch: i64,
    /// Whether they may sign in.
    pub active: bool,
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
