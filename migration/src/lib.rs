//! The history of the tables. A migration that was released is never edited: history must not
//! change when the present does, so nothing here uses `entity`.
//!
//! Migrations only add. So an older program reads the tables of a newer one after a rollback, and
//! going back in history is not offered: restoring a backup is the way to older tables.

use sea_orm_migration::prelude::*;

pub use sea_orm_migration::MigratorTrait;

mod m20261121_000001_users;
mod m20261121_000002_upstreams;
mod m20261121_000003_callers;
mod m20261121_000004_changes;
mod m20261121_000005_logs;
mod m20261121_000006_conversion;
mod m20261121_000007_policy;
mod m20261128_000008_keys;
mod m20261128_000009_rules_and_limits;
mod m20261128_000010_running;
mod m20261129_000011_stored_objects;
mod m20261129_000012_limit_alerts;
mod m20261129_190300_log_arrival;
mod m20261129_191700_log_details;
mod m20261129_193300_refused_keys;
mod m20261129_193700_list_indexes;
mod m20261129_195100_statistics_names;
mod m20261129_224500_history;
mod m20261129_225500_tags;
mod m20261130_063000_changes_told;
mod m20261130_064000_rollups;
mod m20261130_064500_agent_sessions;
mod m20261130_065500_key_indexes;
mod m20261130_065500_people;

/// Knows every migration, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_users::Migration),
            Box::new(m20261121_000002_upstreams::Migration),
            Box::new(m20261121_000003_callers::Migration),
            Box::new(m20261121_000004_changes::Migration),
            Box::new(m20261121_000005_logs::Migration),
            Box::new(m20261121_000006_conversion::Migration),
            Box::new(m20261121_000007_policy::Migration),
            Box::new(m20261128_000008_keys::Migration),
            Box::new(m20261128_000009_rules_and_limits::Migration),
            Box::new(m20261128_000010_running::Migration),
            Box::new(m20261129_000011_stored_objects::Migration),
            Box::new(m20261129_000012_limit_alerts::Migration),
            Box::new(m20261129_190300_log_arrival::Migration),
            Box::new(m20261129_191700_log_details::Migration),
            Box::new(m20261129_193700_list_indexes::Migration),
            Box::new(m20261129_193300_refused_keys::Migration),
            Box::new(m20261129_195100_statistics_names::Migration),
            Box::new(m20261129_224500_history::Migration),
            Box::new(m20261129_225500_tags::Migration),
            Box::new(m20261130_063000_changes_told::Migration),
            Box::new(m20261130_064000_rollups::Migration),
            Box::new(m20261130_064500_agent_sessions::Migration),
            Box::new(m20261130_065500_key_indexes::Migration),
            Box::new(m20261130_065500_people::Migration),
        ]
    }
}

/// An index over `columns`, named after them.
fn index(table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(format!("ix_{table}_{}", columns.join("_"))).table(table);
    for column in columns {
        index.col(*column);
    }
    index
}

/// A unique index over `columns`, named after them; the store tells by the name what clashed.
fn unique(table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = index(table, columns);
    index.name(format!("uq_{table}_{}", columns.join("_"))).unique();
    index
}
