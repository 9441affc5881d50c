//! Users: how they lie in their table, and what is checked of them. Hashes of passwords only go in;
//! nothing but a sign-in ever reads one.

use auth::{Actor, Grant, Permission, Role};
use domain::{Faults, Revision, Scope, UserId};
use entity::{provider_keys, routes, service_keys, upstreams, users};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait,
    QueryFilter, QuerySelect, sea_query::Expr,
};
use secrecy::{ExposeSecret, SecretString};
use unicode_normalization::UnicodeNormalization;

use crate::{
    Credentials, Kind, NewUser, Page, Result, Store, StoreError, User, UserEdit, UserFilter,
    UserRow,
    change::Change,
    grants::grant,
    limits, moment,
    paging::Stamp,
    resource::{EditOptions, Resource},
    roles::covered,
};

const KIND: Kind = Kind::User;

impl Resource for User {
    const KIND: Kind = KIND;
    type Id = UserId;
    type Filter = UserFilter;
    type Extra = ();
    type Entity = users::Entity;
    type Model = users::Model;
    type Parts = ();

    fn id(&self) -> UserId {
        self.id
    }

    /// Everybody is their own.
    fn owner(&self) -> UserId {
        self.id
    }

    fn identify(&mut self, id: UserId, _: UserId) {
        self.id = id;
    }

    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let visible = |text: &str| !text.chars().any(char::is_control);
        if folded(&self.name).is_empty() || self.name.len() > 128 || !visible(&self.name) {
            faults.add("name", "must be 1 to 128 bytes without control characters");
        }
        let address = |e: &String| e.len() <= 254 && e.contains('@') && visible(e);
        if !self.email.as_ref().is_none_or(address) {
            faults.add("email", "must be an address");
        }
        let shown = |name: &String| (1..=128).contains(&name.trim().len()) && visible(name);
        if !self.display_name.as_ref().is_none_or(shown) {
            faults.add("display_name", "must be 1 to 128 bytes without control characters");
        }
        let tag = |tag: &String| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
            (2..=35).contains(&tag.len()) && tag.chars().all(plain)
        };
        if !self.language.as_ref().is_none_or(tag) {
            faults.add("language", "must be a language tag such as `en` or `zh-CN`");
        }
        faults
    }

    /// Nobody makes or changes somebody who may more than they do, and only who may give out roles
    /// gives somebody another one. The last active super administrator stays one.
    async fn check(&self, before: Option<&Self>, change: &Change<'_>) -> Result<Faults> {
        let mut faults = Faults::default();
        let new = grant(change.tx(), &self.role).await?;
        if !known(&new) && before.is_none_or(|before| before.role != self.role) {
            faults.add("role", "there is no such role");
            return Ok(faults);
        }
        covered(change, &new)?;
        let Some(before) = before else { return Ok(faults) };
        if before.role != self.role {
            if !change.by().may(Permission::RoleAssign) {
                return Err(StoreError::Forbidden(Permission::RoleAssign));
            }
            covered(change, &grant(change.tx(), &before.role).await?)?;
        }
        if rules(before) && !rules(self) {
            someone_else_rules(change, self.id).await?;
        }
        Ok(faults)
    }

    fn read(row: users::Model, (): ()) -> Result<(Self, Faults), Faults> {
        let user = User {
            id: UserId(row.id),
            name: row.name,
            email: row.email,
            display_name: row.display_name,
            language: row.language,
            role: row.role,
            active: row.active,
            password_hash: None,
        };
        Ok((user, Faults::default()))
    }

    /// A new epoch ends all sessions: whose role, password or state has changed signs in again.
    fn write(&self, before: Option<&users::Model>, stamp: Stamp, _: &Change<'_>) -> users::Model {
        let replaced = self.password_hash.as_ref().map(|hash| hash.expose_secret().to_owned());
        let anew = before.is_some_and(|before| {
            replaced.is_some() || before.role != self.role || before.active != self.active
        });
        users::Model {
            id: self.id.0,
            name: self.name.clone(),
            name_key: folded(&self.name),
            email: self.email.clone(),
            display_name: self.display_name.clone(),
            language: self.language.clone(),
            role: self.role.clone(),
            password_hash: replaced.or(before.and_then(|before| before.password_hash.clone())),
            epoch: before.map_or(1, |before| before.epoch + i64::from(anew)),
            active: self.active,
            created_us: stamp.created_us,
            updated_us: stamp.updated_us,
            revision: stamp.revision,
        }
    }

    fn replaced(&self) -> Option<&'static str> {
        self.password_hash.as_ref().map(|_| "password")
    }

    /// Their service keys go with them. Who owns upstreams, provider keys or routes stays, and so
    /// does the last active super administrator.
    async fn deleting(&self, change: &Change<'_>) -> Result<()> {
        covered(change, &grant(change.tx(), &self.role).await?)?;
        owns_nothing(change, self.id).await?;
        if rules(self) {
            someone_else_rules(change, self.id).await?;
        }
        let theirs = service_keys::Column::OwnerId.eq(self.id.0);
        let keys = service_keys::Entity::find().filter(theirs.clone());
        let keys = keys.select_only().column(service_keys::Column::Id);
        let keys: Vec<i64> = keys.into_tuple().all(change.tx()).await?;
        service_keys::Entity::delete_many().filter(theirs).exec(change.tx()).await?;
        limits::delete_of(change, &Scope::ServiceKey(None), &keys).await?;
        limits::delete_of(change, &Scope::User(None), &[self.id.0]).await?;
        change.bury(Kind::ServiceKey, keys).await
    }

    fn wanted(filter: &UserFilter, _: &mut Page, _: &Store) -> Result<Condition> {
        let role = filter.role.as_ref().map(|role| users::Column::Role.eq(role));
        let active = filter.active.map(|active| users::Column::Active.eq(active));
        Ok(Condition::all().add_option(role).add_option(active))
    }
}

impl Store {
    /// Makes a user.
    ///
    /// # Errors
    ///
    /// As [`Store::create`].
    pub async fn create_user(&self, by: &Actor, new: NewUser) -> Result<UserId> {
        let fresh = |id, _| User::of(id, new);
        Ok(self.create(by, fresh, |_| Ok(())).await?.value.id)
    }

    /// Changes what `edit` names and leaves the rest.
    ///
    /// # Errors
    ///
    /// As [`Store::edit`].
    pub async fn edit_user(&self, by: &Actor, id: UserId, edit: UserEdit) -> Result<Revision> {
        let apply = |user: &mut User| {
            if let Some(name) = edit.name {
                user.name = name;
            }
            if let Some(email) = edit.email {
                user.email = email;
            }
            if let Some(role) = edit.role {
                user.role = role.to_string();
            }
            if let Some(active) = edit.active {
                user.active = active;
            }
            user.password_hash = edit.password_hash.map(SecretString::from);
            Ok(EditOptions::default())
        };
        Ok(self.edit_with(by, id, apply).await?.revision)
    }

    /// Deletes a user with their service keys and sessions.
    ///
    /// # Errors
    ///
    /// As [`Store::delete`].
    pub async fn delete_user(&self, by: &Actor, id: UserId) -> Result<Revision> {
        self.delete::<User>(by, id).await
    }

    /// One user, with what their role allows.
    ///
    /// # Errors
    ///
    /// There is no such user.
    pub async fn user(&self, id: UserId) -> Result<UserRow> {
        let db = self.0.db.reader().await?;
        let row = users::Entity::find_by_id(id.0).one(&db).await?;
        read(row.ok_or(StoreError::NotFound(KIND.as_str()))?, &db).await
    }

    /// What a sign-in as `name` is checked against; none when nobody is called so.
    ///
    /// # Errors
    ///
    /// The database does not answer.
    pub async fn credentials(&self, name: &str) -> Result<Option<Credentials>> {
        let named = users::Column::NameKey.eq(folded(name));
        let db = self.0.db.reader().await?;
        credentials(users::Entity::find().filter(named).one(&db).await?, &db).await
    }

    /// What a user's password is checked against, by the id.
    ///
    /// # Errors
    ///
    /// The database does not answer.
    pub async fn credentials_of(&self, id: UserId) -> Result<Option<Credentials>> {
        let db = self.0.db.reader().await?;
        credentials(users::Entity::find_by_id(id.0).one(&db).await?, &db).await
    }

    /// Stores the same password under a newer hash, as an upgrade at sign-in. Ends no session.
    ///
    /// # Errors
    ///
    /// There is no such user.
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

/// Adds the first user inside a change.
pub(crate) async fn add(change: &Change<'_>, new: NewUser) -> Result<UserId> {
    let user = User::of(UserId(change.ids(KIND, 1).await?), new);
    user.faults().none_or(())?;
    let row: users::ActiveModel = user.write(None, change.stamp(None), change).into();
    users::Entity::insert(row.reset_all()).exec_without_returning(change.tx()).await?;
    Ok(user.id)
}

impl User {
    fn of(id: UserId, new: NewUser) -> Self {
        Self {
            email: new.email,
            password_hash: new.password_hash.map(SecretString::from),
            ..Self::new(id, new.name, new.role.to_string())
        }
    }
}

/// A name as it is compared: no second account by case, spacing or another spelling in Unicode.
fn folded(name: &str) -> String {
    name.trim().nfkc().collect::<String>().to_lowercase().nfkc().collect()
}

/// Whether there is a role of this name. A grant without permissions is that of no role that is
/// built in, and a role that administrators define has at least one.
fn known(grant: &Grant) -> bool {
    grant.permissions != auth::Permissions::NONE
}

fn rules(user: &User) -> bool {
    user.active && user.role == Role::SuperAdmin.as_str()
}

/// Somebody else must be left who may do everything.
async fn someone_else_rules(change: &Change<'_>, id: UserId) -> Result<()> {
    let left = users::Entity::find()
        .filter(users::Column::Id.ne(id.0))
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

async fn credentials(
    row: Option<users::Model>,
    db: &impl ConnectionTrait,
) -> Result<Option<Credentials>> {
    let Some(mut row) = row else { return Ok(None) };
    let password_hash = row.password_hash.take();
    Ok(Some(Credentials { user: read(row, db).await?, password_hash }))
}

/// The user of a row, with what their role allows.
pub(crate) async fn read(row: users::Model, db: &impl ConnectionTrait) -> Result<UserRow> {
    Ok(UserRow {
        id: UserId(row.id),
        grant: grant(db, &row.role).await?,
        name: row.name,
        email: row.email,
        display_name: row.display_name,
        language: row.language,
        active: row.active,
        epoch: row.epoch,
        created_at: moment(row.created_us),
        updated_at: moment(row.updated_us),
    })
}
