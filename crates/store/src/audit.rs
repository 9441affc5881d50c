//! The audit trail: who did what, from where. Only ever added to, and each line is chained to the
//! one before by an HMAC, so that a line that was changed or taken out is noticed.

use auth::{Actor, AuditChain};
use domain::UserId;
use entity::audit;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

use crate::{
    AuditRow, AuditVerdict, Listed, Page, Result, Store, StoreError, change::What,
    link::Transaction, moment, now_us, paging,
};

impl Store {
    /// A page of the audit trail, newest first. `search` is looked for in the actor's name.
    pub async fn audit(&self, page: Page) -> Result<Listed<AuditRow>> {
        let mut select = audit::Entity::find();
        if let Some(cursor) = &page.cursor {
            let before = cursor.parse::<i64>().map_err(|_| paging::bad_cursor())?;
            select = select.filter(audit::Column::Id.lt(before));
        }
        if let Some(text) = &page.search {
            select = select.filter(paging::contains(audit::Column::Actor, text)?);
        }
        if let Some(UserId(owner)) = page.owner {
            select = select.filter(audit::Column::UserId.eq(owner));
        }
        let rows = select.order_by_desc(audit::Column::Id).limit(page.rows() + 1);
        let mut rows = rows.all(&self.0.db.reader().await?).await?;
        let more = rows.len() as u64 > page.rows();
        rows.truncate(usize::try_from(page.rows()).unwrap_or(usize::MAX));
        let next_cursor = rows.last().filter(|_| more).map(|row| row.id.to_string());
        Ok(Listed { items: rows.into_iter().map(line).collect(), next_cursor })
    }

    /// Notes something that changed no configuration: a sign-in, a secret that was shown.
    pub async fn note(
        &self,
        by: &Actor,
        action: &'static str,
        subject: &'static str,
        subject_id: Option<i64>,
    ) -> Result<()> {
        let mut what = What::about(action, subject, serde_json::json!({}));
        what.id = subject_id;
        self.note_about(by, what).await
    }

    /// Notes something that changed no configuration, with what there is to tell of it.
    pub(crate) async fn note_about(&self, by: &Actor, what: What) -> Result<()> {
        let tx = self.0.db.write().await?;
        append(&tx, &self.0.chain, by, now_us(), &what).await?;
        tx.commit().await
    }

    /// Follows the chain from the first line to the last.
    pub async fn verify_audit(&self) -> Result<AuditVerdict> {
        let tx = self.0.db.read().await?;
        let (mut lines, mut link) = (0, AuditChain::ROOT);
        loop {
            let after = audit::Column::Id.gt(lines);
            let rows = audit::Entity::find().filter(after).order_by_asc(audit::Column::Id);
            let rows = rows.limit(1000).all(&tx).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                let expected = self.0.chain.link(&link, &spelled(&row));
                if row.id != lines + 1 || row.link != expected {
                    let lines = u64::try_from(lines).unwrap_or_default();
                    return Ok(AuditVerdict { lines, broken_at: Some(row.id) });
                }
                (lines, link) = (row.id, expected);
            }
        }
        Ok(AuditVerdict { lines: u64::try_from(lines).unwrap_or_default(), broken_at: None })
    }
}

/// Adds a line in the transaction of what it tells.
pub(crate) async fn append(
    tx: &Transaction,
    chain: &AuditChain,
    by: &Actor,
    now_us: i64,
    what: &What,
) -> Result<()> {
    if tx.get_database_backend() == DbBackend::Postgres {
        // Lines queue up: two that follow the same one would fork the chain.
        tx.execute_unprepared("SELECT revision FROM revision WHERE id = 1 FOR UPDATE").await?;
    }
    let last = audit::Entity::find().order_by_desc(audit::Column::Id).one(tx).await?;
    let (id, previous) = match last {
        Some(row) => (row.id + 1, link_of(&row.link)?),
        None => (1, AuditChain::ROOT),
    };
    let ip = by.ip().map(|ip| ip.to_string());
    let mut row = audit::Model {
        id,
        at_us: now_us,
        user_id: by.user().map(|user| user.0),
        actor: by.name().to_owned(),
        ip,
        action: what.action.to_owned(),
        subject: what.subject.to_owned(),
        subject_id: what.id,
        detail: what.detail.to_string(),
        link: Vec::new(),
    };
    row.link = chain.link(&previous, &spelled(&row)).to_vec();
    let row: audit::ActiveModel = row.into();
    audit::Entity::insert(row.reset_all()).exec_without_returning(tx).await?;
    Ok(())
}

/// The bytes of a line that its link vouches for.
fn spelled(row: &audit::Model) -> Vec<u8> {
    let (id, at, user, actor) = (row.id, row.at_us, row.user_id, &row.actor);
    let line =
        (id, at, user, actor, &row.ip, &row.action, &row.subject, row.subject_id, &row.detail);
    serde_json::to_vec(&line).expect("plain values have a JSON form")
}

fn link_of(bytes: &[u8]) -> Result<[u8; 32]> {
    let link = bytes.try_into();
    link.map_err(|_| StoreError::Unexpected("a link of the audit trail has a wrong length".into()))
}

fn line(row: audit::Model) -> AuditRow {
    AuditRow {
        id: row.id,
        at: moment(row.at_us),
        user: row.user_id.map(UserId),
        actor: row.actor,
        ip: row.ip.and_then(|ip| ip.parse().ok()),
        action: row.action,
        subject: row.subject,
        subject_id: row.subject_id,
        detail: serde_json::from_str(&row.detail).unwrap_or_default(),
    }
}
