//! Many rows in one statement, for the way of log entries: there the query builder and the values
//! that it clones cost more than the database does. The text of a statement is built once for each
//! number of rows, so that connections keep it prepared.
//!
//! SQLite gets rows of placeholders, in numbers that are powers of two; PostgreSQL gets one array
//! for each column, and so one text for any number of rows.

use std::{
    borrow::Cow,
    fmt::Write,
    sync::{Arc, LazyLock, OnceLock},
    time::Duration,
};

use sea_orm::sqlx::{
    self, Arguments, AssertSqlSafe, Decode, Postgres, Row, Sqlite, Type, postgres::PgArguments,
    sqlite::SqliteArguments,
};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{Result, StoreError};

/// Most rows of one statement of SQLite, as a power of two: 512. It takes at most 32,766 values.
const ROWS_LOG: usize = 9;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A `bigint`.
    Big,
    /// An `integer`.
    Int,
    /// A `boolean`.
    Bool,
    /// A `text`.
    Text,
    /// A `uuid`.
    Uuid,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    /// `NULL`.
    Null,
    /// A number, of [`Kind::Big`] or [`Kind::Int`].
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A text without NUL.
    Text(Cow<'a, str>),
    /// An id.
    Uuid(Uuid),
}

impl<'a> Cell<'a> {
    /// A text that may be absent.
    pub(crate) fn maybe(text: Option<impl Into<Cow<'a, str>>>) -> Self {
        text.map_or(Cell::Null, |text| Cell::Text(text.into()))
    }

    /// A number that may be absent.
    pub(crate) fn maybe_int(number: Option<i64>) -> Self {
        number.map_or(Cell::Null, Cell::Int)
    }
}

impl From<i64> for Cell<'_> {
    fn from(number: i64) -> Self {
        Cell::Int(number)
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Cell::Text(Cow::Borrowed(text))
    }
}

/// An `INSERT` into one table.
pub(crate) struct Insert {
    table: &'static str,
    columns: &'static [(&'static str, Kind)],
    /// What follows the rows: `ON CONFLICT …`, `RETURNING …`.
    behind: String,
    sqlite: [OnceLock<Arc<str>>; ROWS_LOG + 1],
    postgres: OnceLock<Arc<str>>,
}

impl Insert {
    /// A statement whose rows are followed by `behind`.
    pub(crate) fn new(
        table: &'static str,
        columns: &'static [(&'static str, Kind)],
        behind: impl Into<String>,
    ) -> Self {
        let sqlite = std::array::from_fn(|_| OnceLock::new());
        Self { table, columns, behind: behind.into(), sqlite, postgres: OnceLock::new() }
    }

    /// How many values a row has.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    fn head(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        format!("INSERT INTO {} ({}) ", self.table, names.join(", "))
    }

    /// The text for two to the power of `log` rows of SQLite.
    fn sqlite(&self, log: usize) -> Arc<str> {
        let build = || {
            let row = format!("({})", vec!["?"; self.width()].join(", "));
            format!("{}VALUES {} {}", self.head(), vec![row; 1 << log].join(", "), self.behind)
        };
        Arc::clone(self.sqlite[log].get_or_init(|| build().into()))
    }

    /// The text for any number of rows of PostgreSQL.
    fn postgres(&self) -> Arc<str> {
        let build = || {
            let mut sql = format!("{}SELECT * FROM UNNEST(", self.head());
            for (place, (_, kind)) in self.columns.iter().enumerate() {
                let comma = if place == 0 { "" } else { ", " };
                let kind = match kind {
                    Kind::Big => "bigint",
                    Kind::Int => "integer",
                    Kind::Bool => "boolean",
                    Kind::Text => "text",
                    Kind::Uuid => "uuid",
                };
                let _ = write!(sql, "{comma}${}::{kind}[]", place + 1);
            }
            // Without a condition `ON` of the conflict would be taken for that of a join.
            let _ = write!(sql, ") WHERE true {}", self.behind);
            sql
        };
        Arc::clone(self.postgres.get_or_init(|| build().into()))
    }
}

/// Gives numbers.
static NUMBERS: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new(
        "id_counters",
        &[("name", Kind::Text), ("last", Kind::Big)],
        "ON CONFLICT (name) DO UPDATE SET last = id_counters.last + excluded.last RETURNING last",
    )
});

/// A writing transaction of statements that are built here. Rolled back when it is dropped.
pub(crate) enum Bulk {
    /// On the one writing connection of an SQLite file.
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    /// On a connection to PostgreSQL, with the time that one statement may take.
    Postgres(sqlx::Transaction<'static, Postgres>, Duration),
}

/// What can be read from a column of either database.
pub(crate) trait Read:
    for<'r> Decode<'r, Sqlite>
    + Type<Sqlite>
    + for<'r> Decode<'r, Postgres>
    + Type<Postgres>
    + Send
    + Unpin
{
}

impl Read for i64 {}
impl Read for Uuid {}
impl Read for String {}

impl Bulk {
    /// Inserts `cells`, row after row, and returns how many rows were inserted or changed.
    pub(crate) async fn insert(&mut self, into: &Insert, cells: Vec<Cell<'_>>) -> Result<u64> {
        if cells.is_empty() {
            return Ok(0);
        }
        match self {
            Bulk::Sqlite(tx) => {
                let mut changed = 0;
                for (sql, arguments) in parts(into, cells)? {
                    let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
                    changed += query.execute(&mut **tx).await?.rows_affected();
                }
                Ok(changed)
            }
            Bulk::Postgres(tx, deadline) => {
                let query = sqlx::query_with(AssertSqlSafe(into.postgres()), arrays(into, &cells)?);
                let done = within(*deadline, query.execute(&mut **tx)).await?;
                Ok(done.rows_affected())
            }
        }
    }

    /// The first of `n` numbers that were never given under this name. Until the transaction ends,
    /// who else asks for such a number waits: so numbers become visible in their order.
    pub(crate) async fn numbers(&mut self, name: &str, n: usize) -> Result<i64> {
        let n = i64::try_from(n).expect("memory does not hold that many rows");
        let cells = vec![name.into(), Cell::Int(n)];
        let last: i64 = match self {
            Bulk::Sqlite(tx) => {
                let mut arguments = SqliteArguments::default();
                cells.into_iter().try_for_each(|cell| bind(&mut arguments, cell))?;
                let query = sqlx::query_with(AssertSqlSafe(NUMBERS.sqlite(0)), arguments);
                query.fetch_one(&mut **tx).await?.try_get(0)?
            }
            Bulk::Postgres(tx, deadline) => {
                let arguments = arrays(&NUMBERS, &cells)?;
                let query = sqlx::query_with(AssertSqlSafe(NUMBERS.postgres()), arguments);
                within(*deadline, query.fetch_one(&mut **tx)).await?.try_get(0)?
            }
        };
        Ok(last - n + 1)
    }

    /// The first column of what a question with numbers for parameters is answered.
    pub(crate) async fn ask<T: Read>(
        &mut self,
        sql: &'static str,
        parameters: &[i64],
    ) -> Result<Vec<T>> {
        match self {
            Bulk::Sqlite(tx) => {
                let query = parameters.iter().fold(sqlx::query(sql), |query, p| query.bind(*p));
                let rows = query.fetch_all(&mut **tx).await?;
                Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
            }
            Bulk::Postgres(tx, deadline) => {
                let query = parameters.iter().fold(sqlx::query(sql), |query, p| query.bind(*p));
                let rows = within(*deadline, query.fetch_all(&mut **tx)).await?;
                Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
            }
        }
    }

    /// Keeps what was done. After an error nobody knows whether it was kept.
    pub(crate) async fn commit(self) -> Result<()> {
        match self {
            Bulk::Sqlite(tx) => Ok(tx.commit().await?),
            Bulk::Postgres(tx, deadline) => within(deadline, tx.commit()).await,
        }
    }
}

/// Waits for `work` no longer than a statement may take.
async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T> {
    match timeout(deadline, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(StoreError::Unavailable(format!(
            "PostgreSQL did not answer within {deadline:?}; the connection is given up"
        ))),
    }
}

/// The statements for `cells`, of as many rows as there are powers of two in their number.
fn parts(into: &Insert, cells: Vec<Cell<'_>>) -> Result<Vec<(Arc<str>, SqliteArguments)>> {
    let mut parts = Vec::new();
    let mut rows = cells.len() / into.width().max(1);
    let mut cells = cells.into_iter();
    while let Some(log) = rows.checked_ilog2() {
        let log = Ord::min(log as usize, ROWS_LOG);
        rows -= 1 << log;
        let values = into.width() << log;
        let mut arguments = SqliteArguments::default();
        arguments.reserve(values, 0);
        cells.by_ref().take(values).try_for_each(|cell| bind(&mut arguments, cell))?;
        parts.push((into.sqlite(log), arguments));
    }
    Ok(parts)
}

fn bind(arguments: &mut SqliteArguments, cell: Cell<'_>) -> Result<()> {
    let bound = match cell {
        Cell::Null => arguments.add(None::<i64>),
        Cell::Int(number) => arguments.add(number),
        Cell::Bool(truth) => arguments.add(truth),
        Cell::Text(text) => arguments.add(text.into_owned()),
        Cell::Uuid(id) => arguments.add(id),
    };
    bound.map_err(|error| StoreError::Unexpected(error.to_string()))
}

/// One array for each column of `cells`.
fn arrays(into: &Insert, cells: &[Cell<'_>]) -> Result<PgArguments> {
    let mut arguments = PgArguments::default();
    for (place, (_, kind)) in into.columns.iter().enumerate() {
        let column = cells.iter().skip(place).step_by(into.width());
        let int = |cell: &Cell<'_>| if let Cell::Int(number) = cell { Some(*number) } else { None };
        let bound = match kind {
            Kind::Big => arguments.add(column.map(int).collect::<Vec<_>>()),
            Kind::Int => {
                let narrow =
                    |cell| int(cell).map(|number| i32::try_from(number).unwrap_or(i32::MAX));
                arguments.add(column.map(narrow).collect::<Vec<_>>())
            }
            Kind::Bool => {
                let truth = |cell: &Cell<'_>| match cell {
                    Cell::Bool(truth) => Some(*truth),
                    _ => None,
                };
                arguments.add(column.map(truth).collect::<Vec<_>>())
            }
            Kind::Text => {
                let texts = column.map(|cell| match cell {
                    Cell::Text(text) => Some(text.as_ref()),
                    _ => None,
                });
                arguments.add(texts.collect::<Vec<Option<&str>>>())
            }
            Kind::Uuid => {
                let id = |cell: &Cell<'_>| if let Cell::Uuid(id) = cell { Some(*id) } else { None };
                arguments.add(column.map(id).collect::<Vec<_>>())
            }
        };
        bound.map_err(|error| StoreError::Unexpected(error.to_string()))?;
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [(&str, Kind); 2] = [("id", Kind::Uuid), ("name", Kind::Text)];

    #[test]
    fn each_database_gets_its_own_text() {
        let insert = Insert::new("things", &COLUMNS, "RETURNING id");
        assert_eq!(
            &*insert.postgres(),
            "INSERT INTO things (id, name) SELECT * FROM UNNEST($1::uuid[], $2::text[]) \
             WHERE true RETURNING id"
        );
        assert_eq!(
            &*insert.sqlite(1),
            "INSERT INTO things (id, name) VALUES (?, ?), (?, ?) RETURNING id"
        );
    }

    #[test]
    fn rows_are_parted_without_loss_into_few_lengths() {
        let insert = Insert::new("things", &COLUMNS, "");
        for rows in [0, 1, 2, 3, 511, 512, 513, 1300] {
            let cells = vec![Cell::Null; rows * 2];
            let parts = parts(&insert, cells).unwrap();
            let lengths: Vec<usize> = parts.iter().map(|(_, part)| part.len() / 2).collect();
            assert_eq!(lengths.iter().sum::<usize>(), rows);
            assert!(lengths.iter().all(|n| n.is_power_of_two() && *n <= 512), "{lengths:?}");
        }
    }
}
