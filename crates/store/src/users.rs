//! Users: made, changed, read, deleted.

use auth::{Actor, Role};
use domain::{Fault, Faults, Revision, Scope, UserId};
use entity::{provider_keys, routes, service_keys, upstreams, users};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect,
    sea_query::Expr,
};
use unicode_normalization::UnicodeNormalization;

use crate::{
    Credentials, Kind, Listed, NewUser, Page, Result, Store, StoreError, UserEdit, UserRow,
    change::{Change, What, fields},
    limits, moment, paging,
};

const KIND: Kind = Kind::User;

impl Store {
    /// Makes a user.
    pub async fn create_user(&self, by: &Actor, new: NewUser) -> Result<UserId> {
        let change = self.begin(by).await?;
        let id = add(&change, new).await?;
        let row = find(&change, id).await?;
        change.commit(What::created(KIND, id.0, fields(&row))).await?;
        Ok(id)
    }

    /// Changes what `edit` names and leaves the rest. The last active super administrator stays
    /// one.
    pub async fn edit_user(&self, by: &Actor, id: UserId, edit: UserEdit) -> Result<Revision> {
        let change = self.begin(by).await?;
        let before = find(&change, id).await?;
        let mut row = before.clone();
        if let Some(name) = edit.name {
            row.name_key = folded(&name);
            row.name = name;
        }
        if let Some(email) = edit.email {
            row.email = email;
        }
        if let Some(role) = edit.role {
            row.role = role.to_string();
        }
        if let Some(active) = edit.active {
            row.active = active;
        }
        let password = edit.password_hash.is_some();
        if password {
            row.password_hash = edit.password_hash;
        }
        faults(&row).none_or(())?;
        if password || row.role != before.role || row.active != before.active {
            row.epoch += 1;
        }
        row.updated_us = change.now_us;
        row.revision = change.revision;
        let active: users::ActiveModel = row.clone().into();
        active.reset_all().update(change.tx()).await?;
        if rules(&before) && !rules(&row) {
            someone_rules(&change).await?;
        }
        let replaced = password.then_some("password");
        change
            .commit(What::edited("edited", KIND, id.0, fields(&before), fields(&row), replaced))
            .await
    }

    /// Deletes a user with their service keys and sessions. Refused for the last active super
    /// administrator, and while the user owns upstreams, provider keys or routes.
    pub async fn delete_user(&self, by: &Actor, id: UserId) -> Result<Revision> {
        let change = self.begin(by).await?;
        let row = find(&change, id).await?;
        owns_nothing(&change, id).await?;
        let theirs = service_keys::Column::OwnerId.eq(id.0);
        let keys = service_keys::Entity::find().filter(theirs.clone());
        let keys = keys.select_only().column(service_keys::Column::Id);
        let keys: Vec<i64> = keys.into_tuple().all(change.tx()).await?;
        service_keys::Entity::delete_many().filter(theirs).exec(change.tx()).await?;
        users::Entity::delete_by_id(id.0).exec(change.tx()).await?;
        if rules(&row) {
            someone_rules(&change).await?;
        }
        limits::delete_of(&change, &Scope::ServiceKey(None), &keys).await?;
        limits::delete_of(&change, &Scope::User(None), &[id.0]).await?;
        change.bury(Kind::ServiceKey, keys).await?;
        change.bury(KIND, [id.0]).await?;
        change.commit(What::deleted(KIND, id.0, fields(&row))).await
    }

    /// One user.
    pub async fn user(&self, id: UserId) -> Result<UserRow> {
        let row = users::Entity::find_by_id(id.0).one(&self.0.db.reader().await?).await?;
        read(row.ok_or(StoreError::NotFound(KIND.as_str()))?)
    }

    /// A page of users.
    pub async fn users(&self, page: Page) -> Result<Listed<UserRow>> {
        let db = self.0.db.reader().await?;
        let (rows, next_cursor) = paging::page(users::Entity::find(), &page, &db).await?;
        Ok(Listed { items: rows.into_iter().map(read).collect::<Result<_>>()?, next_cursor })
    }

    /// What a sign-in as `name` is checked against; none when nobody is called so.
    pub async fn credentials(&self, name: &str) -> Result<Option<Credentials>> {
        let named = users::Column::NameKey.eq(folded(name));
        let db = self.0.db.reader().await?;
        let Some(mut row) = users::Entity::find().filter(named).one(&db).await? else {
            return Ok(None);
        };
        let password_hash = row.password_hash.take();
        Ok(Some(Credentials { user: read(row)?, password_hash }))
    }

    /// Stores the same password under a newer hash, as an upgrade at sign-in. Ends no session.
    pub async fn rehash_password(&self, id: UserId, password_hash: String) -> Result<()> {
        let tx = self.0.db.write().await?;
        let done = users::Entity::update_many()
            .col_expr(users::Column::PasswordHash, Expr::value(password_hash))
            .filter(users::Column::Id.eq(id.0))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        if done.rows_affected == 0 { Err(StoreError::NotFound(KIND.as_str())) } else { Ok(()) }
    }
}

/// Adds a user inside a change.
pub(crate) async fn add(change: &Change<'_>, new: NewUser) -> Result<UserId> {
    let row = users::Model {
        id: change.ids(KIND, 1).await?,
        name_key: folded(&new.name),
        name: new.name,
        email: new.email,
        role: new.role.to_string(),
        password_hash: new.password_hash,
        epoch: 1,
        active: true,
        created_us: change.now_us,
        updated_us: change.now_us,
        revision: change.revision,
    };
    faults(&row).none_or(())?;
    let id = UserId(row.id);
    let row: users::ActiveModel = row.into();
    users::Entity::insert(row.reset_all()).exec_without_returning(change.tx()).await?;
    Ok(id)
}

/// A name as it is compared: no second account by case, spacing or another spelling in Unicode.
fn folded(name: &str) -> String {
    name.trim().nfkc().collect::<String>().to_lowercase().nfkc().collect()
}

fn faults(row: &users::Model) -> Faults {
    let mut faults = Faults::default();
    let visible = |text: &str| !text.chars().any(char::is_control);
    if row.name_key.is_empty() || row.name.len() > 128 || !visible(&row.name) {
        faults.add("name", "must be 1 to 128 bytes without control characters");
    }
    if row.email.as_ref().is_some_and(|e| e.len() > 254 || !e.contains('@') || !visible(e)) {
        faults.add("email", "must be an address");
    }
    faults
}

fn rules(row: &users::Model) -> bool {
    row.active && row.role == Role::SuperAdmin.as_str()
}

/// Somebody must be left who may do everything.
async fn someone_rules(change: &Change<'_>) -> Result<()> {
    let left = users::Entity::find()
        .filter(users::Column::Active.eq(true))
        .filter(users::Column::Role.eq(Role::SuperAdmin.as_str()))
        .count(change.tx())
        .await?;
    match left {
        0 => Err(StoreError::conflict("role", "this is the last active super administrator")),
        _ => Ok(()),
    }
}

async fn owns_nothing(change: &Change<'_>, id: UserId) -> Result<()> {
    let tx = change.tx();
    let of = upstreams::Entity::find().filter(upstreams::Column::OwnerId.eq(id.0));
    let mut left = of.count(tx).await?;
    let of = provider_keys::Entity::find().filter(provider_keys::Column::OwnerId.eq(id.0));
    left += of.count(tx).await?;
    left += routes::Entity::find().filter(routes::Column::OwnerId.eq(id.0)).count(tx).await?;
    match left {
        0 => Ok(()),
        _ => Err(StoreError::conflict(
            "id",
            "the user still owns upstreams, provider keys or routes; deactivate the user instead",
        )),
    }
}

async fn find(change: &Change<'_>, id: UserId) -> Result<users::Model> {
    let row = users::Entity::find_by_id(id.0).one(change.tx()).await?;
    row.ok_or(StoreError::NotFound(KIND.as_str()))
}

/// The user of a row.
pub(crate) fn read(row: users::Model) -> Result<UserRow> {
    let role = row.role.parse::<Role>();
    let role = role.map_err(|fault: Fault| StoreError::Unexpected(fault.message))?;
    Ok(UserRow {
        id: UserId(row.id),
        name: row.name,
        email: row.email,
        grant: role.into(),
        active: row.active,
        epoch: row.epoch,
        created_at: moment(row.created_us),
        updated_at: moment(row.updated_us),
    })
}
