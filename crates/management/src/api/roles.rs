//! `/api/admin/roles` and `/api/admin/permissions`: what users may do. The roles that are built in
//! can be read like the others; only those that administrators define can be changed.

use axum::{Json as Answer, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use domain::Faults;
use serde::Serialize;
use serde_json::{Value, json};
use store::{RoleDefinition, Stored};
use utoipa::ToSchema;

use super::Created;
use crate::{
    app::Management,
    error::ApiError,
    etags::IfMatch,
    input::{Id, Input, Json, Query, patch::Patch},
    listing::{ListOf, ListQuery, PageQuery},
    permit::{AssignRoles, ReadUsers, With},
    resource::{bodies, set, version},
    words::{DataScope, Permission},
};

/// A role of users.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Role {
    /// Its id.
    id: i64,
    /// The name that users carry.
    #[schema(example = "key-desk")]
    name: String,
    /// Whom it is for.
    #[schema(example = "Hands out service keys")]
    description: String,
    /// What it allows.
    permissions: Vec<Permission>,
    /// Whose resources the permissions concern.
    data_scope: DataScope,
    /// Whether it comes with the gateway, and cannot be changed.
    built_in: bool,
    /// When it was created.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

bodies! {
    /// A role to be made.
    #[schema(example = json!({"name": "key-desk", "description": "Hands out service keys",
        "permissions": ["servicekey.read", "servicekey.write"], "data_scope": "all"}))]
    new NewRole {
        /// Its name, 1 to 64 characters of `a-z`, `0-9`, `_` and `-`; it never changes.
        name: String,
        /// What it allows, at least one permission; nothing that whoever makes it may not do.
        permissions: Vec<Permission>,
    }

    /// What to change of a role, as a JSON merge patch (RFC 7396): what is not given stays;
    /// `null` puts a field back to what it is usually. Its users may do what it allows within a
    /// second.
    #[schema(example = json!({"permissions": ["servicekey.read"]}))]
    edit EditRole {
        /// What it allows, at least one permission; nothing that whoever changes it may not do.
        permissions: Option<Vec<Permission>>,
    }

    both {
        /// Whom it is for; at most 500 bytes.
        description: String,
        /// Whose resources the permissions concern; `own` when nothing is said.
        data_scope: DataScope,
    }

    nullable {}
}

/// A permission.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PermissionInfo {
    /// Its name.
    name: Permission,
    /// What it allows, as one sentence.
    #[schema(example = "See the users.")]
    description: &'static str,
    /// Whether whoever asks has it, and may give it to a role.
    held: bool,
}

/// Every permission that a role can allow.
#[utoipa::path(get, path = "/api/admin/permissions", tag = "roles",
    responses((status = 200, description = "All permissions, on one page", body = ListOf<PermissionInfo>)))]
pub(crate) async fn list_permissions(actor: With<ReadUsers>) -> Answer<ListOf<PermissionInfo>> {
    let items = auth::Permission::ALL.map(|permission| PermissionInfo {
        name: permission.into(),
        description: permission.description(),
        held: actor.may(permission),
    });
    Answer(ListOf { items: items.into(), next_cursor: None })
}

/// Roles, a page at a time: those that are built in and those that administrators defined.
#[utoipa::path(get, path = "/api/admin/roles", tag = "roles", params(ListQuery),
    responses((status = 200, description = "A page of roles", body = ListOf<Role>)))]
pub(crate) async fn list_roles(
    actor: With<ReadUsers>,
    State(app): State<Management>,
    Query(query): Query<ListQuery>,
) -> Result<Answer<ListOf<Role>>, ApiError> {
    app.list::<RoleDefinition, _>(&actor, &(), query.page()?).await
}

/// Define a role.
#[utoipa::path(post, path = "/api/admin/roles", tag = "roles", request_body = NewRole,
    responses((status = 201, description = "The role was created", body = Role)))]
pub(crate) async fn create_role(
    actor: With<AssignRoles>,
    State(app): State<Management>,
    Json(new): Json<NewRole>,
) -> Result<Created<Role>, ApiError> {
    let ((name, permissions), mut edit) = new.split();
    edit.permissions = Some(permissions);
    app.create(&actor, |id, _| RoleDefinition::new(id, name), |role| edit.apply(role)).await
}

/// One role.
#[utoipa::path(get, path = "/api/admin/roles/{id}", tag = "roles", params(("id" = i64, Path, description = "The id of the role")),
    responses((status = 200, description = "The role", body = Role)))]
pub(crate) async fn read_role(
    actor: With<ReadUsers>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<Role>, ApiError> {
    Ok(Answer(app.get::<RoleDefinition>(&actor, id).await?.into()))
}

/// Change a role that an administrator defined.
#[utoipa::path(patch, path = "/api/admin/roles/{id}", tag = "roles", params(("id" = i64, Path, description = "The id of the role")),
    request_body(content((EditRole = "application/json"), (EditRole = "application/merge-patch+json"))),
    responses((status = 200, description = "The role", body = Role)))]
pub(crate) async fn edit_role(
    actor: With<AssignRoles>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
    patch: Patch<EditRole>,
) -> Result<Answer<Role>, ApiError> {
    let edit = patch.onto(&Value::Null, &usual()).map_err(ApiError::Invalid)?;
    let edited = app.edit(&actor, &if_match, id, |role| edit.apply(role)).await?;
    app.session_cache.forget();
    Ok(edited)
}

/// Delete a role that an administrator defined and that no user has.
#[utoipa::path(delete, path = "/api/admin/roles/{id}", tag = "roles", params(("id" = i64, Path, description = "The id of the role")),
    responses((status = 204, description = "The role was deleted")))]
pub(crate) async fn delete_role(
    actor: With<AssignRoles>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
) -> Result<StatusCode, ApiError> {
    app.delete::<RoleDefinition>(&actor, &if_match, id).await
}

version!(RoleVersion of Role);

/// What a role was like after each of its changes, the newest first: of the last 365 days, those of deleted ones
/// too for who sees everything.
#[utoipa::path(get, path = "/api/admin/roles/{id}/history", tag = "roles",
    params(("id" = i64, Path, description = "The id of the role"), PageQuery),
    responses((status = 200, description = "A page of versions", body = ListOf<RoleVersion>)))]
pub(crate) async fn role_history(
    actor: With<ReadUsers>,
    State(app): State<Management>,
    Id(id): Id,
    Query(query): Query<PageQuery>,
) -> Result<Answer<ListOf<RoleVersion>>, ApiError> {
    app.history::<RoleDefinition, _>(&actor, id, query).await
}

/// What a patch finds in the place of what it removes.
fn usual() -> Value {
    json!({"description": "", "data_scope": "own"})
}

impl From<Stored<RoleDefinition>> for Role {
    fn from(row: Stored<RoleDefinition>) -> Self {
        let role = row.value;
        Self {
            id: role.id.0,
            built_in: role.built_in(),
            permissions: role.permissions.iter().map(Permission::from).collect(),
            data_scope: role.scope.into(),
            name: role.name,
            description: role.description,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl EditRole {
    /// Puts what is given in the place of what was.
    fn apply(self, role: &mut RoleDefinition) -> Result<(), Faults> {
        set(&mut role.description, self.description);
        set(&mut role.scope, self.data_scope);
        if let Some(permissions) = self.permissions {
            role.permissions = permissions.into_iter().map(auth::Permission::from).collect();
        }
        Ok(())
    }

    /// What is wrong with a role of this name that is edited so.
    fn judged(self, name: String) -> Faults {
        let mut role = RoleDefinition::new(domain::RoleId(0), name);
        role.permissions = auth::Permissions::ALL;
        self.apply(&mut role).err().unwrap_or_else(|| store::Resource::faults(&role))
    }
}

impl Input for NewRole {
    fn faults(&self) -> Faults {
        let ((name, permissions), mut edit) = self.clone().split();
        edit.permissions = Some(permissions);
        edit.judged(name)
    }
}

impl Input for EditRole {
    const NULLABLE: Option<&'static [&'static str]> = Some(&[]);
    const REQUIRED: &'static [&'static str] = &["permissions"];

    fn faults(&self) -> Faults {
        self.clone().judged("name".to_owned())
    }
}
