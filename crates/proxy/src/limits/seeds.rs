//! What counters of calendar periods would know of the use before this process: questions to the log
//! entries.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;
use cluster::Measure;
use domain::{Algorithm, Limit, Scope, SeedQuestion, ServiceKeyId, Snapshot, Unit, UserId, Whose};

use super::{counters_of, keys, measure};

/// The questions, and how each of their counters is measured.
pub(crate) fn seedings(snapshot: &Snapshot, now_us: i64, zone: Tz) -> Vec<(SeedQuestion, Measure)> {
    let mut questions = Vec::new();
    let mut callers: BTreeMap<ServiceKeyId, UserId> = BTreeMap::new();
    callers.extend(snapshot.callers().map(|caller| (caller.key.id, caller.key.owner)));
    for limit in snapshot.limits() {
        let calendar = matches!(limit.algorithm, Algorithm::Calendar { .. });
        if !calendar || limit.unit == Unit::Concurrency {
            continue;
        }
        let measure = measure(limit, now_us, zone);
        for (subject, who) in subjects(limit, snapshot, &callers) {
            let counter = format!("{}{subject}", counters_of(limit));
            questions.extend(question(counter, who, limit.unit, measure));
        }
    }
    for entry in snapshot.upstreams() {
        let zone = entry.upstream.zone(zone);
        for key in &entry.keys {
            let own =
                if key.quotas.is_empty() { &entry.upstream.policy.key_quotas } else { &key.quotas };
            for quota in own {
                let (counter, measure, _) = keys::counter(key, quota, now_us, zone);
                questions.extend(question(counter, Whose::Key(key.id), quota.unit, measure));
            }
        }
    }
    questions
}

fn question(
    counter: String,
    who: Whose,
    unit: Unit,
    measure: Measure,
) -> Option<(SeedQuestion, Measure)> {
    let Measure::Period { start_us, .. } = measure else { return None };
    Some((SeedQuestion { counter, who, unit, start_us }, measure))
}

/// Everybody whom a limit counts, as far as that is known before a call.
fn subjects(
    limit: &Limit,
    snapshot: &Snapshot,
    callers: &BTreeMap<ServiceKeyId, UserId>,
) -> Vec<(String, Whose)> {
    match &limit.scope {
        Scope::Global => vec![("all".to_owned(), Whose::Global)],
        // The log may keep no addresses.
        Scope::Ip(_) => Vec::new(),
        Scope::User(Some(user)) => vec![(user.to_string(), Whose::User(*user))],
        Scope::User(None) => {
            let users: BTreeSet<UserId> = callers.values().copied().collect();
            users.into_iter().map(|user| (user.to_string(), Whose::User(user))).collect()
        }
        Scope::ServiceKey(Some(key)) => vec![(key.to_string(), Whose::ServiceKey(*key))],
        Scope::ServiceKey(None) => {
            callers.keys().map(|key| (key.to_string(), Whose::ServiceKey(*key))).collect()
        }
        Scope::Model(Some(model)) => vec![(model.clone(), Whose::Model(model.clone()))],
        Scope::Model(None) => {
            let listed = snapshot.models().map(|(model, _)| model.to_owned());
            let routed = snapshot.routes().map(|route| route.name.clone());
            let models: BTreeSet<String> = listed.chain(routed).collect();
            models.into_iter().map(|model| (model.clone(), Whose::Model(model))).collect()
        }
        Scope::Upstream(Some(id)) => vec![(id.to_string(), Whose::Upstream(*id))],
        Scope::Upstream(None) => {
            let ids = snapshot.upstreams().map(|entry| entry.upstream.id);
            ids.map(|id| (id.to_string(), Whose::Upstream(id))).collect()
        }
    }
}
