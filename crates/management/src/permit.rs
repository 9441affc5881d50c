//! What a handler needs, in its arguments: `With<ManageUpstreams>` *is* the permission check.

use std::{
    marker::PhantomData,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use auth::{Actor, Permission};
use axum::{
    extract::{FromRequestParts, Request, State},
    http::request::Parts,
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{app::Management, error::ApiError, gate::SignedIn, refused::Asked};

/// Names a permission as a type.
pub(crate) trait Needs: Send + Sync {
    /// The permission.
    const PERMISSION: Permission;
}

macro_rules! needs {
    ($($name:ident = $permission:ident),+ $(,)?) => {$(
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name;

        impl Needs for $name {
            const PERMISSION: Permission = Permission::$permission;
        }
    )+};
}

needs! {
    ReadUsers = UserRead,
    ManageUsers = UserWrite,
    AssignRoles = RoleAssign,
    ReadUpstreams = UpstreamRead,
    ManageUpstreams = UpstreamWrite,
    ReadProviderKeys = ProviderKeyRead,
    ManageProviderKeys = ProviderKeyWrite,
    RevealProviderKeys = ProviderKeyReveal,
    ReadServiceKeys = ServiceKeyRead,
    ManageServiceKeys = ServiceKeyWrite,
    ManageRules = RuleWrite,
    ReadLogs = LogRead,
    ReadBodies = LogBody,
    ReadStats = StatsRead,
    ReadAudit = AuditRead,
    ManageConfig = ConfigWrite,
}

/// Whoever is asking, and has the permission `N`.
pub(crate) struct With<N> {
    actor: Actor,
    needs: PhantomData<N>,
}

impl<N> Deref for With<N> {
    type Target = Actor;

    fn deref(&self) -> &Actor {
        &self.actor
    }
}

impl<N: Needs> FromRequestParts<Management> for With<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Management) -> Result<Self, ApiError> {
        let who = match parts.extensions.get::<SignedIn>() {
            Some(who) => who.clone(),
            None => app.signed_in(parts).await?,
        };
        if let Some(checked) = parts.extensions.get::<Checked>() {
            checked.0.store(true, Ordering::Relaxed);
        }
        if !who.user.grant.may(N::PERMISSION) {
            return Err(ApiError::Forbidden(N::PERMISSION));
        }
        Ok(Self { actor: who.actor(), needs: PhantomData })
    }
}

impl FromRequestParts<Management> for SignedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Management) -> Result<Self, ApiError> {
        app.signed_in(parts).await
    }
}

/// Whether a permission was asked for on the way to an answer.
#[derive(Clone, Default)]
struct Checked(Arc<AtomicBool>);

/// Stands before everything under `/api/admin`: nobody passes without a live session, and an
/// answer that was made without asking for a permission does not go out.
pub(crate) async fn guard(
    State(app): State<Management>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let who = app.signed_in(&parts).await?;
    let checked = Checked::default();
    parts.extensions.insert(who.clone());
    parts.extensions.insert(checked.clone());
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let response = next.run(Request::from_parts(parts, body)).await;
    if let Some(ApiError::Forbidden(permission)) = response.extensions().get::<ApiError>() {
        let asked = Asked { method, path: path.clone() };
        let by = (&who.actor(), who.ip);
        app.refusals.forbidden(&app.store, by, *permission, asked).await;
    }
    if response.status().is_success() && !checked.0.load(Ordering::Relaxed) {
        let forgotten = format!("the route of {path} asks for no permission");
        return Ok(ApiError::Internal(forgotten).into_response());
    }
    Ok(response)
}
