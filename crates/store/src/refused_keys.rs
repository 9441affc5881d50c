//! Calls with service keys that are not accepted, counted together and kept in a bounded table.

use domain::{KeyFault, RefusedKey};
use entity::refused_keys::{self, Column};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, ExprTrait, IntoActiveModel, Order,
    QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use crate::{
    Listed, Page, RefusedKeyFilter, Result, Store,
    change::numbers,
    count,
    link::Transaction,
    moment,
    paging::{self, column},
    text::clean,
    uncount,
};

/// Most rows that are kept: those whose last call is the longest ago go first.
const KEPT: u64 = 10_000;
/// Most rows of one statement.
const ROWS: usize = 1000;
const COUNTER: &str = "refused_keys";

impl Store {
    /// Adds these counts to those that are kept.
    pub async fn add_refused_keys(&self, refused: &[RefusedKey]) -> Result<()> {
        let mut rows: Vec<&RefusedKey> = refused.iter().collect();
        // In one order, so that two instances that add at once do not lock each other out.
        rows.sort_by(|a, b| {
            (&a.address, &a.key_id, a.fault).cmp(&(&b.address, &b.key_id, b.fault))
        });
        let tx = self.0.db.write().await?;
        for rows in rows.chunks(ROWS) {
            let first = numbers(&tx, COUNTER, rows.len()).await?;
            let rows = (first..).zip(rows).map(|(id, row)| write(id, row));
            let rows = rows.map(|row| row.into_active_model().reset_all());
            let insert = refused_keys::Entity::insert_many(rows).on_conflict(raise());
            insert.exec_without_returning(&tx).await?;
        }
        forget_oldest(&tx).await?;
        tx.commit().await
    }

    /// A page of these counts, those with the latest call first.
    pub async fn refused_keys(
        &self,
        filter: RefusedKeyFilter,
        page: Page,
    ) -> Result<Listed<RefusedKey>> {
        let mut wanted = Condition::all()
            .add_option(filter.address.map(|address| Column::Address.eq(address)))
            .add_option(filter.key_id.map(|id| Column::KeyId.eq(id)))
            .add_option(filter.fault.map(|fault| Column::Fault.eq(fault.as_str())));
        if let Some(cursor) = &page.cursor {
            let (at, id) = read_cursor(cursor).ok_or_else(paging::bad_cursor)?;
            let at = Some((column(Column::LastUs), at.into()));
            wanted = wanted.add(paging::behind(at, (column(Column::Id), id.into()), &Order::Desc));
        }
        let mut rows = refused_keys::Entity::find()
            .filter(wanted)
            .order_by_desc(Column::LastUs)
            .order_by_desc(Column::Id)
            .limit(page.rows() + 1)
            .all(&self.0.db.reader().await?)
            .await?;
        let more = rows.len() as u64 > page.rows();
        rows.truncate(usize::try_from(page.rows()).unwrap_or(usize::MAX));
        let last = rows.last().filter(|_| more);
        let next_cursor = last.map(|row| format!("{}.{}", row.last_us, row.id));
        Ok(Listed { items: rows.into_iter().map(read).collect(), next_cursor })
    }
}

/// Adds to a row that is there already.
fn raise() -> OnConflict {
    let stored = |column: Column| Expr::col((refused_keys::Entity, column));
    let added = |column: Column| Expr::col(("excluded", column));
    let earlier = added(Column::FirstUs).lt(stored(Column::FirstUs));
    let later = added(Column::LastUs).gt(stored(Column::LastUs));
    let choose = |when, column| Expr::case(when, added(column)).finally(stored(column));
    OnConflict::columns([Column::Address, Column::KeyId, Column::Fault])
        .value(Column::Count, stored(Column::Count).add(added(Column::Count)))
        .value(Column::FirstUs, choose(earlier, Column::FirstUs))
        .value(Column::LastUs, choose(later, Column::LastUs))
        .to_owned()
}

async fn forget_oldest(tx: &Transaction) -> Result<()> {
    let oldest = refused_keys::Entity::find()
        .order_by_desc(Column::LastUs)
        .order_by_desc(Column::Id)
        .offset(KEPT)
        .one(tx)
        .await?;
    if let Some(row) = oldest {
        let old = Column::LastUs.lte(row.last_us);
        refused_keys::Entity::delete_many().filter(old).exec(tx).await?;
    }
    Ok(())
}

fn write(id: i64, row: &RefusedKey) -> refused_keys::Model {
    let text = |text: &Option<String>| text.as_deref().map(clean).unwrap_or_default();
    refused_keys::Model {
        id,
        address: text(&row.address),
        key_id: text(&row.key_id),
        fault: row.fault.as_str().to_owned(),
        count: count(row.count),
        first_us: row.first_at.timestamp_micros(),
        last_us: row.last_at.timestamp_micros(),
    }
}

fn read(row: refused_keys::Model) -> RefusedKey {
    let known = |text: String| Some(text).filter(|text| !text.is_empty());
    let fault = KeyFault::ALL.into_iter().find(|fault| fault.as_str() == row.fault);
    RefusedKey {
        address: known(row.address),
        key_id: known(row.key_id),
        fault: fault.unwrap_or(KeyFault::Unknown),
        count: uncount(row.count),
        first_at: moment(row.first_us),
        last_at: moment(row.last_us),
    }
}

fn read_cursor(text: &str) -> Option<(i64, i64)> {
    let (at, id) = text.split_once('.')?;
    Some((at.parse().ok()?, id.parse().ok()?))
}
