//! Who did what. Only ever added to; each line is chained to the one before.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One row of `audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub struct Model {
    /// Its place in the chain, from 1 without gaps.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// When.
    pub at_us: i64,
    /// Who; none is the gateway.
    pub user_id: Option<i64>,
    /// What they were called then.
    pub actor: String,
    /// From where.
    pub ip: Option<String>,
    /// What was done.
    pub action: String,
    /// To which kind of thing.
    pub subject: String,
    /// To which one.
    pub subject_id: Option<i64>,
    /// Before and after as JSON; secrets only as `changed`.
    pub detail: String,
    /// HMAC over the link before and this line.
    pub link: Vec<u8>,
    /// What the thing was called then.
    pub name: Option<String>,
    /// What became of it: `done` or `refused`. Lines from before there was this column have none.
    pub result: Option<String>,
    /// Why, as whoever did it said.
    pub comment: Option<String>,
    /// The change of the configuration that it was.
    pub revision: Option<i64>,
}

/// Rows are joined by hand where that is needed at all.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
