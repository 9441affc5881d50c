//! The rows that a change touched, as they lie in their tables but for secret columns: the change
//! writes a version of each into the history.
//!
//! A change that touches more than [`MOST`] rows of a kind leaves no version of each: a list of
//! 100,000 keys would double the database. The audit trail tells of it.

use std::collections::BTreeMap;

use entity::history;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel};
use serde::Serialize;

use crate::{Kind, Result, json, link::Transaction};

/// Most rows of a kind of which one change leaves a version each.
pub(crate) const MOST: usize = 1000;
/// Rows of one statement.
const ROWS: usize = 500;

/// The rows that a change touched.
#[derive(Debug)]
pub(crate) struct Touched {
    revision: i64,
    rows: BTreeMap<&'static str, Vec<(i64, Option<String>)>>,
    /// How many rows the change touched, whether their versions are kept or not.
    objects: u64,
}

impl Touched {
    /// Nothing yet.
    pub(crate) fn by(revision: i64) -> Self {
        Self { revision, rows: BTreeMap::new(), objects: 0 }
    }

    /// Counts rows of which no version is kept.
    pub(crate) fn count(&mut self, rows: usize) {
        self.objects += rows as u64;
    }

    /// Notes a row if the change touched it; none where it was deleted.
    pub(crate) fn note(
        &mut self,
        kind: Kind,
        id: i64,
        revision: i64,
        row: Option<&impl Serialize>,
    ) {
        if revision != self.revision {
            return;
        }
        self.objects += 1;
        let rows = self.rows.entry(kind.table()).or_default();
        // One more than are kept tells that there are more.
        if rows.len() <= MOST {
            rows.push((id, row.map(json)));
        }
    }

    /// How many rows the change touched.
    pub(crate) fn objects(&self) -> u64 {
        self.objects
    }

    /// Writes a version of each.
    pub(crate) async fn keep(
        self,
        tx: &Transaction,
        at_us: i64,
        actor: &str,
        action: &str,
    ) -> Result<()> {
        let kept = self.rows.into_iter().filter(|(_, rows)| rows.len() <= MOST);
        let version = |kind: &str, (id, columns): (i64, Option<String>)| history::Model {
            kind: kind.to_owned(),
            id,
            revision: self.revision,
            at_us,
            actor: actor.to_owned(),
            action: action.to_owned(),
            columns,
        };
        let versions: Vec<_> = kept
            .flat_map(|(kind, rows)| rows.into_iter().map(move |row| version(kind, row)))
            .map(|row| row.into_active_model().reset_all())
            .collect();
        for versions in versions.chunks(ROWS) {
            let insert = history::Entity::insert_many(versions.to_vec());
            insert.exec_without_returning(tx).await?;
        }
        Ok(())
    }
}
