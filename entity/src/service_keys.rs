//! Secrets that we gave callers: digests only.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// One row of `service_keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, DeriveEntityModel)]
#[sea_orm(table_name = "service_keys")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Who owns it; 0 is nobody.
    pub owner_id: i64,
    /// What people call it.
    pub name: String,
    /// The part by which it is found.
    pub public_id: String,
    /// HMAC-SHA-256 of the whole key.
    #[serde(skip)]
    pub digest: Vec<u8>,
    /// Its last four characters.
    pub last_four: String,
    /// Whether it is accepted.
    pub enabled: bool,
    /// From when on it is not.
    pub expires_us: Option<i64>,
    /// The upstreams it may reach, a JSON list of ids; empty means all.
    pub allowed_upstreams: String,
    /// The models it may ask for, a JSON list; empty means any.
    pub allowed_models: String,
    /// From where, when and for what it is accepted, as JSON.
    pub access: String,
    /// The part by which the key before the rotation is found.
    pub previous_public_id: Option<String>,
    /// HMAC-SHA-256 of the key before the rotation.
    #[serde(skip)]
    pub previous_digest: Option<Vec<u8>>,
    /// From when on the key before the rotation is not accepted.
    pub previous_until_us: Option<i64>,
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
