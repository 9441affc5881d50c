//! What a database error means for us: wait and try again, a clash with what is there, or a bug.

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{
        self,
        error::{DatabaseError, ErrorKind},
        postgres::PgDatabaseError,
        sqlite::SqliteError,
    },
};

use crate::StoreError;

/// Unique columns and what a clash in them is called: the index in PostgreSQL's words, the columns
/// in SQLite's, the field as the API spells it, and what has it already.
const UNIQUE: [(&str, &str, &str, &str); 7] = [
    ("uq_upstreams_name", "upstreams.name", "name", "another upstream has this name"),
    ("uq_rules_", "rules.name", "name", "another rule of this upstream has this name"),
    (
        "uq_provider_keys_",
        "provider_keys.name",
        "name",
        "another key of this upstream has this name",
    ),
    ("uq_service_keys_", "service_keys.public_id", "public_id", "another service key has this id"),
    ("uq_routes_name", "routes.name", "name", "another route has this name"),
    ("uq_users_name_key", "users.name_key", "name", "another user has this name"),
    ("refresh_tokens_pkey", "refresh_tokens.digest", "token", "this token was stored before"),
];

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::ConnectionAcquire(_) => Self::Unavailable("no connection came free".into()),
            // A statement that was given up, or no connection, with the reason.
            DbErr::Conn(RuntimeErr::Internal(words)) => Self::Unavailable(words.clone()),
            DbErr::Conn(RuntimeErr::SqlxError(e))
            | DbErr::Exec(RuntimeErr::SqlxError(e))
            | DbErr::Query(RuntimeErr::SqlxError(e)) => of_sqlx(e),
            other => Self::Unexpected(other.to_string()),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        of_sqlx(&error)
    }
}

fn of_sqlx(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(e) => of_database(e.as_ref()),
        sqlx::Error::Io(e) => StoreError::Unavailable(format!("no connection: {}", e.kind())),
        sqlx::Error::PoolTimedOut => StoreError::Unavailable("no connection came free".into()),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            StoreError::Unavailable("the connection is closed".into())
        }
        sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
            StoreError::Unavailable("the connection broke".into())
        }
        sqlx::Error::Configuration(e) => StoreError::Unusable(e.to_string()),
        other => StoreError::Unexpected(other.to_string()),
    }
}

fn of_database(error: &dyn DatabaseError) -> StoreError {
    if error.kind() == ErrorKind::UniqueViolation {
        return clash(error);
    }
    let passing = match error.try_downcast_ref::<PgDatabaseError>() {
        Some(e) => passing_in_postgres(e.code()),
        None if error.try_downcast_ref::<SqliteError>().is_some() => passing_in_sqlite(error),
        None => false,
    };
    if passing {
        StoreError::Unavailable(error.message().to_owned())
    } else {
        StoreError::Unexpected(error.message().to_owned())
    }
}

fn clash(error: &dyn DatabaseError) -> StoreError {
    let (index, message) = (error.constraint().unwrap_or_default(), error.message());
    UNIQUE
        .iter()
        .find(|(postgres, sqlite, ..)| index.starts_with(postgres) || message.contains(sqlite))
        .map_or_else(
            || StoreError::Unexpected(message.to_owned()),
            |(_, _, field, words)| StoreError::conflict(field, *words),
        )
}

/// Connection lost, out of resources, an operator's doing, a timeout, a lock, read-only.
fn passing_in_postgres(code: &str) -> bool {
    ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class))
        || ["25006", "40001", "40P01", "55P03", "3D000", "28000", "28P01"].contains(&code)
}

/// Busy, locked, read-only, I/O, damaged, full, cannot be opened, not a database.
fn passing_in_sqlite(error: &dyn DatabaseError) -> bool {
    let code: u32 = error.code().and_then(|code| code.parse().ok()).unwrap_or_default();
    [5, 6, 8, 10, 11, 13, 14, 26].contains(&(code & 0xff))
}

#[cfg(test)]
mod tests {
    use sea_orm::sqlx::{Connection, SqliteConnection};

    use super::*;

    #[tokio::test]
    async fn what_sqlite_refuses_is_told_apart() {
        let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for (sql, passing) in [
            ("CREATE TABLE t (a INTEGER PRIMARY KEY)", None),
            ("INSERT INTO t VALUES (1)", None),
            ("INSERT INTO t VALUES (1)", Some(false)),
            ("INSERT INTO nothing VALUES (1)", Some(false)),
            ("PRAGMA query_only = ON", None),
            ("INSERT INTO t VALUES (2)", Some(true)),
        ] {
            let done = sqlx::query(sql).execute(&mut db).await;
            assert_eq!(done.err().map(|e| StoreError::from(e).passing()), passing, "{sql}");
        }
    }

    #[test]
    fn what_postgresql_refuses_is_told_apart() {
        for code in ["08006", "53100", "57014", "57P01", "25006", "55P03", "40P01"] {
            assert!(passing_in_postgres(code), "{code}");
        }
        for code in ["42P01", "23505", "22021"] {
            assert!(!passing_in_postgres(code), "{code}");
        }
    }

    #[test]
    fn a_lost_connection_passes() {
        for error in [sqlx::Error::PoolTimedOut, sqlx::Error::PoolClosed] {
            assert!(StoreError::from(error).passing());
        }
        let broken = sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into());
        assert!(StoreError::from(broken).passing());
        assert!(!StoreError::from(sqlx::Error::RowNotFound).passing());
    }
}
