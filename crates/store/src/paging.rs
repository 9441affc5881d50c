//! Paging by key: the cursor holds the sort value and the id of the last row, and the next page
//! is what lies behind both. Text that users search for is bound and escaped, never SQL.

use domain::UserId;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ModelTrait, Order, QueryFilter,
    QueryOrder, QuerySelect, Value,
    sea_query::{Expr, ExprTrait, Func, LikeExpr, SimpleExpr},
};
use serde::{Deserialize, Serialize};

use crate::{Listed, Page, Result, SortBy, StoreError};

/// Longest text to search for.
const SEARCH_MAX: usize = 200;

/// A table that is listed by pages.
pub trait Paged: EntityTrait {
    /// Its id column.
    const ID: Self::Column;
    /// Its name column.
    const NAME: Self::Column;
    /// When a row was last changed.
    const UPDATED: Self::Column;
    /// Who owns a row.
    const OWNER: Self::Column;

    /// A row's id, name and last change.
    fn key(row: &Self::Model) -> (i64, &str, i64);

    /// What changes left on a row.
    fn stamp(row: &Self::Model) -> Stamp;
}

/// What changes leave on the rows that they touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When the row was made, in microseconds since 1970.
    pub created_us: i64,
    /// When it was last changed, in microseconds since 1970.
    pub updated_us: i64,
    /// The change that last touched it.
    pub revision: i64,
}

/// Implements [`Paged`] for tables with the usual columns.
macro_rules! paged {
    ($($table:ident owner $owner:ident),+ $(,)?) => {$(
        impl Paged for entity::$table::Entity {
            const ID: Self::Column = entity::$table::Column::Id;
            const NAME: Self::Column = entity::$table::Column::Name;
            const UPDATED: Self::Column = entity::$table::Column::UpdatedUs;
            const OWNER: Self::Column = entity::$table::Column::$owner;

            fn key(row: &Self::Model) -> (i64, &str, i64) {
                (row.id, &row.name, row.updated_us)
            }

            fn stamp(row: &Self::Model) -> Stamp {
                let (created_us, updated_us) = (row.created_us, row.updated_us);
                Stamp { created_us, updated_us, revision: row.revision }
            }
        }
    )+};
}

paged! {
    upstreams owner OwnerId,
    provider_keys owner OwnerId,
    service_keys owner OwnerId,
    routes owner OwnerId,
    rules owner OwnerId,
    limits owner OwnerId,
    users owner Id,
    roles owner Id,
}

/// Where a page ended.
#[derive(Debug, Serialize, Deserialize)]
enum Cursor {
    #[serde(rename = "i")]
    Id(i64),
    #[serde(rename = "n")]
    Name(String, i64),
    #[serde(rename = "u")]
    Updated(i64, i64),
}

/// The rows of one page of `select`, and the cursor of the next.
pub(crate) async fn page<E, C>(
    select: sea_orm::Select<E>,
    page: &Page,
    db: &C,
) -> Result<(Vec<E::Model>, Option<String>)>
where
    E: Paged,
    E::Model: ModelTrait<Entity = E> + Send + Sync,
    C: ConnectionTrait,
{
    let mut select = select;
    if let Some(text) = &page.search {
        select = select.filter(contains(E::NAME, text)?);
    }
    if let Some(UserId(owner)) = page.owner {
        select = select.filter(E::OWNER.eq(owner));
    }
    let order = if page.sort.descending { Order::Desc } else { Order::Asc };
    let by = match page.sort.by {
        SortBy::Id => None,
        SortBy::Name => Some(E::NAME),
        SortBy::UpdatedAt => Some(E::UPDATED),
    };
    if let Some(cursor) = &page.cursor {
        let (value, id) = read_cursor(cursor, page.sort.by)?;
        let value = by.map(column).zip(value);
        select = select.filter(behind(value, (column(E::ID), id.into()), &order));
    }
    if let Some(column) = by {
        select = select.order_by(column, order.clone());
    }
    let limit = page.rows();
    let mut rows = select.order_by(E::ID, order).limit(limit + 1).all(db).await?;
    let more = rows.len() as u64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = rows.last().filter(|_| more).map(|row| write_cursor(E::key(row), page.sort.by));
    Ok((rows, next))
}

/// A page of those rows of `select` that `keep` keeps. Rows are read in portions until the page is
/// full or `most` were looked at; `convert` makes an item of each, in their order.
pub(crate) async fn sifted<E, C, T, F>(
    select: sea_orm::Select<E>,
    wanted: &Page,
    db: &C,
    most: usize,
    convert: impl Fn(Vec<E::Model>) -> F,
    keep: impl Fn(&T) -> bool,
) -> Result<Listed<T>>
where
    F: Future<Output = Result<Vec<T>>>,
    E: Paged,
    E::Model: ModelTrait<Entity = E> + Send + Sync,
    C: ConnectionTrait,
{
    let full = usize::try_from(wanted.rows()).unwrap_or(usize::MAX);
    let mut portion = wanted.clone();
    let mut items = Vec::new();
    let mut last = None;
    let mut looked_at = 0;
    loop {
        let (rows, next) = page(select.clone(), &portion, db).await?;
        looked_at += rows.len();
        let key = |row| {
            let (id, name, updated) = E::key(row);
            (id, name.to_owned(), updated)
        };
        let keys: Vec<_> = rows.iter().map(key).collect();
        for (key, item) in keys.into_iter().zip(convert(rows).await?) {
            if !keep(&item) {
                continue;
            }
            if items.len() == full {
                let end = last.map(|(id, name, at): (i64, String, i64)| {
                    write_cursor((id, &name, at), wanted.sort.by)
                });
                return Ok(Listed { items, next_cursor: end });
            }
            items.push(item);
            last = Some(key);
        }
        if next.is_none() || items.len() == full || looked_at >= most {
            return Ok(Listed { items, next_cursor: next });
        }
        portion.cursor = next;
        portion.limit = Page::LIMIT_MAX;
    }
}

/// What comes after (`value`, `id`) in this order. The first is bounded on its own too, so that an
/// index on it is used.
pub(crate) fn behind(
    value: Option<(SimpleExpr, Value)>,
    id: (SimpleExpr, Value),
    order: &Order,
) -> Condition {
    let beyond = |of: SimpleExpr, value: Value| match order {
        Order::Desc => of.lt(value),
        _ => of.gt(value),
    };
    let from = |of: SimpleExpr, value: Value| match order {
        Order::Desc => of.lte(value),
        _ => of.gte(value),
    };
    match value {
        None => Condition::all().add(beyond(id.0, id.1)),
        Some((of, value)) => Condition::all().add(from(of.clone(), value.clone())).add(
            Condition::any()
                .add(beyond(of.clone(), value.clone()))
                .add(Condition::all().add(of.eq(value)).add(beyond(id.0, id.1))),
        ),
    }
}

/// A column as an expression.
pub(crate) fn column(column: impl ColumnTrait) -> SimpleExpr {
    Expr::col(column.as_column_ref())
}

/// Whether `column` contains `text`, whatever its case.
pub(crate) fn contains(column: impl ColumnTrait, text: &str) -> Result<SimpleExpr> {
    if text.len() > SEARCH_MAX {
        return Err(StoreError::fault("search", format!("must be at most {SEARCH_MAX} bytes")));
    }
    let pattern = format!("%{}%", escaped(text));
    // Both sides are folded: by ourselves, and by the database as far as it can.
    let folded = Expr::expr(Func::lower(Expr::col(column.as_column_ref())));
    Ok(folded.like(LikeExpr::new(pattern.to_lowercase()).escape('\\')))
}

/// Whether the list of tags in `column` holds `tag`. No tag has a character that JSON or case folding
/// writes otherwise, so that the text of the column is enough.
pub(crate) fn tagged(column: impl ColumnTrait, tag: Option<&str>) -> Result<Condition> {
    let Some(tag) = tag else { return Ok(Condition::all()) };
    if !domain::tags::is_tag(tag) {
        return Err(StoreError::fault("tag", "is no tag"));
    }
    let pattern = format!("%\"{}\"%", escaped(tag));
    let holds = Expr::col(column.as_column_ref()).like(LikeExpr::new(pattern).escape('\\'));
    Ok(Condition::all().add(holds))
}

/// Text as it stands in a pattern of `LIKE`, where `\\` escapes.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars().filter(|c| *c != '\0') {
        if matches!(c, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The cursor of a list that is the newest first by a number.
pub(crate) fn number(page: &Page) -> Result<Option<i64>> {
    page.cursor.as_ref().map(|cursor| cursor.parse().map_err(|_| bad_cursor())).transpose()
}

/// The page of such a list, of rows of which one more was read than the page holds.
pub(crate) fn numbered<T>(mut rows: Vec<T>, page: &Page, number: impl Fn(&T) -> i64) -> Listed<T> {
    let more = rows.len() as u64 > page.rows();
    rows.truncate(usize::try_from(page.rows()).unwrap_or(usize::MAX));
    let next_cursor = rows.last().filter(|_| more).map(|row| number(row).to_string());
    Listed { items: rows, next_cursor }
}

pub(crate) fn bad_cursor() -> StoreError {
    StoreError::fault("cursor", "is not a cursor of this list in this order")
}

fn write_cursor((id, name, updated): (i64, &str, i64), by: SortBy) -> String {
    let cursor = match by {
        SortBy::Id => Cursor::Id(id),
        SortBy::Name => Cursor::Name(name.to_owned(), id),
        SortBy::UpdatedAt => Cursor::Updated(updated, id),
    };
    hex::encode(serde_json::to_vec(&cursor).expect("plain values have a JSON form"))
}

fn read_cursor(text: &str, by: SortBy) -> Result<(Option<Value>, i64)> {
    let bytes = hex::decode(text).map_err(|_| bad_cursor())?;
    match (serde_json::from_slice(&bytes).map_err(|_| bad_cursor())?, by) {
        (Cursor::Id(id), SortBy::Id) => Ok((None, id)),
        (Cursor::Name(name, id), SortBy::Name) if !name.contains('\0') => {
            Ok((Some(name.into()), id))
        }
        (Cursor::Updated(at, id), SortBy::UpdatedAt) => Ok((Some(at.into()), id)),
        _ => Err(bad_cursor()),
    }
}
