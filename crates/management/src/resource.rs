//! What the handlers of all resources share: lists, and to create, read, edit and delete one. Routes,
//! permissions and descriptions stand with each resource in [`api`](crate::api).

use auth::Actor;
use axum::{Json as Answer, http::StatusCode};
use domain::{Faults, UserId};
use store::{Kind, Page, Resource, Stored, Version};

use crate::{
    api::Created,
    app::Management,
    error::ApiError,
    etags::IfMatch,
    listing::{ListOf, PageQuery},
};

/// Names what a resource was like after a change: a type for each, so that the description names it.
macro_rules! version {
    ($Name:ident of $Shown:ty) => {
        /// What a resource was like after a change.
        #[derive(Debug, serde::Serialize, utoipa::ToSchema)]
        pub(crate) struct $Name {
            /// The number of the change; it grows with each change of the configuration.
            revision: i64,
            /// The moment of the change.
            at: chrono::DateTime<chrono::Utc>,
            /// Who changed it: a person's name, or `system`.
            actor: String,
            /// What was done, as the audit trail calls it: `created`, `edited`, `deleted`, …
            action: String,
            /// Whether the resource was deleted.
            deleted: bool,
            /// The resource after the change, without secrets and without what is only observed of it;
            /// `null` where it was deleted, or where this version of the gateway cannot read it.
            resource: Option<$Shown>,
        }

        impl<R: store::Resource> From<store::Version<R>> for $Name
        where
            $Shown: From<store::Stored<R>>,
        {
            fn from(version: store::Version<R>) -> Self {
                Self {
                    revision: version.revision.0,
                    at: version.at,
                    actor: version.actor,
                    action: version.action,
                    deleted: version.deleted,
                    resource: version.resource.map(<$Shown>::from),
                }
            }
        }
    };
}

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
        Kind::Role => "/api/admin/roles",
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

    /// What a resource was like after each of its changes, the newest first.
    pub(crate) async fn history<R: Resource, V: From<Version<R>>>(
        &self,
        actor: &Actor,
        id: impl Into<R::Id>,
        query: PageQuery,
    ) -> Result<Answer<ListOf<V>>, ApiError> {
        let page = self.store.seen_by(actor).history(id.into(), query.page()?).await?;
        Ok(Answer(ListOf::of(page, V::from)))
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

/// Says once which fields a resource has in its answer and in its edit: `same` are as those of the value,
/// `lists` and `words` are spelled by the API. Those of `shown` are made by expressions.
macro_rules! fields {
    (
        $Shown:ident and $Edit:ident of $Value:ty;
        same { $($same:ident,)* }
        lists { $($list:ident,)* }
        words { $($word:ident,)* }
        shown($row:ident, $value:ident) { $($field:ident: $from:expr,)* }
    ) => {
        impl From<store::Stored<$Value>> for $Shown {
            fn from($row: store::Stored<$Value>) -> Self {
                let $value = $row.value;
                Self {
                    $($same: $value.$same,)*
                    $($list: $crate::api::all($value.$list),)*
                    $($word: $value.$word.into(),)*
                    $($field: $from,)*
                }
            }
        }

        impl $Edit {
            /// Puts what is given of these fields in the place of what was.
            fn apply_fields(&mut self, value: &mut $Value) {
                $($crate::resource::set(&mut value.$same, self.$same.take());)*
                $($crate::resource::set(&mut value.$list, self.$list.take().map($crate::api::all));)*
                $($crate::resource::set(&mut value.$word, self.$word.take());)*
            }
        }
    };
}

pub(crate) use bodies;
pub(crate) use fields;
pub(crate) use version;
