//! Secrets that providers gave us, sealed.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// One row of `provider_keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
#[sea_orm(table_name = "provider_keys")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Whose pool it is in.
    pub upstream_id: i64,
    /// Who owns it; 0 is nobody.
    pub owner_id: i64,
    /// What people call it; unique in the pool.
    pub name: String,
    /// The secret, sealed for this row.
    #[serde(skip)]
    pub secret: String,
    /// What people see of it.
    pub mask: String,
    /// active, disabled_manual or banned.
    pub state: String,
    /// Its share under `weighted`.
    pub weight: i32,
    /// Whether its quota counts.
    pub enable_quota: bool,
    /// Requests a day.
    pub quota_total: Option<i64>,
    /// What it may use, a JSON list.
    pub quotas: String,
    /// Keys of one account or project name the same group.
    pub quota_group: Option<String>,
    /// When a person last said that it is to be used.
    pub cleared_us: Option<i64>,
    /// A keyed digest of the secret, by which it is recognised when it is entered again.
    #[serde(skip)]
    pub fingerprint: Option<String>,
    /// What people noted.
    pub note: String,
    /// Labels, as JSON.
    #[serde(default = "crate::no_list")]
    pub tags: String,
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
