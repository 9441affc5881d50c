//! Reading resources: what somebody may see, and nothing else. Only a view reads them one by one or in
//! lists, so that no handler can forget whose they are.

use auth::Actor;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, Select};

use crate::{
    Listed, Page, Result, Store, StoreError,
    paging::{self, Paged},
    resource::{Resource, Stored, stored},
};

/// The resources that somebody may see.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub(crate) store: &'a Store,
    pub(crate) who: &'a Actor,
}

impl Store {
    /// The resources that `who` may see.
    pub fn seen_by<'a>(&'a self, who: &'a Actor) -> View<'a> {
        View { store: self, who }
    }
}

impl View<'_> {
    /// One resource.
    ///
    /// # Errors
    ///
    /// There is no such resource, as far as may be seen.
    pub async fn get<R: Resource>(&self, id: R::Id) -> Result<Stored<R>> {
        let db = self.store.0.db.reader().await?;
        let this = self.select::<R>(Condition::all().add(R::Entity::ID.eq(id.into())));
        let row = this.one(&db).await?.ok_or(StoreError::NotFound(R::KIND.as_str()))?;
        let mut found = stored::<R>(vec![row], &db).await?;
        found.pop().ok_or(StoreError::NotFound(R::KIND.as_str()))
    }

    /// A page of the resources that the filter means.
    ///
    /// # Errors
    ///
    /// The cursor is none of this list, or what is searched for is too long.
    pub async fn list<R: Resource>(
        &self,
        filter: &R::Filter,
        mut page: Page,
    ) -> Result<Listed<Stored<R>>> {
        let wanted = self.select::<R>(R::wanted(filter, &mut page, self.store)?);
        let db = self.store.0.db.reader().await?;
        let (rows, next_cursor) = paging::page(wanted, &page, &db).await?;
        Ok(Listed { items: stored::<R>(rows, &db).await?, next_cursor })
    }

    /// A page of those that `keep` keeps: it may ask what no column says. Where few are kept the page
    /// may end before it is full, with a cursor to go on from: no more than `most` are looked at for one
    /// page.
    ///
    /// # Errors
    ///
    /// As [`View::list`].
    pub async fn list_that<R: Resource>(
        &self,
        filter: &R::Filter,
        mut page: Page,
        most: usize,
        keep: impl Fn(&Stored<R>) -> bool + Send,
    ) -> Result<Listed<Stored<R>>> {
        let wanted = self.select::<R>(R::wanted(filter, &mut page, self.store)?);
        let db = self.store.0.db.reader().await?;
        let convert = |rows| stored::<R>(rows, &db);
        paging::sifted(wanted, &page, &db, most, convert, keep).await
    }

    /// The rows that are wanted, as far as they may be seen.
    pub(crate) fn select<R: Resource>(&self, wanted: Condition) -> Select<R::Entity> {
        let seen = self.who.confined_to().map(R::seen_by);
        R::Entity::find().filter(wanted).filter(Condition::all().add_option(seen))
    }
}
