//! `/api/admin/users`: the people and programs that use this API. Nobody makes, changes or deletes
//! somebody who may more than they do themselves.

use auth::Passwords;
use axum::{Json as Answer, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use domain::{Fault, Faults};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Stored, UserFilter};
use utoipa::{IntoParams, ToSchema};

use super::Created;
use crate::{
    app::Management,
    error::ApiError,
    etags::IfMatch,
    input::{Id, Input, Json, Query, patch::Patch},
    listing::{ListOf, ListQuery, Order, PageQuery},
    permit::{ManageUsers, ReadUsers, With},
    resource::{bodies, set, version},
};

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    /// The id of the user.
    id: i64,
    /// The name to sign in with.
    #[schema(example = "lin")]
    username: String,
    /// What they want to be called.
    #[schema(example = "Lin Wei")]
    display_name: Option<String>,
    /// Where to write to.
    email: Option<String>,
    /// The language of the pages that they see.
    #[schema(example = "zh-CN")]
    language: Option<String>,
    /// The name of the role.
    #[schema(example = "operator")]
    role: String,
    /// Whether they may sign in, and their service keys are accepted.
    enabled: bool,
    /// When they were created.
    created_at: DateTime<Utc>,
    /// When they were last changed.
    updated_at: DateTime<Utc>,
}

bodies! {
    /// A user to be made.
    #[schema(example = json!({"username": "lin", "password": "correct horse battery", "role": "operator"}))]
    new NewUser {
        /// The name to sign in with: 1 to 64 letters, digits, `.`, `_`, `-`, `@` or `+`, unique in any
        /// case of letters.
        username: String,
        /// The name of the role; it allows nothing that whoever makes the user may not do.
        role: String,
    }

    /// What to change of a user, as a JSON merge patch (RFC 7396): what is not given stays; `null`
    /// removes a field. Another role, another password and switching off end all sessions of the
    /// user within a second.
    #[schema(example = json!({"enabled": false}))]
    edit EditUser {
        /// Another name to sign in with.
        username: Option<String>,
        /// The name of another role; that needs the permission `role.assign`.
        role: Option<String>,
    }

    both {
        /// The password, 10 to 256 bytes, hard to guess. Who has none cannot sign in.
        #[schema(value_type = Option<String>)]
        password: SecretString,
        /// Whether they may sign in, and their service keys are accepted; they may when nothing is
        /// said.
        enabled: bool,
    }

    nullable {
        /// What they want to be called, 1 to 128 bytes.
        display_name: String,
        /// Where to write to.
        email: String,
        /// The language of the pages that they see, as a language tag such as `en` or `zh-CN`.
        language: String,
    }
}

/// Which users are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsersQuery {
    /// Only users with the role of this name.
    role: Option<String>,
    /// Only users who may sign in, or only those who may not.
    enabled: Option<bool>,
    /// Where the page before ended: its `next_cursor`.
    cursor: Option<String>,
    /// At most this many items.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// Only users with these characters in the name that they sign in with.
    search: Option<String>,
    /// The order; `-` in front turns it round.
    #[param(inline)]
    sort: Option<Order>,
}

/// Users, a page at a time.
#[utoipa::path(get, path = "/api/admin/users", tag = "users", params(UsersQuery),
    responses((status = 200, description = "A page of users", body = ListOf<User>)))]
pub(crate) async fn list_users(
    actor: With<ReadUsers>,
    State(app): State<Management>,
    Query(query): Query<UsersQuery>,
) -> Result<Answer<ListOf<User>>, ApiError> {
    let UsersQuery { role, enabled, cursor, limit, search, sort } = query;
    let page = ListQuery { cursor, limit, search, sort }.page()?;
    app.list::<store::User, _>(&actor, &UserFilter { role, active: enabled }, page).await
}

/// Make a user.
#[utoipa::path(post, path = "/api/admin/users", tag = "users", request_body = NewUser,
    responses((status = 201, description = "The user was created", body = User)))]
pub(crate) async fn create_user(
    actor: With<ManageUsers>,
    State(app): State<Management>,
    Json(new): Json<NewUser>,
) -> Result<Created<User>, ApiError> {
    let ((username, role), mut edit) = new.split();
    edit.username = Some(username.clone());
    let hash = app.hash_of(&username, edit.password.take()).await?;
    let fresh = |id, _| store::User::new(id, username, role);
    app.create(&actor, fresh, |user| edit.apply(user, hash)).await.map_err(spelled)
}

/// One user.
#[utoipa::path(get, path = "/api/admin/users/{id}", tag = "users", params(("id" = i64, Path, description = "The id of the user")),
    responses((status = 200, description = "The user", body = User)))]
pub(crate) async fn read_user(
    actor: With<ReadUsers>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<User>, ApiError> {
    Ok(Answer(app.get::<store::User>(&actor, id).await?.into()))
}

/// Change a user: another role, another password, switch off or on.
#[utoipa::path(patch, path = "/api/admin/users/{id}", tag = "users", params(("id" = i64, Path, description = "The id of the user")),
    request_body(content((EditUser = "application/json"), (EditUser = "application/merge-patch+json"))),
    responses((status = 200, description = "The user", body = User)))]
pub(crate) async fn edit_user(
    actor: With<ManageUsers>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
    patch: Patch<EditUser>,
) -> Result<Answer<User>, ApiError> {
    let mut edit = patch.onto(&Value::Null, &usual()).map_err(ApiError::Invalid)?;
    let hash = match edit.password.take() {
        None => Ok(None),
        Some(password) => {
            let now = app.get::<store::User>(&actor, id).await?.value.name;
            let username = edit.username.as_deref().unwrap_or(&now);
            app.hash_of(username, Some(password)).await?
        }
    };
    let apply = |user: &mut store::User| edit.apply(user, hash);
    let edited = app.edit(&actor, &if_match, id, apply).await.map_err(spelled)?;
    app.session_cache.forget();
    Ok(edited)
}

/// Delete a user with their service keys and sessions. What they did stays in the log, the audit
/// trail and the statistics. Who owns upstreams, provider keys or routes cannot be deleted: switch
/// them off instead.
#[utoipa::path(delete, path = "/api/admin/users/{id}", tag = "users", params(("id" = i64, Path, description = "The id of the user")),
    responses((status = 204, description = "The user was deleted")))]
pub(crate) async fn delete_user(
    actor: With<ManageUsers>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
) -> Result<StatusCode, ApiError> {
    let deleted = app.delete::<store::User>(&actor, &if_match, id).await?;
    app.session_cache.forget();
    Ok(deleted)
}

version!(UserVersion of User);

/// What a user was like after each change, the newest first: of the last 365 days, those of deleted ones too for
/// who sees everything.
#[utoipa::path(get, path = "/api/admin/users/{id}/history", tag = "users",
    params(("id" = i64, Path, description = "The id of the user"), PageQuery),
    responses((status = 200, description = "A page of versions", body = ListOf<UserVersion>)))]
pub(crate) async fn user_history(
    actor: With<ReadUsers>,
    State(app): State<Management>,
    Id(id): Id,
    Query(query): Query<PageQuery>,
) -> Result<Answer<ListOf<UserVersion>>, ApiError> {
    app.history::<store::User, _>(&actor, id, query).await
}

/// The hash of a password, or what is wrong with it.
type Hashed = Result<Option<SecretString>, Faults>;

impl Management {
    /// Hashes the new password of a user. What is wrong with the password is no error yet: it is
    /// told together with the other fields.
    pub(crate) async fn hash_of(
        &self,
        username: &str,
        password: Option<SecretString>,
    ) -> Result<Hashed, ApiError> {
        let Some(password) = password else { return Ok(Ok(None)) };
        if let Err(faults) = Passwords::faults(username, &password).none_or(()) {
            return Ok(Err(faults));
        }
        Ok(Ok(Some(self.hashing.turn().await?.hash(password).await?.into())))
    }
}

/// Names are shown in lists and in the audit: no white space, nothing that cannot be seen.
pub(crate) fn check_username(field: &str, name: &str, faults: &mut Faults) {
    let plain = |c: char| c.is_alphanumeric() || "._-@+".contains(c);
    if !(1..=64).contains(&name.chars().count()) || !name.chars().all(plain) {
        faults.add(field, "must be 1 to 64 letters, digits, `.`, `_`, `-`, `@` or `+`");
    }
}

/// The field of the store that the API calls `username`.
const STORED_NAME: &str = "name";

fn spell(faults: Faults) -> Faults {
    let spell = |fault: Fault| match fault.field.as_str() {
        STORED_NAME => Fault::new("username", fault.message),
        _ => fault,
    };
    Faults(faults.0.into_iter().map(spell).collect())
}

/// Gives the fields of a refusal the names that the API has for them.
pub(crate) fn spelled(error: ApiError) -> ApiError {
    match error {
        ApiError::Invalid(faults) => ApiError::Invalid(spell(faults)),
        ApiError::Conflict(faults) => ApiError::Conflict(spell(faults)),
        other => other,
    }
}

/// What a patch finds in the place of what it removes.
fn usual() -> Value {
    json!({"enabled": true, "display_name": null, "email": null, "language": null})
}

impl From<Stored<store::User>> for User {
    fn from(row: Stored<store::User>) -> Self {
        let user = row.value;
        Self {
            id: user.id.0,
            username: user.name,
            display_name: user.display_name,
            email: user.email,
            language: user.language,
            role: user.role,
            enabled: user.active,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl EditUser {
    /// Puts what is given in the place of what was.
    fn apply(self, user: &mut store::User, hash: Hashed) -> Result<(), Faults> {
        let mut faults = Faults::default();
        if let Some(name) = &self.username {
            check_username(STORED_NAME, name, &mut faults);
        }
        match hash {
            Ok(hash) => user.password_hash = hash,
            Err(further) => faults.0.extend(further.0),
        }
        set(&mut user.name, self.username);
        set(&mut user.role, self.role);
        set(&mut user.active, self.enabled);
        set(&mut user.display_name, self.display_name);
        set(&mut user.email, self.email);
        set(&mut user.language, self.language);
        faults.none_or(())
    }

    /// What is wrong with a user who is edited so.
    fn judged(mut self) -> Faults {
        let username = self.username.clone().unwrap_or_else(|| "name".to_owned());
        let password = self.password.take();
        let wrong = password.map(|password| Passwords::faults(&username, &password));
        let hash = wrong.map_or(Ok(None), |faults| faults.none_or(None));
        let mut user = store::User::new(domain::UserId(0), username, String::new());
        let mut faults = self.apply(&mut user, hash).err().unwrap_or_default();
        let further = store::Resource::faults(&user).0.into_iter();
        faults.0.extend(further.filter(|fault| fault.field != STORED_NAME));
        spell(faults)
    }
}

impl Input for NewUser {
    fn faults(&self) -> Faults {
        let ((username, _), mut edit) = self.clone().split();
        edit.username = Some(username);
        edit.judged()
    }
}

impl Input for EditUser {
    const NULLABLE: Option<&'static [&'static str]> = Some(&["display_name", "email", "language"]);
    const REQUIRED: &'static [&'static str] = &["username", "password", "role"];

    fn faults(&self) -> Faults {
        self.clone().judged()
    }
}
