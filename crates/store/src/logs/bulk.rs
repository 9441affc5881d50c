//! Many rows in one statement, written by hand: on the way of log entries the query builder costs
//! as much as the database does.

use std::fmt::Write;

use sea_orm::{
    ActiveModelTrait, ActiveValue, ConnectionTrait, DbBackend, EntityTrait, IdenStatic,
    IntoActiveModel, Iterable, QueryResult, Statement, Value,
};

use crate::{Result, link::Transaction};

/// Inserts whole rows into the table of `E`; `behind` is the rest of the statement.
pub(super) async fn insert<E: EntityTrait>(
    tx: &Transaction,
    rows: impl ExactSizeIterator<Item = E::Model>,
    behind: &str,
) -> Result<Vec<QueryResult>>
where
    E::Model: IntoActiveModel<E::ActiveModel>,
{
    let columns: Vec<E::Column> = E::Column::iter().collect();
    let sql = sql::<E>(tx.get_database_backend(), &columns, rows.len(), behind);
    let mut values = Vec::with_capacity(columns.len() * rows.len());
    for row in rows {
        let mut row: E::ActiveModel = row.into_active_model();
        values.extend(columns.iter().map(|column| match row.take(*column) {
            ActiveValue::Set(value) | ActiveValue::Unchanged(value) => value,
            ActiveValue::NotSet => Value::Bool(None),
        }));
    }
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    Ok(tx.query_all_raw(statement).await?)
}

fn sql<E: EntityTrait>(
    backend: DbBackend,
    columns: &[E::Column],
    rows: usize,
    behind: &str,
) -> String {
    let names: Vec<&str> = columns.iter().map(IdenStatic::as_str).collect();
    let table = E::default();
    let mut sql = String::with_capacity(columns.len() * rows * 8 + 1024);
    let _ = write!(sql, "INSERT INTO {} ({}) VALUES ", table.table_name(), names.join(", "));
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns.len() {
            if column > 0 {
                sql.push_str(", ");
            }
            match backend {
                DbBackend::Postgres => {
                    let _ = write!(sql, "${}", row * columns.len() + column + 1);
                }
                _ => sql.push('?'),
            }
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(behind);
    sql
}

#[cfg(test)]
mod tests {
    use entity::usage_statistics::{Column, Entity};

    use super::*;

    #[test]
    fn each_database_gets_its_own_placeholders() {
        let columns = [Column::HourUs, Column::Model];
        assert_eq!(
            sql::<Entity>(DbBackend::Postgres, &columns, 2, "RETURNING 1"),
            "INSERT INTO usage_statistics (hour_us, model) VALUES ($1, $2), ($3, $4) RETURNING 1"
        );
        assert_eq!(
            sql::<Entity>(DbBackend::Sqlite, &columns, 1, ""),
            "INSERT INTO usage_statistics (hour_us, model) VALUES (?, ?) "
        );
    }
}
