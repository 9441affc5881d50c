//! Users: made, changed, read, deleted.

use crate::*;

impl Store {
    /// Makes a user.
    pub async fn create_user(&self, by: &Actor, new: NewUser) -> Result<UserId> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Changes what `edit` names and leaves the rest. The last active super administrator stays one.
    pub async fn edit_user(&self, by: &Actor, id: UserId, edit: UserEdit) -> Result<Revision> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Deletes a user with their service keys and sessions. Refused for the last active super
    /// administrator, and while the user owns upstreams, provider keys or routes.
    pub async fn delete_user(&self, by: &Actor, id: UserId) -> Result<Revision> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// One user.
    pub async fn user(&self, id: UserId) -> Result<UserRow> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// A page of users.
    pub async fn users(&self, page: Page) -> Result<Listed<UserRow>> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// What a sign-in as `name` is checked against; none when nobody is called so.
    pub async fn credentials(&self, name: &str) -> Result<Option<Credentials>> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Stores the same password under a newer hash, as an upgrade at sign-in. Ends no session.
    pub async fn rehash_password(&self, id: UserId, password_hash: String) -> Result<()> {
        Err(StoreError::Unavailable("not built yet".into()))
    }
}
