//! Sessions of the management plane, and what slows down who guesses passwords.

use auth::Actor;
use domain::UserId;
use entity::{login_throttle, refresh_tokens, sessions, users};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use crate::{
    LoginFailures, RefreshToken, Renewal, Result, Spent, Store, StoreError, UserRow, audit,
    change::What, link::Transaction, moment, now_us, uncount, users::read,
};

/// After this long without another, failures are forgotten.
const FAILURES_LAST_US: i64 = 24 * 3600 * 1_000_000;

impl Store {
    /// Opens a session of `user` with its first refresh token, and notes it in the audit trail.
    /// `client` is what opens it, as it calls itself.
    pub async fn open_session(
        &self,
        by: &Actor,
        user: UserId,
        token: RefreshToken,
        client: Option<String>,
    ) -> Result<Uuid> {
        let (id, now) = (Uuid::now_v7(), now_us());
        let tx = self.0.db.write().await?;
        sessions::Entity::delete_many()
            .filter(sessions::Column::ExpiresUs.lt(now))
            .exec(&tx)
            .await?;
        let row = users::Entity::find_by_id(user.0).one(&tx).await?;
        let row = row.filter(|row| row.active).ok_or(StoreError::NotFound("user"))?;
        let session = sessions::ActiveModel {
            id: Set(id),
            user_id: Set(user.0),
            epoch: Set(row.epoch),
            address: Set(by.ip().map(|ip| ip.to_string())),
            client: Set(client),
            opened_us: Set(now),
            seen_us: Set(now),
            expires_us: Set(token.expires_at.timestamp_micros()),
            ended_us: Set(None),
        };
        sessions::Entity::insert(session).exec_without_returning(&tx).await?;
        remember(&tx, id, token).await?;
        let mut what = What::about("signed_in", "user", serde_json::json!({})).named(&row.name);
        what.id = Some(user.0);
        audit::append(&tx, &self.0.chain, by, now, &what).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Spends the refresh token that is shown and stores its successor in its place. Of a token
    /// that was spent within the grace, the successor that is still good stands; one that was
    /// spent before ends its session: somebody has a copy.
    pub async fn spend_refresh_token(&self, renewal: Renewal<'_>) -> Result<Spent> {
        let now = now_us();
        let shown = renewal.shown.to_vec();
        let tx = self.0.db.write().await?;
        // Of two who show the same token at once, one spends it here and the other does not.
        let spent = refresh_tokens::Entity::update_many()
            .col_expr(refresh_tokens::Column::SpentUs, Expr::value(now))
            .filter(refresh_tokens::Column::Digest.eq(shown.clone()))
            .filter(refresh_tokens::Column::SpentUs.is_null())
            .exec(&tx)
            .await?;
        let token = refresh_tokens::Entity::find_by_id(shown).one(&tx).await?;
        let Some(token) = token else { return Ok(Spent::Refused) };
        let first = spent.rows_affected == 1;
        let grace = i64::try_from(renewal.grace.as_micros()).unwrap_or(i64::MAX);
        if !first && token.spent_us.is_none_or(|at| now.saturating_sub(at) >= grace) {
            end(&tx, token.session_id, now).await?;
            tx.commit().await?;
            return Ok(Spent::Reused);
        }
        let user = alive(&tx, token.session_id, now).await?;
        let Some(user) = user.filter(|_| token.expires_us > now) else {
            tx.commit().await?;
            return Ok(Spent::Refused);
        };
        let successor = match first {
            true => Some(follow(&tx, token.session_id, &renewal).await?),
            false => good_successor(&tx, renewal.successors).await?,
        };
        tx.commit().await?;
        let renewed = |successor| Spent::Renewed { user, session: token.session_id, successor };
        Ok(successor.map_or(Spent::Refused, renewed))
    }

    /// The user of an open session as they are now; none when the session was ended or has
    /// expired, or when the user's role, password or state has changed since it was opened.
    pub async fn session_user(&self, session: Uuid) -> Result<Option<UserRow>> {
        alive(&self.0.db.reader().await?, session, now_us()).await
    }

    /// Ends the session. Ending one that has ended is fine.
    pub async fn end_session(&self, session: Uuid) -> Result<()> {
        let tx = self.0.db.write().await?;
        end(&tx, session, now_us()).await?;
        tx.commit().await
    }

    /// Ends the session to which this refresh token belongs, if there is one.
    pub async fn end_session_of_token(&self, digest: &[u8; 32]) -> Result<()> {
        let tx = self.0.db.write().await?;
        if let Some(row) = refresh_tokens::Entity::find_by_id(digest.to_vec()).one(&tx).await? {
            end(&tx, row.session_id, now_us()).await?;
        }
        tx.commit().await
    }

    /// How often signing in has failed lately for this scope (an account, a network).
    pub async fn login_failures(&self, scope: &str) -> Result<LoginFailures> {
        let db = self.0.db.reader().await?;
        let row = login_throttle::Entity::find_by_id(scope).one(&db).await?;
        let row = row.filter(|row| row.last_us >= now_us() - FAILURES_LAST_US);
        Ok(row.map_or_else(LoginFailures::default, |row| counted(&row)))
    }

    /// Counts one more failure for each scope; the counts include it, in the order of the scopes.
    pub async fn add_login_failure(&self, scopes: &[&str]) -> Result<Vec<LoginFailures>> {
        let now = now_us();
        let tx = self.0.db.write().await?;
        login_throttle::Entity::delete_many()
            .filter(login_throttle::Column::LastUs.lt(now - FAILURES_LAST_US))
            .exec(&tx)
            .await?;
        let mut counts = Vec::with_capacity(scopes.len());
        for scope in scopes {
            let row = login_throttle::ActiveModel {
                scope: Set((*scope).to_owned()),
                failures: Set(1),
                last_us: Set(now),
            };
            let failures = (login_throttle::Entity, login_throttle::Column::Failures);
            let again = OnConflict::column(login_throttle::Column::Scope)
                .value(login_throttle::Column::Failures, Expr::col(failures).add(1))
                .update_column(login_throttle::Column::LastUs)
                .to_owned();
            let row = login_throttle::Entity::insert(row).on_conflict(again);
            counts.push(counted(&row.exec_with_returning(&tx).await?));
        }
        tx.commit().await?;
        Ok(counts)
    }

    /// Forgets the failures of this scope.
    pub async fn forget_login_failures(&self, scope: &str) -> Result<()> {
        let tx = self.0.db.write().await?;
        login_throttle::Entity::delete_by_id(scope).exec(&tx).await?;
        tx.commit().await
    }
}

async fn remember(tx: &Transaction, session: Uuid, token: RefreshToken) -> Result<()> {
    let row = refresh_tokens::ActiveModel {
        digest: Set(token.digest.to_vec()),
        session_id: Set(session),
        expires_us: Set(token.expires_at.timestamp_micros()),
        spent_us: Set(None),
    };
    refresh_tokens::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

/// Stores the nearest successor of a token that was just spent, and returns its place.
async fn follow(tx: &Transaction, session: Uuid, renewal: &Renewal<'_>) -> Result<usize> {
    let expires_at = renewal.expires_at;
    remember(tx, session, RefreshToken { digest: renewal.successors[0], expires_at }).await?;
    sessions::Entity::update_many()
        .col_expr(sessions::Column::ExpiresUs, Expr::value(expires_at.timestamp_micros()))
        .filter(sessions::Column::Id.eq(session))
        .exec(tx)
        .await?;
    Ok(0)
}

/// The place of the successor that is stored and not spent, if there is one.
async fn good_successor(tx: &Transaction, successors: &[[u8; 32]]) -> Result<Option<usize>> {
    let digests = successors.iter().map(|digest| digest.to_vec());
    let good = refresh_tokens::Entity::find()
        .filter(refresh_tokens::Column::Digest.is_in(digests))
        .filter(refresh_tokens::Column::SpentUs.is_null())
        .one(tx)
        .await?;
    Ok(good.and_then(|row| successors.iter().position(|digest| row.digest == *digest)))
}

async fn end(tx: &Transaction, session: Uuid, now: i64) -> Result<()> {
    sessions::Entity::update_many()
        .col_expr(sessions::Column::EndedUs, Expr::value(now))
        .filter(sessions::Column::Id.eq(session))
        .filter(sessions::Column::EndedUs.is_null())
        .exec(tx)
        .await?;
    Ok(())
}

async fn alive(db: &impl ConnectionTrait, session: Uuid, now: i64) -> Result<Option<UserRow>> {
    let row = sessions::Entity::find_by_id(session).one(db).await?;
    let Some(row) = row.filter(|row| row.ended_us.is_none() && row.expires_us > now) else {
        return Ok(None);
    };
    let user = users::Entity::find_by_id(row.user_id).one(db).await?;
    match user.filter(|user| user.active && user.epoch == row.epoch) {
        Some(user) => Ok(Some(read(user, db).await?)),
        None => Ok(None),
    }
}

fn counted(row: &login_throttle::Model) -> LoginFailures {
    let count = u32::try_from(uncount(row.failures)).unwrap_or(u32::MAX);
    LoginFailures { count, last_at: Some(moment(row.last_us)) }
}
