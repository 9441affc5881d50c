//! What a filter of log entries means, in two parts: what an index answers together with the order,
//! and what has to be looked at entry by entry.

use domain::UserId;
use entity::request_logs::Column;
use sea_orm::{
    ColumnTrait, Condition, ExprTrait, IntoSimpleExpr,
    sea_query::{Expr, SimpleExpr},
};

use crate::{LogFilter, LogOrder, StatusClass, paging::column};

/// The conditions of a filter.
pub(super) struct Conditions {
    /// An index leads to what they mean, in the order of the list.
    pub(super) indexed: Condition,
    /// They are asked of each entry. None of them may lead the database to another index, which
    /// could hold every entry there is.
    pub(super) others: Condition,
    /// Whether the index leads to few entries in any order.
    few: bool,
}

/// The conditions of a filter, for entries of `owner` where that is given.
pub(super) fn split(filter: &LogFilter, owner: Option<UserId>) -> Conditions {
    let newest = filter.order == LogOrder::Newest;
    let by_end = matches!(filter.order, LogOrder::LatestEnd | LogOrder::EarliestEnd);
    let mut found = Conditions { indexed: Condition::all(), others: Condition::all(), few: false };
    let us = |at: chrono::DateTime<chrono::Utc>| at.timestamp_micros();
    let (from, to) = (filter.from.map(us), filter.to.map(us));
    found.range(newest, column(Column::StartedUs), from, to);
    let (from, to) = (filter.ended_from.map(us), filter.ended_to.map(us));
    found.range(by_end, ended(), from, to);

    // One of them leads: the first is expected to mean the fewest entries. Those of a request or a
    // session are few in any order; the indexes of the others are in the order of admission.
    let mut leads = newest;
    for (of, text) in [
        (Column::RequestId, &filter.request_id),
        (Column::ProviderRequestId, &filter.provider_request_id),
        (Column::Session, &filter.session),
    ] {
        let Some(text) = text else { continue };
        leads = false;
        found.few = true;
        found.indexed = found.indexed.add(of.eq(text.as_str()));
    }
    for (of, id) in [
        (Column::ServiceKeyId, filter.service_key.map(|id| id.0)),
        (Column::ProviderKeyId, filter.provider_key.map(|id| id.0)),
        (Column::OwnerId, owner.map(|id| id.0)),
        (Column::OwnerId, filter.owner.map(|id| id.0)),
    ] {
        let Some(id) = id else { continue };
        match std::mem::take(&mut leads) {
            true => found.indexed = found.indexed.add(of.eq(id)),
            false => found.others = found.others.add(unindexed(column(of)).eq(id)),
        }
    }
    if let Some(id) = filter.upstream {
        found.others = found.others.add(Column::UpstreamId.eq(id.0));
    }
    found.status(filter, leads);
    found.others = found
        .others
        .add_option(filter.model.as_ref().map(|model| {
            Condition::any()
                .add(Column::ModelUsed.eq(model.as_str()))
                .add(Column::ModelAsked.eq(model.as_str()))
        }))
        .add_option(filter.outcome.map(|outcome| Column::Outcome.eq(outcome.as_str())));
    found
}

impl Conditions {
    /// A range of numbers, of which there is an index in this order or not.
    fn range(&mut self, in_order: bool, of: Expr, from: Option<i64>, to: Option<i64>) {
        let (part, of) = match in_order {
            true => (&mut self.indexed, of),
            false => (&mut self.others, unindexed(of)),
        };
        let from = from.map(|from| of.clone().gte(from));
        let to = to.map(|to| of.lt(to));
        *part = part.clone().add_option(from).add_option(to);
    }

    /// A class of statuses. Of failed calls there are indexes by admission and by arrival.
    fn status(&mut self, filter: &LogFilter, leads: bool) {
        let arrival = filter.order == LogOrder::Arrival && !self.few;
        let Some(class) = filter.status else { return };
        let failed = (leads || arrival) && class == StatusClass::Errors;
        if failed {
            // As the indexes are defined: a value that is bound is not recognised.
            let failed: SimpleExpr = Column::Failed.into_simple_expr();
            self.indexed = self.indexed.clone().add(failed);
        }
        let status = match class {
            StatusClass::Exactly(status) => Some(Column::Status.eq(i32::from(status))),
            StatusClass::Hundred(hundred) => {
                let from = i32::from(hundred) * 100;
                Some(Column::Status.between(from, from + 99))
            }
            StatusClass::Errors if failed => None,
            StatusClass::Errors => Some(Column::Failed.eq(true)),
        };
        self.others = self.others.clone().add_option(status);
    }
}

/// When a call ended, as it is indexed.
pub(super) fn ended() -> Expr {
    column(Column::StartedUs).add(column(Column::LatencyUs))
}

/// The same number, without the index that there is of it.
fn unindexed(of: Expr) -> Expr {
    of.add(0)
}
