//! Rules: how they lie in their table, and what is checked of them.

use std::time::Duration;

use domain::{
    CompiledRule, Condition, Faults, Rule, RuleId, UpstreamId, UserId,
    rule::{Action, Threshold},
};
use entity::{rules, upstreams};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use serde::de::DeserializeOwned;

use crate::{
    Kind, Page, Result, Store, change::Change, json, paging::Stamp, resource::Resource, uncount,
};

impl Resource for Rule {
    const KIND: Kind = Kind::Rule;
    type Id = RuleId;
    /// Only those of this upstream.
    type Filter = Option<UpstreamId>;
    type Extra = ();
    type Entity = rules::Entity;
    type Model = rules::Model;
    type Parts = ();

    fn id(&self) -> RuleId {
        self.id
    }

    fn owner(&self) -> UserId {
        self.owner
    }

    fn identify(&mut self, id: RuleId, owner: UserId) {
        (self.id, self.owner) = (id, owner);
    }

    /// A rule is only kept if it can be judged.
    fn faults(&self) -> Faults {
        CompiledRule::compile(self.clone()).err().unwrap_or_default()
    }

    async fn check(&self, _: Option<&Self>, change: &Change<'_>) -> Result<Faults> {
        let mut faults = Faults::default();
        if let Some(id) = self.upstream
            && upstreams::Entity::find_by_id(id.0).one(change.tx()).await?.is_none()
        {
            faults.add("upstream_id", format!("there is no upstream {id}"));
        }
        Ok(faults)
    }

    fn read(row: rules::Model, (): ()) -> Result<(Self, Faults), Faults> {
        Ok((read(row)?, Faults::default()))
    }

    /// The rule has another version after every edit.
    fn complete(&mut self, before: Option<&Self>, _: &Change<'_>) {
        self.version = before.map_or(1, |before| before.version + 1);
    }

    fn write(&self, _: Option<&rules::Model>, stamp: Stamp, _: &Change<'_>) -> rules::Model {
        write(self, stamp)
    }

    fn wanted(
        upstream: &Option<UpstreamId>,
        _: &mut Page,
        _: &Store,
    ) -> Result<sea_orm::Condition> {
        let of = upstream.map(|id| rules::Column::UpstreamId.eq(id.0));
        Ok(sea_orm::Condition::all().add_option(of))
    }
}

/// Takes the rules of an upstream that is being deleted out of loaded catalogs; the rows go with
/// it by themselves.
pub(crate) async fn bury_of(change: &Change<'_>, upstream: UpstreamId) -> Result<()> {
    let ids: Vec<i64> = rules::Entity::find()
        .select_only()
        .column(rules::Column::Id)
        .filter(rules::Column::UpstreamId.eq(upstream.0))
        .into_tuple()
        .all(change.tx())
        .await?;
    change.bury(Kind::Rule, ids).await
}

fn write(rule: &Rule, stamp: Stamp) -> rules::Model {
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    rules::Model {
        id: rule.id.0,
        upstream_id: rule.upstream.map(|id| id.0),
        owner_id: rule.owner.0,
        name: rule.name.clone(),
        conditions: json(&rule.conditions),
        threshold: rule.threshold.as_ref().map(json),
        actions: json(&rule.actions),
        auto_enable_delay_ms: rule.auto_enable_delay.map(ms),
        cool_down_ms: ms(rule.cool_down),
        priority: rule.priority,
        stops: rule.stops,
        shadow: rule.shadow,
        enabled: rule.enabled,
        version: rule.version,
        created_us: stamp.created_us,
        updated_us: stamp.updated_us,
        revision: stamp.revision,
    }
}

/// The rule of a row, or the columns that this program cannot read.
pub(crate) fn read(row: rules::Model) -> Result<Rule, Faults> {
    fn column<T: DeserializeOwned>(faults: &mut Faults, field: &str, text: &str) -> Option<T> {
        let read = serde_json::from_str(text);
        read.map_err(|_| faults.add(field, "cannot be read by this version")).ok()
    }
    let mut faults = Faults::default();
    let conditions: Option<Condition> = column(&mut faults, "conditions", &row.conditions);
    let actions: Option<Vec<Action>> = column(&mut faults, "actions", &row.actions);
    let threshold = row.threshold.as_deref();
    let threshold = threshold.and_then(|text| column::<Threshold>(&mut faults, "threshold", text));
    let (Some(conditions), Some(actions), true) = (conditions, actions, faults.0.is_empty()) else {
        return Err(faults);
    };
    let ms = |value: i64| Duration::from_millis(uncount(value));
    Ok(Rule {
        id: RuleId(row.id),
        owner: UserId(row.owner_id),
        upstream: row.upstream_id.map(UpstreamId),
        name: row.name,
        conditions,
        threshold,
        actions,
        auto_enable_delay: row.auto_enable_delay_ms.map(ms),
        cool_down: ms(row.cool_down_ms),
        priority: row.priority,
        stops: row.stops,
        shadow: row.shadow,
        enabled: row.enabled,
        version: row.version,
    })
}

/// The rule of a row, ready to judge.
pub(crate) fn compiled(row: rules::Model) -> Result<CompiledRule, Faults> {
    CompiledRule::compile(read(row)?)
}
