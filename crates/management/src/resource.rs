//! What the handlers of all resources share: lists, and to create, read, edit and delete one. Routes,
//! permissions and descriptions stand with each resource in [`api`](crate::api).

use auth::Actor;
use axum::{Json as Answer, http::StatusCode};
use domain::{Faults, UserId};
use store::{Kind, Page, Resource, Stored};

use crate::{api::Created, app::Management, error::ApiError, etags::IfMatch, listing::ListOf};

/// Where the resources of a kind are.
const fn path(kind: Kind) -> &'static str {
    match kind {
        Kind::Upstream => "/api/admin/upstreams",
        Kind::ProviderKey => "/api/admin/keys",
        Kind::ServiceKey => "/api/admin/service-keys",
        Kind::Route => "/api/admin/routes",
        Kind::Rule => "/api/admin/rules",
        Kind::Limit => "/api/admin/limits",
        Kind::User => "/api/admin/users",
    }
}

impl Management {
    /// A page of the resources that the actor may see.
    pub(crate) async fn list<R: Resource, T: From<Stored<R>>>(
        &self,
        actor: &Actor,
        filter: &R::Filter,
        page: Page,
    ) -> Result<Answer<ListOf<T>>, ApiError> {
        let page = self.store.seen_by(actor).list(filter, page).await?;
        Ok(Answer(ListOf::of(page, T::from)))
    }

    /// One resource, if the actor may see it.
    pub(crate) async fn get<R: Resource>(
        &self,
        actor: &Actor,
        id: impl Into<R::Id>,
    ) -> Result<Stored<R>, ApiError> {
        Ok(self.store.seen_by(actor).get(id.into()).await?)
    }

    /// Creates a resource: what `fresh` makes, and `edit` changes.
    pub(crate) async fn create<R: Resource, T: From<Stored<R>>>(
        &self,
        actor: &Actor,
        fresh: impl FnOnce(R::Id, UserId) -> R + Send,
        edit: impl FnOnce(&mut R) -> Result<(), Faults> + Send,
    ) -> Result<Created<T>, ApiError> {
        let made = self.store.create(actor, fresh, edit).await?;
        Ok(created::<R, T>(made.value.id(), made.into()))
    }

    /// Edits a resource as it is when nobody else changes it.
    pub(crate) async fn edit<R: Resource, T: From<Stored<R>>>(
        &self,
        actor: &Actor,
        if_match: &IfMatch,
        id: impl Into<R::Id>,
        edit: impl FnOnce(&mut R) -> Result<(), Faults> + Send,
    ) -> Result<Answer<T>, ApiError> {
        let edited = if_match.on(&self.store).edit(actor, id.into(), edit).await?;
        Ok(Answer(edited.into()))
    }

    /// Deletes a resource.
    pub(crate) async fn delete<R: Resource>(
        &self,
        actor: &Actor,
        if_match: &IfMatch,
        id: impl Into<R::Id>,
    ) -> Result<StatusCode, ApiError> {
        if_match.on(&self.store).delete::<R>(actor, id.into()).await?;
        Ok(StatusCode::NO_CONTENT)
    }
}

/// The answer to who created a resource.
pub(crate) fn created<R: Resource, T>(id: R::Id, shown: T) -> Created<T> {
    let id: i64 = id.into();
    Created::at(format!("{}/{id}", path(R::KIND)), shown)
}

/// Puts what is given in the place of what was.
pub(crate) fn set<T>(field: &mut T, given: Option<impl Into<T>>) {
    if let Some(given) = given {
        *field = given.into();
    }
}

/// The two bodies of a resource, that which creates one and that which edits one, of one list of
/// fields. Fields under `both` are optional in either; `null` says of a field under `nullable` that it
/// has no value. `split` gives the fields that only creation has, and the rest as an edit.
macro_rules! bodies {
    (
        $(#[$new_meta:meta])*
        new $New:ident { $($(#[$new_doc:meta])* $new:ident: $New_type:ty,)* }
        $(#[$edit_meta:meta])*
        edit $Edit:ident { $($(#[$edit_doc:meta])* $edit:ident: $Edit_type:ty,)* }
        both { $($(#[$both_doc:meta])* $both:ident: $Both_type:ty,)* }
        nullable { $($(#[$null_doc:meta])* $null:ident: $Null_type:ty,)* }
    ) => {
        #[derive(Debug, Clone, serde::Deserialize, utoipa::ToSchema)]
        $(#[$new_meta])*
        #[serde(deny_unknown_fields)]
        pub(crate) struct $New {
            $($(#[$new_doc])* $new: $New_type,)*
            $($(#[$both_doc])* $both: Option<$Both_type>,)*
            $($(#[$null_doc])* $null: Option<$Null_type>,)*
        }

        #[derive(Debug, Clone, Default, serde::Deserialize, utoipa::ToSchema)]
        $(#[$edit_meta])*
        #[serde(deny_unknown_fields)]
        pub(crate) struct $Edit {
            $($(#[$edit_doc])* $edit: $Edit_type,)*
            $($(#[$both_doc])* $both: Option<$Both_type>,)*
            $(
                $(#[$null_doc])*
                #[serde(default, deserialize_with = "crate::input::nullable")]
                #[schema(value_type = Option<$Null_type>)]
                $null: Option<Option<$Null_type>>,
            )*
        }

        impl $New {
            fn split(self) -> (($($New_type,)*), $Edit) {
                let edit = $Edit {
                    $($edit: Default::default(),)*
                    $($both: self.$both,)*
                    $($null: self.$null.map(Some),)*
                };
                (($(self.$new,)*), edit)
            }
        }
    };
}

pub(crate) use bodies;
