//! Which migrations a database has seen, for whoever asks before it is opened.

use std::collections::HashSet;

use migration::{Migrator, MigratorTrait};

use crate::{Result, Settings, link::Link, postgres, sqlite};

/// A step in the history of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// What it is called; names sort by age.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
    /// Whether this version knows it; those that it does not know are of a newer one.
    pub known: bool,
}

/// All steps that this version knows, oldest first, then those that a newer one has applied. Opens
/// the database without bringing it up to date; one that is not there yet has seen none.
pub async fn migrations(settings: &Settings) -> Result<Vec<Migration>> {
    let applied = match sqlite::file_of(&settings.url)? {
        Some(file) if !file.exists() => Vec::new(),
        Some(file) => applied(sqlite::connect(settings, &file, false).await?).await?,
        None => {
            let pool = postgres::connect(settings).await?;
            applied((pool.clone(), pool)).await?
        }
    };
    let known: Vec<String> = Migrator::migrations().iter().map(|m| m.name().to_owned()).collect();
    let seen: HashSet<&String> = applied.iter().collect();
    let ours = known.iter().map(|name| (name, seen.contains(name), true));
    let newer = applied.iter().filter(|name| !known.contains(name));
    let all = ours.chain(newer.map(|name| (name, true, false)));
    Ok(all.map(|(name, applied, known)| Migration { name: name.clone(), applied, known }).collect())
}

/// The names of all steps that a database has seen.
async fn applied((write, read): (Link, Link)) -> Result<Vec<String>> {
    let rows = Migrator::get_migration_models(&write).await;
    for connections in [read, write] {
        // What was read is known; a connection that does not close in order changes nothing.
        let _ = connections.raw().close_by_ref().await;
    }
    Ok(rows?.into_iter().map(|row| row.version).collect())
}
