//! Open sessions as people see them: from where, with what, since when; and how they end one or all.

use domain::UserId;
use entity::{sessions, users};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use uuid::Uuid;

use crate::{OpenSession, Result, Store, StoreError, moment, now_us};

/// Most sessions of a user that are listed, the latest first.
const LISTED: u64 = 200;
/// That a session is in use is noted at most this often.
const SEEN_EVERY_US: i64 = 60 * 1_000_000;

impl Store {
    /// The open sessions of a user, the latest first; at most 200.
    ///
    /// # Errors
    ///
    /// The database does not answer.
    pub async fn open_sessions(&self, user: UserId) -> Result<Vec<OpenSession>> {
        let db = self.0.db.reader().await?;
        let Some(row) = users::Entity::find_by_id(user.0).one(&db).await? else {
            return Ok(Vec::new());
        };
        let open = open(user, now_us()).add(sessions::Column::Epoch.eq(row.epoch));
        let rows = sessions::Entity::find().filter(open);
        let rows = rows.order_by_desc(sessions::Column::OpenedUs).limit(LISTED).all(&db).await?;
        let shown = |row: sessions::Model| OpenSession {
            id: row.id,
            address: row.address,
            client: row.client,
            opened_at: moment(row.opened_us),
            seen_at: moment(row.seen_us.max(row.opened_us)),
            expires_at: moment(row.expires_us),
        };
        Ok(rows.into_iter().map(shown).collect())
    }

    /// Ends one session of a user.
    ///
    /// # Errors
    ///
    /// The user has no such open session.
    pub async fn end_session_of(&self, user: UserId, session: Uuid) -> Result<()> {
        let this = open(user, now_us()).add(sessions::Column::Id.eq(session));
        match self.end_all(this).await? {
            0 => Err(StoreError::NotFound("session")),
            _ => Ok(()),
        }
    }

    /// Ends all sessions of a user, but for one that may be kept; says how many.
    ///
    /// # Errors
    ///
    /// The database does not answer.
    pub async fn end_sessions_of(&self, user: UserId, kept: Option<Uuid>) -> Result<u64> {
        let kept = kept.map(|kept| sessions::Column::Id.ne(kept));
        self.end_all(open(user, now_us()).add_option(kept)).await
    }

    /// Notes that a session is in use; at most once a minute this is written.
    ///
    /// # Errors
    ///
    /// The database does not answer, or takes no writes.
    pub async fn note_session_use(&self, session: Uuid) -> Result<()> {
        let now = now_us();
        let due = Condition::all()
            .add(sessions::Column::Id.eq(session))
            .add(sessions::Column::SeenUs.lt(now - SEEN_EVERY_US));
        let db = self.0.db.reader().await?;
        if sessions::Entity::find().filter(due.clone()).one(&db).await?.is_none() {
            return Ok(());
        }
        let tx = self.0.db.write().await?;
        let seen = sessions::Entity::update_many().filter(due);
        seen.col_expr(sessions::Column::SeenUs, Expr::value(now)).exec(&tx).await?;
        tx.commit().await
    }

    async fn end_all(&self, which: Condition) -> Result<u64> {
        let tx = self.0.db.write().await?;
        let ended = end(&tx, which, now_us()).await?;
        tx.commit().await?;
        Ok(ended)
    }
}

/// The sessions of a user that were not ended and have not expired.
fn open(user: UserId, now: i64) -> Condition {
    Condition::all()
        .add(sessions::Column::UserId.eq(user.0))
        .add(sessions::Column::EndedUs.is_null())
        .add(sessions::Column::ExpiresUs.gt(now))
}

async fn end(db: &impl ConnectionTrait, which: Condition, now: i64) -> Result<u64> {
    let ended = sessions::Entity::update_many().filter(which);
    let ended = ended.col_expr(sessions::Column::EndedUs, Expr::value(now)).exec(db).await?;
    Ok(ended.rows_affected)
}
