//! Alerts: what belongs together is one, raised again; and what has become of it.

use std::collections::{HashMap, HashSet};

use alerts::Column;
use auth::Actor;
use domain::{AlertId, Event, ProviderKeyId, Raised, RuleId, Severity, UpstreamId, UserId};
use entity::alerts;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, Select, sea_query::SimpleExpr,
};

use crate::{
    AlertFilter, AlertRow, AlertState, Listed, Page, Result, Store, StoreError, audit,
    change::What, link::Transaction, moment, now_us, paging, text::clean, triggers::upstreams_of,
    uncount,
};

const KIND: &str = "alert";

impl Store {
    /// A page of alerts, the newest first.
    pub async fn alerts(&self, filter: AlertFilter, page: Page) -> Result<Listed<AlertRow>> {
        let wanted = Condition::all()
            .add_option(filter.state.map(|state| Column::State.eq(state.as_str())))
            .add_option(filter.open.map(|open| {
                let over = AlertState::Resolved.as_str();
                if open { Column::State.ne(over) } else { Column::State.eq(over) }
            }))
            .add_option(filter.severity.map(|severity| Column::Severity.eq(severity.as_str())))
            .add_option(filter.upstream.map(|upstream| Column::UpstreamId.eq(upstream.0)))
            .add_option(filter.owner.map(of))
            .add_option(paging::number(&page)?.map(|before| Column::Id.lt(before)));
        let rows = alerts::Entity::find()
            .filter(wanted)
            .order_by_desc(Column::Id)
            .limit(page.rows() + 1)
            .all(&self.0.db.reader().await?)
            .await?;
        Ok(paging::numbered(rows, &page, |row| row.id).map(read))
    }

    /// One alert; where `owner` is given, only if it is about an upstream of that user.
    pub async fn alert(&self, id: AlertId, owner: Option<UserId>) -> Result<AlertRow> {
        let row = find(id, owner).one(&self.0.db.reader().await?).await?;
        row.map(read).ok_or(StoreError::NotFound(KIND))
    }

    /// Says that somebody has taken an alert on. One that is over stays so.
    pub async fn acknowledge_alert(&self, by: &Actor, id: AlertId) -> Result<()> {
        self.change_alert(by, id, "acknowledged", |row, who, now| {
            if row.state == AlertState::Firing.as_str() {
                AlertState::Acknowledged.as_str().clone_into(&mut row.state);
                (row.acknowledged_by, row.acknowledged_us) = (Some(who.to_owned()), Some(now));
            }
        })
        .await
    }

    /// Says that an alert is over. If it is raised again, that is a new one.
    pub async fn resolve_alert(&self, by: &Actor, id: AlertId) -> Result<()> {
        self.change_alert(by, id, "resolved", resolve).await
    }

    async fn change_alert(
        &self,
        by: &Actor,
        id: AlertId,
        action: &'static str,
        change: impl FnOnce(&mut alerts::Model, &str, i64),
    ) -> Result<()> {
        let tx = self.0.db.write().await?;
        let before = find(id, by.confined_to()).lock_exclusive().one(&tx).await?;
        let before = before.ok_or(StoreError::NotFound(KIND))?;
        let (mut row, now) = (before.clone(), now_us());
        change(&mut row, by.name(), now);
        if row == before {
            return Ok(());
        }
        row.into_active_model().reset_all().update(&tx).await?;
        let mut what = What::about(action, KIND, serde_json::json!({ "group": before.grp }));
        what.id = Some(id.0);
        audit::append(&tx, &self.0.chain, by, now, &what).await?;
        tx.commit().await
    }
}

fn find(id: AlertId, owner: Option<UserId>) -> Select<alerts::Entity> {
    let mine = Condition::all().add_option(owner.map(of));
    alerts::Entity::find_by_id(id.0).filter(mine)
}

/// Alerts about the upstreams of a user.
fn of(owner: UserId) -> SimpleExpr {
    Column::UpstreamId.in_subquery(upstreams_of(owner.0))
}

/// Raises and resolves alerts as these events say. Whoever calls this holds the counter's row, so
/// no two open alerts of a group can come to be.
pub(crate) async fn keep(tx: &Transaction, events: &[(i64, &Event)]) -> Result<()> {
    let raised: Vec<(i64, &Raised)> = events
        .iter()
        .filter_map(|(number, event)| match event {
            Event::Alert(raised) => Some((*number, raised)),
            _ => None,
        })
        .collect();
    if raised.is_empty() {
        return Ok(());
    }
    let mut open = open(tx, &raised).await?;
    let (mut done, mut new) = (Vec::new(), HashSet::new());
    for (number, raised) in raised {
        let group = clean(&raised.group);
        match (open.remove(&group), raised.over) {
            (Some(mut row), true) => {
                resolve(&mut row, "gateway", raised.at.timestamp_micros());
                done.push(row);
            }
            (Some(mut row), false) => {
                raise(&mut row, raised);
                open.insert(group, row);
            }
            (None, true) => {}
            (None, false) => {
                new.insert(number);
                open.insert(group, first(number, raised));
            }
        }
    }
    for row in done.into_iter().chain(open.into_values()) {
        let is_new = new.contains(&row.id);
        let row = row.into_active_model().reset_all();
        if is_new {
            alerts::Entity::insert(row).exec_without_returning(tx).await?;
        } else {
            row.update(tx).await?;
        }
    }
    Ok(())
}

/// The open alerts of these groups.
async fn open(
    tx: &Transaction,
    raised: &[(i64, &Raised)],
) -> Result<HashMap<String, alerts::Model>> {
    let rows = alerts::Entity::find()
        .filter(Column::Grp.is_in(raised.iter().map(|(_, raised)| clean(&raised.group))))
        .filter(Column::State.ne(AlertState::Resolved.as_str()))
        .lock_exclusive()
        .all(tx)
        .await?;
    Ok(rows.into_iter().map(|row| (row.grp.clone(), row)).collect())
}

fn first(number: i64, raised: &Raised) -> alerts::Model {
    let at = raised.at.timestamp_micros();
    alerts::Model {
        id: number,
        grp: clean(&raised.group),
        state: AlertState::Firing.as_str().to_owned(),
        severity: raised.severity.as_str().to_owned(),
        title: clean(&raised.title),
        words: clean(&raised.words),
        upstream_id: raised.upstream.map(|id| id.0),
        key_id: raised.key.map(|id| id.0),
        rule_id: raised.rule.map(|id| id.0),
        count: 1,
        first_us: at,
        last_us: at,
        acknowledged_by: None,
        acknowledged_us: None,
        resolved_by: None,
        resolved_us: None,
    }
}

fn raise(row: &mut alerts::Model, raised: &Raised) {
    row.count = row.count.saturating_add(1);
    row.last_us = row.last_us.max(raised.at.timestamp_micros());
    row.title = clean(&raised.title);
    row.words = clean(&raised.words);
    if raised.severity > severity(&row.severity) {
        raised.severity.as_str().clone_into(&mut row.severity);
    }
}

fn resolve(row: &mut alerts::Model, who: &str, at: i64) {
    if row.state != AlertState::Resolved.as_str() {
        AlertState::Resolved.as_str().clone_into(&mut row.state);
        (row.resolved_by, row.resolved_us) = (Some(who.to_owned()), Some(at));
    }
}

fn severity(name: &str) -> Severity {
    Severity::ALL.into_iter().find(|known| known.as_str() == name).unwrap_or(Severity::Warning)
}

fn read(row: alerts::Model) -> AlertRow {
    let state = AlertState::ALL.into_iter().find(|state| state.as_str() == row.state);
    AlertRow {
        id: AlertId(row.id),
        group: row.grp,
        state: state.unwrap_or(AlertState::Firing),
        severity: severity(&row.severity),
        title: row.title,
        words: row.words,
        upstream: row.upstream_id.map(UpstreamId),
        key: row.key_id.map(ProviderKeyId),
        rule: row.rule_id.map(RuleId),
        count: uncount(row.count),
        first: moment(row.first_us),
        last: moment(row.last_us),
        acknowledged: row.acknowledged_by.zip(row.acknowledged_us.map(moment)),
        resolved: row.resolved_by.zip(row.resolved_us.map(moment)),
    }
}
