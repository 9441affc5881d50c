//! What people are told of budgets: once a period that one is nearly used up, and once that calls
//! are refused for it. When the period is over, so is the alert.

use std::{collections::HashMap, sync::Arc};

use cluster::{Ask, Held, Measure};
use domain::{Event, Limit, Raised, Scope, Severity};
use parking_lot::Mutex;

use super::{
    Asks,
    refused::{LimitRefused, Named, allowance, amount},
};
use crate::clock::moment;

/// Most budgets of which it is remembered what was told; those beyond are told of each time.
const TOLD_MAX: usize = 10_000;

/// What was told, by counters.
#[derive(Debug, Default)]
pub(crate) struct BudgetAlerts(Mutex<HashMap<Arc<str>, Told>>);

#[derive(Debug)]
struct Told {
    start_us: i64,
    end_us: Option<i64>,
    raised: Raised,
}

impl BudgetAlerts {
    /// Looks at what was reserved, or why it was not.
    pub(crate) fn look(
        &self,
        asks: &Asks<'_>,
        outcome: &Result<Held, LimitRefused>,
        now_us: i64,
    ) -> Vec<Event> {
        match outcome {
            Ok(held) => {
                let before = held.used().zip(held.amounts());
                let before = before.map(|(used, own)| used.saturating_sub(own));
                let rows = asks.of.iter().zip(&asks.asks).zip(before);
                let near = rows.filter_map(|(((limit, subject), ask), used)| {
                    self.tell(limit, subject, ask, used, Severity::Warning, now_us)
                });
                near.collect()
            }
            Err(refused) => {
                let Some((limit, subject, used)) = refused.over() else { return Vec::new() };
                let mut rows = asks.of.iter().zip(&asks.asks);
                let found = rows.find(|((other, _), _)| Arc::ptr_eq(other, limit));
                let Some((_, ask)) = found else { return Vec::new() };
                let told = self.tell(limit, subject, ask, used, Severity::Critical, now_us);
                told.into_iter().collect()
            }
        }
    }

    /// Ends the alerts whose period is over.
    pub(crate) fn over(&self, now_us: i64) -> Vec<Event> {
        let ended = |told: &Told| told.end_us.is_some_and(|end| end <= now_us);
        let ended = self.0.lock().extract_if(|_, told| ended(told)).collect::<Vec<_>>();
        let over = ended.into_iter().map(|(_, Told { raised, .. })| {
            let words = "a new period has begun".to_owned();
            Event::Alert(Raised { at: moment(now_us), words, over: true, ..raised })
        });
        over.collect()
    }

    /// Tells that so much is used, where that is worth an alert and was not told before.
    fn tell(
        &self,
        limit: &Limit,
        subject: &str,
        ask: &Ask,
        used: u64,
        severity: Severity,
        now_us: i64,
    ) -> Option<Event> {
        let percent = u128::from(limit.alert_percent?);
        let Measure::Period { start_us, end_us } = ask.measure else { return None };
        if u128::from(used) * 100 < u128::from(limit.limit) * percent {
            return None;
        }
        let mut told = self.0.lock();
        if let Some(before) = told.get(&ask.counter)
            && before.start_us == start_us
            && before.raised.severity >= severity
        {
            return None;
        }
        let raised = raised(limit, subject, used, severity, end_us, now_us);
        if told.len() < TOLD_MAX || told.contains_key(&ask.counter) {
            let entry = Told { start_us, end_us, raised: raised.clone() };
            told.insert(ask.counter.clone(), entry);
        }
        Some(Event::Alert(raised))
    }
}

fn raised(
    limit: &Limit,
    subject: &str,
    used: u64,
    severity: Severity,
    end_us: Option<i64>,
    now_us: i64,
) -> Raised {
    let named = Named { limit, subject };
    let title = match severity {
        Severity::Critical => format!("{named} is used up: calls are refused"),
        _ => format!("{named} is nearly used up"),
    };
    let (used, allowed) = (amount(limit.unit, used), allowance(limit));
    let mut words = format!("{used} of {allowed} are used or reserved");
    if let Some(end_us) = end_us {
        let end = moment(end_us).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        words.push_str(&format!("; the period ends at {end}"));
    }
    Raised {
        group: format!("limit:{}:{subject}", limit.id),
        severity,
        title,
        words,
        upstream: match limit.scope {
            Scope::Upstream(_) => subject.parse().ok().map(domain::UpstreamId),
            _ => None,
        },
        key: None,
        rule: None,
        at: moment(now_us),
        over: false,
    }
}
