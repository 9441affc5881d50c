//! Rules that fired, or would have: each time with what it was concluded from.

use domain::{Event, ProviderKeyId, RuleId, Trigger, UpstreamId};
use entity::{rule_triggers, upstreams};
use rule_triggers::Column;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, sea_query::SelectStatement,
};
use uuid::Uuid;

use crate::{
    Listed, Page, Result, Store, TriggerFilter, TriggerRow, json, link::Transaction, moment,
    paging, text::clean,
};

/// Most triggers of one call that are shown.
const OF_LOG: u64 = 100;

impl Store {
    /// A page of triggers, the newest first.
    pub async fn triggers(&self, filter: TriggerFilter, page: Page) -> Result<Listed<TriggerRow>> {
        let wanted = Condition::all()
            .add_option(filter.rule.map(|rule| Column::RuleId.eq(rule.0)))
            .add_option(filter.upstream.map(|upstream| Column::UpstreamId.eq(upstream.0)))
            .add_option(filter.key.map(|key| Column::KeyId.eq(key.0)))
            .add_option(filter.shadow.map(|shadow| Column::Shadow.eq(shadow)))
            .add_option(filter.from.map(|from| Column::AtUs.gte(from.timestamp_micros())))
            .add_option(filter.to.map(|to| Column::AtUs.lt(to.timestamp_micros())))
            .add_option(filter.owner.map(|own| Column::UpstreamId.in_subquery(upstreams_of(own.0))))
            .add_option(paging::number(&page)?.map(|before| Column::Id.lt(before)));
        let rows = rule_triggers::Entity::find()
            .filter(wanted)
            .order_by_desc(Column::Id)
            .limit(page.rows() + 1)
            .all(&self.0.db.reader().await?)
            .await?;
        Ok(paging::numbered(rows, &page, |row| row.id).map(fired))
    }

    /// What fired about one call, in order.
    pub async fn triggers_of(&self, log: Uuid) -> Result<Vec<TriggerRow>> {
        let rows = rule_triggers::Entity::find()
            .filter(Column::LogId.eq(log))
            .order_by_asc(Column::Id)
            .limit(OF_LOG)
            .all(&self.0.db.reader().await?)
            .await?;
        Ok(rows.into_iter().map(fired).collect())
    }
}

/// The ids of the upstreams of one user.
pub(crate) fn upstreams_of(owner: i64) -> SelectStatement {
    upstreams::Entity::find()
        .select_only()
        .column(upstreams::Column::Id)
        .filter(upstreams::Column::OwnerId.eq(owner))
        .into_query()
}

/// Keeps the triggers among these events.
pub(crate) async fn keep(tx: &Transaction, events: &[(i64, &Event)]) -> Result<()> {
    let rows: Vec<_> = events
        .iter()
        .filter_map(|(number, event)| match event {
            Event::Trigger(trigger) => Some(row(*number, trigger).into_active_model().reset_all()),
            _ => None,
        })
        .collect();
    if !rows.is_empty() {
        rule_triggers::Entity::insert_many(rows).exec_without_returning(tx).await?;
    }
    Ok(())
}

fn row(number: i64, trigger: &Trigger) -> rule_triggers::Model {
    rule_triggers::Model {
        id: number,
        rule_id: trigger.rule.0,
        rule_version: trigger.version,
        upstream_id: trigger.upstream.0,
        key_id: trigger.key.map(|key| key.0),
        model: trigger.model.as_deref().map(clean),
        log_id: trigger.log,
        at_us: trigger.at.timestamp_micros(),
        shadow: trigger.shadow,
        actions: json(&trigger.actions),
        until_us: trigger.until.map(|until| until.timestamp_micros()),
        evidence: json(&trigger.evidence),
    }
}

fn fired(row: rule_triggers::Model) -> TriggerRow {
    TriggerRow {
        id: row.id,
        rule: RuleId(row.rule_id),
        version: row.rule_version,
        upstream: UpstreamId(row.upstream_id),
        key: row.key_id.map(ProviderKeyId),
        model: row.model,
        log: row.log_id,
        at: moment(row.at_us),
        shadow: row.shadow,
        actions: serde_json::from_str(&row.actions).unwrap_or_default(),
        until: row.until_us.map(moment),
        evidence: serde_json::from_str(&row.evidence).unwrap_or_default(),
    }
}
