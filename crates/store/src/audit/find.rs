//! Lists of the audit trail.

use chrono::{DateTime, Utc};
use domain::UserId;
use entity::audit::{Column, Entity, Model};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use super::{DONE, REFUSED, words};
use crate::{AuditFilter, AuditRow, Listed, Page, Result, Store, StoreError, moment, paging};

impl Store {
    /// Most lines that are read at once.
    pub const AUDIT_AT_ONCE: u64 = 1000;

    /// A page of the audit trail, newest first. `search` is looked for in the actor's name.
    pub async fn audit(&self, page: Page) -> Result<Listed<AuditRow>> {
        self.find_audit(&AuditFilter::default(), page).await
    }

    /// A page of the lines that the filter means, newest first. `search` is looked for in the actor's
    /// name.
    ///
    /// # Errors
    ///
    /// The cursor is none of this list, or the filter asks for what cannot be looked for.
    pub async fn find_audit(&self, filter: &AuditFilter, page: Page) -> Result<Listed<AuditRow>> {
        let mut select = wanted(filter)?;
        if let Some(before) = paging::number(&page)? {
            select = select.filter(Column::Id.lt(before));
        }
        if let Some(text) = &page.search {
            select = select.filter(paging::contains(Column::Actor, text)?);
        }
        if let Some(UserId(owner)) = page.owner {
            select = select.filter(Column::UserId.eq(owner));
        }
        let rows = select.order_by_desc(Column::Id).limit(page.rows() + 1);
        let rows = rows.all(&self.0.db.reader().await?).await?;
        Ok(paging::numbered(rows, &page, |row| row.id).map(line))
    }

    /// The next lines that the filter means after that one, oldest first; at most
    /// [`Store::AUDIT_AT_ONCE`]. None are left where there are fewer.
    ///
    /// # Errors
    ///
    /// The filter asks for what cannot be looked for.
    pub async fn audit_after(&self, filter: &AuditFilter, after: i64) -> Result<Vec<AuditRow>> {
        let select = wanted(filter)?.filter(Column::Id.gt(after)).order_by_asc(Column::Id);
        let rows = select.limit(Self::AUDIT_AT_ONCE).all(&self.0.db.reader().await?).await?;
        Ok(rows.into_iter().map(line).collect())
    }
}

fn wanted(filter: &AuditFilter) -> Result<Select<Entity>> {
    let us = |at: DateTime<Utc>| at.timestamp_micros();
    let mut wanted = Condition::all()
        .add_option(filter.user.map(|UserId(id)| Column::UserId.eq(id)))
        .add_option(filter.subject.as_deref().map(|kind| Column::Subject.eq(kind)))
        .add_option(filter.subject_id.map(|id| Column::SubjectId.eq(id)))
        .add_option(filter.ip.map(|ip| Column::Ip.eq(ip.to_string())))
        .add_option(filter.from.map(|at| Column::AtUs.gte(us(at))))
        .add_option(filter.to.map(|at| Column::AtUs.lt(us(at))));
    if let Some(actor) = &filter.actor {
        wanted = wanted.add(paging::contains(Column::Actor, actor)?);
    }
    if let Some(action) = &filter.action {
        let unknown = || StoreError::fault("action", "must be like `upstream.edit`");
        let (subject, past) = words::stored(action).ok_or_else(unknown)?;
        wanted = wanted.add(Column::Subject.eq(subject)).add(Column::Action.eq(past));
    }
    if let Some(refused) = filter.refused {
        let refusal = Column::Result.eq(REFUSED);
        // Lines from before there were results tell of what was done.
        let done = Condition::any().add(Column::Result.eq(DONE)).add(Column::Result.is_null());
        wanted = if refused { wanted.add(refusal) } else { wanted.add(done) };
    }
    Ok(Entity::find().filter(wanted))
}

fn line(row: Model) -> AuditRow {
    AuditRow {
        called: words::action(&row.subject, &row.action),
        id: row.id,
        at: moment(row.at_us),
        user: row.user_id.map(UserId),
        actor: row.actor,
        ip: row.ip.and_then(|ip| ip.parse().ok()),
        action: row.action,
        subject: row.subject,
        subject_id: row.subject_id,
        name: row.name,
        refused: row.result.as_deref() == Some(REFUSED),
        comment: row.comment,
        revision: row.revision,
        detail: serde_json::from_str(&row.detail).unwrap_or_default(),
    }
}
