//! Which migrations a database has seen, for whoever asks before it is opened.

use migration::{Migrator, MigratorTrait};

use crate::{Result, Settings, postgres, sqlite};

/// A step in the history of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// What it is called; names sort by age.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// All steps that this version knows, oldest first. Opens the database without bringing it up to
/// date; one that is not there yet has seen none.
pub async fn migrations(settings: &Settings) -> Result<Vec<Migration>> {
    let database = match sqlite::file_of(&settings.url)? {
        Some(file) if !file.exists() => None,
        Some(file) => Some(sqlite::connect(settings, &file, false).await?.0),
        None => Some(postgres::connect(settings).await?),
    };
    let pending: Vec<String> = match &database {
        None => Migrator::migrations().iter().map(|m| m.name().to_owned()).collect(),
        Some(database) => {
            let pending = Migrator::get_pending_migrations(database).await?;
            pending.iter().map(|m| m.name().to_owned()).collect()
        }
    };
    if let Some(database) = database {
        database.close().await?;
    }
    let all = Migrator::migrations().into_iter().map(|m| m.name().to_owned());
    Ok(all.map(|name| Migration { applied: !pending.contains(&name), name }).collect())
}
