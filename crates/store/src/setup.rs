//! The first start: a one-time token, and the first user made with it.

use auth::Actor;
use chrono::{DateTime, Utc};
use domain::UserId;
use entity::{setup_token, users};
use sea_orm::{ActiveValue::Set, EntityTrait, PaginatorTrait, sea_query::OnConflict};

use crate::{NewUser, Result, Store, StoreError, change::What, link::Transaction};

impl Store {
    /// Whether nobody can sign in yet.
    pub async fn needs_setup(&self) -> Result<bool> {
        Ok(users::Entity::find().count(&self.0.db.reader().await?).await? == 0)
    }

    /// Agrees with other instances that start at once on one set-up token: when it expires. One that
    /// was offered for `from` or later, with the digest that `digest` gives, is kept; otherwise one
    /// until `until` takes its place.
    pub async fn agree_on_setup_token(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        digest: impl Fn(i64) -> [u8; 32] + Send,
    ) -> Result<i64> {
        let tx = self.0.db.opening().await?;
        let found = setup_token::Entity::find_by_id(1).one(&tx).await?;
        let fits = |row: &setup_token::Model| {
            row.expires_us >= from.timestamp_micros() && row.digest == digest(row.expires_us)
        };
        if let Some(row) = found.filter(fits) {
            return tx.rollback().await.map(|()| row.expires_us);
        }
        let expires_us = until.timestamp_micros();
        offer(&tx, digest(expires_us), expires_us).await?;
        tx.commit().await?;
        Ok(expires_us)
    }

    /// Remembers the digest of a set-up token, in place of any before.
    pub async fn offer_setup_token(
        &self,
        digest: &[u8; 32],
        expires_at: DateTime<Utc>,
    ) -> Result<()> {
        let tx = self.0.db.write().await?;
        offer(&tx, *digest, expires_at.timestamp_micros()).await?;
        tx.commit().await
    }

    /// Spends the set-up token and makes the first user, in one step. `NotFound` when the token is
    /// unknown, spent or expired; `Conflict` when there is a user already.
    pub async fn set_up(&self, digest: &[u8; 32], first: NewUser) -> Result<UserId> {
        let change = self.begin(&Actor::System).await?;
        let token = setup_token::Entity::find_by_id(1).one(change.tx()).await?;
        let good =
            |row: &setup_token::Model| row.digest == digest && row.expires_us > change.now_us;
        if !token.as_ref().is_some_and(good) {
            return Err(StoreError::NotFound("set-up token"));
        }
        if users::Entity::find().count(change.tx()).await? > 0 {
            return Err(StoreError::conflict("token", "the set-up was done before"));
        }
        setup_token::Entity::delete_by_id(1).exec(change.tx()).await?;
        let id = crate::users::add(&change, first).await?;
        change.commit(What::about("set_up", "user", serde_json::json!({ "id": id }))).await?;
        Ok(id)
    }
}

async fn offer(tx: &Transaction, digest: [u8; 32], expires_us: i64) -> Result<()> {
    let row = setup_token::ActiveModel {
        id: Set(1),
        digest: Set(digest.to_vec()),
        expires_us: Set(expires_us),
    };
    let again = OnConflict::column(setup_token::Column::Id)
        .update_columns([setup_token::Column::Digest, setup_token::Column::ExpiresUs])
        .to_owned();
    setup_token::Entity::insert(row).on_conflict(again).exec_without_returning(tx).await?;
    Ok(())
}
