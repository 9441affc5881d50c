//! A change of the configuration: whole, or not at all.
//!
//! Opening one raises the revision row and thereby locks it, so changes queue up and each is
//! checked against all before it. Committing writes the audit entry, loads the catalog as it would
//! be inside the same transaction, and compiles it. What cannot be served is rolled back.

use std::sync::{Arc, atomic::Ordering};

use auth::Actor;
use domain::{Catalog, Fault, Faults, Revision, Snapshot, UserId};
use entity::{revision, revisions, tombstones};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait,
    IntoActiveModel, QueryFilter, Statement, sea_query::Expr,
};
use serde_json::{Map, Value};

use crate::{
    ChangeOptions, Kind, Result, Store, StoreError, audit,
    catalog::{self, Keys},
    count,
    link::Transaction,
    now_us,
    paging::Stamp,
    touched::Touched,
};

/// An open change.
#[derive(Debug)]
pub struct Change<'a> {
    store: &'a Store,
    by: &'a Actor,
    tx: Transaction,
    generation: u64,
    /// The number of this change; rows that it touches carry it.
    pub(crate) revision: i64,
    /// The moment of the change.
    pub(crate) now_us: i64,
}

/// What a change did, as the audit trail tells it.
pub(crate) struct What {
    pub(crate) action: &'static str,
    pub(crate) subject: &'static str,
    pub(crate) id: Option<i64>,
    pub(crate) detail: Value,
    /// What the thing is called.
    pub(crate) name: Option<String>,
    /// Whether it was refused.
    pub(crate) refused: bool,
    /// Name and address of who did it, where it was nobody that is signed in.
    pub(crate) stranger: Option<(String, Option<String>)>,
    /// Why, as whoever did it said.
    pub(crate) comment: Option<Arc<str>>,
    /// The change that it was.
    pub(crate) revision: Option<i64>,
    /// The thing as field paths of the compiler begin with it: `upstreams[3]`.
    place: String,
}

impl Store {
    /// The same store, whose changes are made in this way.
    pub fn with(&self, options: ChangeOptions) -> Store {
        Store(self.0.clone(), Arc::new(options))
    }

    /// The same store for a change of one thing that is refused with
    /// [`StoreError::Changed`](crate::StoreError::Changed) unless the thing was last changed at one of
    /// these moments, in microseconds since 1970.
    pub fn if_last_changed(&self, at_us: impl IntoIterator<Item = i64>) -> Store {
        let if_last_changed = Some(at_us.into_iter().collect());
        self.with(ChangeOptions { if_last_changed, ..ChangeOptions::clone(&self.1) })
    }

    /// Opens a change.
    pub(crate) async fn begin<'a>(&'a self, by: &'a Actor) -> Result<Change<'a>> {
        // What others changed is loaded before the lock is taken, so that under it only this
        // change is. A stored catalog that cannot be served must not keep anyone from mending it.
        match self.load_catalog().await {
            Ok(_) | Err(StoreError::Unservable(_)) => {}
            Err(other) => return Err(other),
        }
        let tx = self.0.db.write().await?;
        let raised = revision::Entity::update_many()
            .col_expr(revision::Column::Revision, Expr::col(revision::Column::Revision).add(1))
            .filter(Expr::col(revision::Column::Id).eq(1))
            .exec_with_returning(&tx)
            .await?;
        let revision = raised.first().map(|row| row.revision);
        let revision =
            revision.ok_or_else(|| StoreError::Unexpected("there is no revision".into()))?;
        let generation = self.0.db.generation();
        Ok(Change { store: self, by, tx, generation, revision, now_us: now_us() })
    }
}

impl Change<'_> {
    pub(crate) fn tx(&self) -> &Transaction {
        &self.tx
    }

    /// The first of `n` ids of `table` that were never given before.
    pub(crate) async fn ids(&self, kind: Kind, n: usize) -> Result<i64> {
        numbers(&self.tx, kind.table(), n).await
    }

    /// Who makes the change.
    pub(crate) fn by(&self) -> &Actor {
        self.by
    }

    /// The store that is changed.
    pub(crate) fn store(&self) -> &Store {
        self.store
    }

    /// What it leaves on a row that it makes, or that had this stamp before.
    pub(crate) fn stamp(&self, before: Option<&Stamp>) -> Stamp {
        Stamp {
            created_us: before.map_or(self.now_us, |before| before.created_us),
            updated_us: self.now_us,
            revision: self.revision,
        }
    }

    /// Who will own what is made: whoever makes it.
    pub(crate) fn owner(&self) -> UserId {
        self.by.user().unwrap_or(UserId(0))
    }

    /// Who may not see a thing is told that there is none.
    pub(crate) fn owned(&self, owner: i64, kind: Kind) -> Result<()> {
        match self.by.confined_to() {
            Some(UserId(own)) if own != owner => Err(StoreError::NotFound(kind.as_str())),
            _ => Ok(()),
        }
    }

    /// Refuses to go on when the thing was changed after whoever asks for this change read it.
    pub(crate) fn expects(&self, updated_us: i64) -> Result<()> {
        match &self.store.1.if_last_changed {
            Some(read) if !read.contains(&updated_us) => Err(StoreError::Changed { updated_us }),
            _ => Ok(()),
        }
    }

    /// Notes that a row was deleted, so that it is taken out of loaded catalogs.
    pub(crate) async fn bury(&self, kind: Kind, ids: impl IntoIterator<Item = i64>) -> Result<()> {
        let rows: Vec<_> = ids
            .into_iter()
            .map(|id| tombstones::ActiveModel {
                kind: Set(kind.table().to_owned()),
                id: Set(id),
                revision: Set(self.revision),
            })
            .collect();
        for rows in rows.chunks(2000) {
            tombstones::Entity::insert_many(rows.to_vec()).exec_without_returning(&self.tx).await?;
        }
        Ok(())
    }

    /// Removes, now and then, the tombstones that nobody is near enough to read.
    async fn clear_graves(&self) -> Result<()> {
        if self.revision % 1000 == 0 {
            let old = tombstones::Column::Revision.lte(self.revision - catalog::TOMBSTONES_KEPT);
            tombstones::Entity::delete_many().filter(old).exec(&self.tx).await?;
        }
        Ok(())
    }

    /// Adds the row of this change, which touched so many rows of the catalog.
    async fn record(&self, what: &What, objects: u64) -> Result<()> {
        let row = revisions::Model {
            revision: self.revision,
            at_us: self.now_us,
            user_id: self.by.user().map(|user| user.0),
            actor: self.by.name().to_owned(),
            ip: self.by.ip().map(|ip| ip.to_string()),
            action: what.action.to_owned(),
            kind: Some(what.subject.to_owned()),
            object_id: what.id,
            name: what.name.clone(),
            comment: what.comment.as_deref().map(str::to_owned),
            objects: count(objects),
        };
        let row = row.into_active_model().reset_all();
        revisions::Entity::insert(row).exec_without_returning(&self.tx).await?;
        Ok(())
    }

    /// Keeps the change, with a version of each row that it touched, if what it makes of the
    /// configuration can be served.
    pub(crate) async fn commit(self, what: What) -> Result<Revision> {
        let base = self.base();
        self.commit_knowing(what, &base, None).await
    }

    /// The newest catalog that is loaded, which the change is built on.
    pub(crate) fn base(&self) -> Arc<Catalog> {
        self.store.base(self.generation)
    }

    /// [`commit`](Self::commit) for a change of many provider keys that knows what it makes of those of
    /// `base`: they are not read back.
    pub(crate) async fn commit_knowing(
        self,
        mut what: What,
        base: &Arc<Catalog>,
        known: Option<Keys>,
    ) -> Result<Revision> {
        what.comment.clone_from(&self.store.1.comment);
        what.revision = Some(self.revision);
        audit::append(&self.tx, &self.store.0.chain, self.by, self.now_us, &what).await?;
        self.clear_graves().await?;
        let mut touched = Touched::by(self.revision);
        let sealer = &self.store.0.sealer;
        let (next, rows) = catalog::load(&self.tx, base, sealer, Some(&mut touched), known).await?;
        if let Err(faults) = Snapshot::compile(&next) {
            self.tx.rollback().await?;
            return Err(StoreError::Unservable(own(faults, &what.place)));
        }
        self.record(&what, touched.objects()).await?;
        touched.keep(&self.tx, self.now_us, self.by.name(), what.action).await?;
        let committing = self.store.0.committing.write().await;
        self.tx.commit().await?;
        self.store.0.rows_loaded.fetch_add(rows, Ordering::Relaxed);
        let revision = next.revision;
        self.store.keep(self.generation, Arc::clone(&next));
        drop(committing);
        self.store.0.committed.send_replace(revision);
        Ok(revision)
    }
}

/// The first of `n` numbers that were never given under this name. Until the transaction ends, who
/// else asks for such a number waits: so numbers become visible in their order.
pub(crate) async fn numbers(tx: &Transaction, name: &str, n: usize) -> Result<i64> {
    let n = i64::try_from(n).expect("memory does not hold that many rows");
    let sql = "INSERT INTO id_counters (name, last) VALUES ($1, $2) ON CONFLICT (name) \
               DO UPDATE SET last = id_counters.last + excluded.last RETURNING last";
    let backend = tx.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, sql, [name.into(), n.into()]);
    let row = tx.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| StoreError::Unexpected("no id was given".into()))?;
    Ok(row.try_get_by_index::<i64>(0)? - n + 1)
}

/// Faults of the thing that is being changed are told by the names of its own fields.
fn own(faults: Faults, place: &str) -> Faults {
    let own = |fault: Fault| match fault.field.strip_prefix(place).and_then(|f| f.strip_prefix('.'))
    {
        Some(field) => Fault::new(field, fault.message),
        None => fault,
    };
    Faults(faults.0.into_iter().map(own).collect())
}

impl What {
    fn new(action: &'static str, kind: Kind, id: i64, detail: Value) -> Self {
        let place = format!("{}[{id}]", kind.table());
        Self { id: Some(id), place, ..Self::about(action, kind.as_str(), detail) }
    }

    /// The same about a thing that is called so.
    pub(crate) fn named(self, name: &str) -> Self {
        Self { name: (!name.is_empty()).then(|| name.to_owned()), ..self }
    }

    pub(crate) fn created(kind: Kind, id: i64, after: Map<String, Value>) -> Self {
        Self::new("created", kind, id, Map::from_iter([("after".into(), after.into())]).into())
    }

    /// Tells only the fields that differ. `secret` names the field that was replaced but is not
    /// shown.
    pub(crate) fn edited(
        action: &'static str,
        kind: Kind,
        id: i64,
        mut before: Map<String, Value>,
        mut after: Map<String, Value>,
        secret: Option<&str>,
    ) -> Self {
        before.retain(|name, value| after.get(name) != Some(value));
        after.retain(|name, _| before.contains_key(name));
        if let Some(field) = secret {
            after.insert(field.to_owned(), "changed".into());
        }
        let detail = [("before".into(), before.into()), ("after".into(), after.into())];
        Self::new(action, kind, id, Map::from_iter(detail).into())
    }

    pub(crate) fn deleted(kind: Kind, id: i64, before: Map<String, Value>) -> Self {
        Self::new("deleted", kind, id, Map::from_iter([("before".into(), before.into())]).into())
    }

    /// Something about many rows, or about none.
    pub(crate) fn about(action: &'static str, subject: &'static str, detail: Value) -> Self {
        Self {
            action,
            subject,
            id: None,
            detail,
            name: None,
            refused: false,
            stranger: None,
            comment: None,
            revision: None,
            place: String::new(),
        }
    }
}

/// A row's fields but for those that every change touches, and those that are never serialised
/// because they are secret.
pub(crate) fn fields(row: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(row) {
        Ok(Value::Object(mut fields)) => {
            for stamp in ["revision", "created_us", "updated_us"] {
                fields.shift_remove(stamp);
            }
            fields
        }
        _ => Map::new(),
    }
}
