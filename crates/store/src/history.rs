//! What resources were like after each change, as far as somebody may see them.

use chrono::{DateTime, Utc};
use domain::Revision;
use entity::history;
use sea_orm::{ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::{
    Listed, Page, Result, moment, paging,
    resource::{Resource, Stored},
    view::View,
};

/// What a resource was like after a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Version<R: Resource> {
    /// The change.
    pub revision: Revision,
    /// The moment of the change.
    pub at: DateTime<Utc>,
    /// Who made it.
    pub actor: String,
    /// What the audit trail calls it.
    pub action: String,
    /// Whether the change deleted the resource.
    pub deleted: bool,
    /// The resource, without what is shown beside it; none where it was deleted, or where this
    /// program cannot read what another version of it wrote.
    pub resource: Option<Stored<R>>,
}

impl View<'_> {
    /// What a resource was like after each of its changes, the newest first. Who sees everything sees
    /// the history of deleted ones too.
    ///
    /// # Errors
    ///
    /// There is no such resource, as far as may be seen.
    pub async fn history<R: Resource>(&self, id: R::Id, page: Page) -> Result<Listed<Version<R>>> {
        use history::Column;
        if self.who.confined_to().is_some() {
            self.get::<R>(id).await?;
        }
        let db = self.store.0.db.reader().await?;
        let of = Column::Kind.eq(R::KIND.table()).and(Column::Id.eq(id.into()));
        let mut select = history::Entity::find().filter(of);
        if let Some(before) = paging::number(&page)? {
            select = select.filter(Column::Revision.lt(before));
        }
        let rows = select.order_by_desc(Column::Revision).limit(page.rows() + 1).all(&db).await?;
        if rows.is_empty() && page.cursor.is_none() {
            // It may be older than its history.
            self.get::<R>(id).await?;
        }
        Ok(paging::numbered(rows, &page, |row| row.revision).map(version))
    }
}

fn version<R: Resource>(row: history::Model) -> Version<R> {
    Version {
        revision: Revision(row.revision),
        at: moment(row.at_us),
        actor: row.actor,
        action: row.action,
        deleted: row.columns.is_none(),
        resource: row.columns.as_deref().and_then(read),
    }
}

/// The resource of the columns of its row, as far as this program can read them.
fn read<R: Resource>(columns: &str) -> Option<Stored<R>> {
    let (row, parts) = R::revive(columns).ok()?;
    let stamp = <R::Entity as paging::Paged>::stamp(&row);
    let (value, unreadable) = R::read(row, parts).ok()?;
    unreadable.none_or(Stored::stamped(value, stamp)).ok()
}
