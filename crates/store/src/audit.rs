//! The audit trail: who did what, from where. Only ever added to, and each line is chained to the
//! one before by an HMAC, so that a line that was changed or taken out is noticed. Lists of it are in
//! `find`.

mod find;
mod words;

use std::net::IpAddr;

use auth::{Actor, AuditChain};
use entity::audit;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

use crate::{AuditVerdict, Result, Store, StoreError, change::What, link::Transaction, now_us};

/// Something that changed no configuration and is told in the audit trail.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvent {
    /// What was done, in the past: `signed_in`, `revealed`.
    pub action: &'static str,
    /// To which kind of thing.
    pub subject: &'static str,
    /// To which one.
    pub id: Option<i64>,
    /// What that is called.
    pub name: Option<String>,
    /// Whether it was refused.
    pub refused: bool,
    /// What else there is to tell, without secrets.
    pub detail: serde_json::Value,
}

impl AuditEvent {
    /// Something that was done, of which there is no more to tell.
    pub fn done(action: &'static str, subject: &'static str) -> Self {
        let detail = serde_json::json!({});
        Self { action, subject, id: None, name: None, refused: false, detail }
    }
}

impl Store {
    /// Notes something that changed no configuration: a sign-in, a secret that was shown.
    pub async fn note(
        &self,
        by: &Actor,
        action: &'static str,
        subject: &'static str,
        subject_id: Option<i64>,
    ) -> Result<()> {
        self.note_event(by, AuditEvent { id: subject_id, ..AuditEvent::done(action, subject) })
            .await
    }

    /// Notes something that changed no configuration, or that was refused.
    pub async fn note_event(&self, by: &Actor, event: AuditEvent) -> Result<()> {
        self.note_about(by, event.into()).await
    }

    /// Notes what somebody did who is not signed in: under the name they gave, from their address.
    pub async fn note_stranger(
        &self,
        name: &str,
        ip: Option<IpAddr>,
        event: AuditEvent,
    ) -> Result<()> {
        let mut what = What::from(event);
        what.stranger = Some((name.to_owned(), ip.map(|ip| ip.to_string())));
        self.note_about(&Actor::System, what).await
    }

    /// Notes something that changed no configuration, with what there is to tell of it.
    pub(crate) async fn note_about(&self, by: &Actor, what: What) -> Result<()> {
        let tx = self.0.db.write().await?;
        append(&tx, &self.0.chain, by, now_us(), &what).await?;
        tx.commit().await
    }

    /// Follows the chain from the first line to the last.
    pub async fn verify_audit(&self) -> Result<AuditVerdict> {
        let tx = self.0.db.read().await?;
        let (mut lines, mut link) = (0, AuditChain::ROOT);
        loop {
            let after = audit::Column::Id.gt(lines);
            let rows = audit::Entity::find().filter(after).order_by_asc(audit::Column::Id);
            let rows = rows.limit(1000).all(&tx).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                let expected = self.0.chain.link(&link, &spelled(&row));
                if row.id != lines + 1 || row.link != expected {
                    let lines = u64::try_from(lines).unwrap_or_default();
                    return Ok(AuditVerdict { lines, broken_at: Some(row.id), head: link });
                }
                (lines, link) = (row.id, expected);
            }
        }
        let lines = u64::try_from(lines).unwrap_or_default();
        Ok(AuditVerdict { lines, broken_at: None, head: link })
    }
}

/// Adds a line in the transaction of what it tells.
pub(crate) async fn append(
    tx: &Transaction,
    chain: &AuditChain,
    by: &Actor,
    now_us: i64,
    what: &What,
) -> Result<()> {
    if tx.get_database_backend() == DbBackend::Postgres {
        // Lines queue up: two that follow the same one would fork the chain.
        tx.execute_unprepared("SELECT revision FROM revision WHERE id = 1 FOR UPDATE").await?;
    }
    let last = audit::Entity::find().order_by_desc(audit::Column::Id).one(tx).await?;
    let (id, previous) = match last {
        Some(row) => (row.id + 1, link_of(&row.link)?),
        None => (1, AuditChain::ROOT),
    };
    let (actor, ip) = match &what.stranger {
        Some((name, ip)) => (name.clone(), ip.clone()),
        None => (by.name().to_owned(), by.ip().map(|ip| ip.to_string())),
    };
    let mut row = audit::Model {
        id,
        at_us: now_us,
        user_id: by.user().map(|user| user.0),
        actor,
        ip,
        action: what.action.to_owned(),
        subject: what.subject.to_owned(),
        subject_id: what.id,
        detail: what.detail.to_string(),
        link: Vec::new(),
        name: what.name.clone(),
        result: Some(if what.refused { REFUSED } else { DONE }.to_owned()),
        comment: what.comment.as_deref().map(str::to_owned),
        revision: what.revision,
    };
    row.link = chain.link(&previous, &spelled(&row)).to_vec();
    let row: audit::ActiveModel = row.into();
    audit::Entity::insert(row.reset_all()).exec_without_returning(tx).await?;
    Ok(())
}

impl From<AuditEvent> for What {
    fn from(event: AuditEvent) -> Self {
        let AuditEvent { action, subject, id, name, refused, detail } = event;
        let mut what = Self::about(action, subject, detail);
        (what.id, what.name, what.refused) = (id, name, refused);
        what
    }
}

/// What became of what was done.
const DONE: &str = "done";
const REFUSED: &str = "refused";

/// The bytes of a line that its link vouches for. Lines from before there were results have fewer.
fn spelled(row: &audit::Model) -> Vec<u8> {
    let (id, at, user, actor) = (row.id, row.at_us, row.user_id, &row.actor);
    let line =
        (id, at, user, actor, &row.ip, &row.action, &row.subject, row.subject_id, &row.detail);
    let further = (&row.name, &row.result, &row.comment, row.revision);
    let spelled = match further {
        (None, None, None, None) => serde_json::to_vec(&line),
        further => serde_json::to_vec(&(line, further)),
    };
    spelled.expect("plain values have a JSON form")
}

fn link_of(bytes: &[u8]) -> Result<[u8; 32]> {
    let link = bytes.try_into();
    link.map_err(|_| StoreError::Unexpected("a link of the audit trail has a wrong length".into()))
}
