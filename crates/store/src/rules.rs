//! Rules: made, changed, read, deleted.

use std::time::Duration;

use auth::Actor;
use domain::{
    CompiledRule, Condition, Faults, Revision, Rule, RuleId, UpstreamId, UserId,
    rule::{Action, Threshold},
};
use entity::{rules, upstreams};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use serde::de::DeserializeOwned;

use crate::{
    Listed, NewRule, Page, Result, RuleEdit, RuleRow, Store, StoreError,
    change::{Change, What},
    json, moment, paging, uncount,
};

const KIND: &str = "rule";

impl Store {
    /// Makes a rule.
    pub async fn create_rule(&self, by: &Actor, new: NewRule) -> Result<RuleId> {
        let change = self.begin(by).await?;
        let rule = Rule {
            owner: UserId(change.owner(new.owner).await?),
            id: RuleId(change.ids("rules", 1).await?),
            upstream: new.upstream,
            name: new.name,
            conditions: new.conditions,
            threshold: new.threshold,
            actions: new.actions,
            auto_enable_delay: new.auto_enable_delay,
            cool_down: new.cool_down,
            priority: new.priority,
            stops: new.stops,
            shadow: new.shadow,
            enabled: new.enabled,
            version: 1,
        };
        let row = write(&rule, &change, change.now_us);
        sound(&change, rule).await?;
        let active: rules::ActiveModel = row.clone().into();
        rules::Entity::insert(active.reset_all()).exec_without_returning(change.tx()).await?;
        change.commit(What::created(KIND, row.id, &row)).await?;
        Ok(RuleId(row.id))
    }

    /// Changes what `edit` names and leaves the rest. It is asked inside the change, with the rule as
    /// it is then. The rule has another version afterwards.
    pub async fn edit_rule(
        &self,
        by: &Actor,
        id: RuleId,
        edit: impl FnOnce(&Rule) -> Result<RuleEdit, Faults> + Send,
    ) -> Result<Revision> {
        let change = self.begin(by).await?;
        let before = find(&change, id).await?;
        let mut rule = read(before.clone())?;
        let edit = edit(&rule)?;
        apply(&mut rule, edit);
        rule.version += 1;
        let row = write(&rule, &change, before.created_us);
        sound(&change, rule).await?;
        let active: rules::ActiveModel = row.clone().into();
        active.reset_all().update(change.tx()).await?;
        change.commit(What::edited(KIND, id.0, &before, &row, None)).await
    }

    /// Deletes a rule.
    pub async fn delete_rule(&self, by: &Actor, id: RuleId) -> Result<Revision> {
        let change = self.begin(by).await?;
        let row = find(&change, id).await?;
        rules::Entity::delete_by_id(id.0).exec(change.tx()).await?;
        change.bury("rules", [id.0]).await?;
        change.commit(What::deleted(KIND, id.0, &row)).await
    }

    /// One rule.
    pub async fn rule(&self, id: RuleId) -> Result<RuleRow> {
        let row = rules::Entity::find_by_id(id.0).one(&self.0.db.reader().await?).await?;
        stamped(row.ok_or(StoreError::NotFound(KIND))?)
    }

    /// A page of rules; where an upstream is named, of its own.
    pub async fn rules(&self, upstream: Option<UpstreamId>, page: Page) -> Result<Listed<RuleRow>> {
        let mut wanted = rules::Entity::find();
        if let Some(upstream) = upstream {
            wanted = wanted.filter(rules::Column::UpstreamId.eq(upstream.0));
        }
        let db = self.0.db.reader().await?;
        let (rows, next_cursor) = paging::page(wanted, &page, &db).await?;
        Ok(Listed { items: rows.into_iter().map(stamped).collect::<Result<_>>()?, next_cursor })
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
    change.bury("rules", ids).await
}

fn apply(rule: &mut Rule, edit: RuleEdit) {
    fn set<T>(field: &mut T, new: Option<T>) {
        if let Some(new) = new {
            *field = new;
        }
    }
    set(&mut rule.upstream, edit.upstream);
    set(&mut rule.name, edit.name);
    set(&mut rule.conditions, edit.conditions);
    set(&mut rule.threshold, edit.threshold);
    set(&mut rule.actions, edit.actions);
    set(&mut rule.auto_enable_delay, edit.auto_enable_delay);
    set(&mut rule.cool_down, edit.cool_down);
    set(&mut rule.priority, edit.priority);
    set(&mut rule.stops, edit.stops);
    set(&mut rule.shadow, edit.shadow);
    set(&mut rule.enabled, edit.enabled);
}

/// A rule is only kept if it can be judged, and if its upstream is there.
async fn sound(change: &Change<'_>, rule: Rule) -> Result<()> {
    let upstream = rule.upstream;
    let mut faults = CompiledRule::compile(rule).err().unwrap_or_default();
    if let Some(id) = upstream
        && upstreams::Entity::find_by_id(id.0).one(change.tx()).await?.is_none()
    {
        faults.add("upstream_id", format!("there is no upstream {id}"));
    }
    Ok(faults.none_or(())?)
}

async fn find(change: &Change<'_>, id: RuleId) -> Result<rules::Model> {
    let row = rules::Entity::find_by_id(id.0).one(change.tx()).await?;
    let row = row.ok_or(StoreError::NotFound(KIND))?;
    change.owned(row.owner_id, KIND)?;
    change.expects(row.updated_us)?;
    Ok(row)
}

fn write(rule: &Rule, change: &Change<'_>, created_us: i64) -> rules::Model {
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
        created_us,
        updated_us: change.now_us,
        revision: change.revision,
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

fn stamped(row: rules::Model) -> Result<RuleRow> {
    let (created_at, updated_at) = (moment(row.created_us), moment(row.updated_us));
    Ok(RuleRow { rule: read(row)?, created_at, updated_at })
}
