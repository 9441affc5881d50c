//! `GET /v1/models` and its sisters: what a service key can ask for, in the dialect of whoever
//! asks. Every model is on the list, for one of another dialect is reached by conversion. Of an
//! upstream that takes any model those are listed that its provider lists.

pub(crate) mod list;
pub(crate) mod question;

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use domain::{Caller, Dialect, Snapshot, UpstreamEntry, log::Outcome};

use crate::{
    admission::Visit,
    client::Client,
    clock::Clock,
    door::{Door, Endpoint, Operation},
    gateway::World,
    headers::JSON,
    pool::line::Connector,
    refusal::Refusal,
    request::{inbound::Call, local::Local},
    routing::Plan,
};

/// The list, or the one model that was asked for; none where the call is not about models, or
/// where the one upstream that there is knows better.
pub(crate) async fn answer(
    with: (&Connector, &Clock),
    world: &World,
    caller: &Caller,
    call: &Call,
    query: Option<&str>,
) -> Option<Result<Local, Refusal>> {
    let Door::Model(Endpoint { dialect, operation, .. }) = &call.door else { return None };
    if !matches!(operation, Operation::ListModels | Operation::OneModel(_)) {
        return None;
    }
    let snapshot = &world.snapshot;
    let mut names = names(snapshot, caller);
    if names.is_empty() && provider_knows(snapshot, caller, *dialect) {
        return None;
    }
    names.extend(of_providers(with, world, caller, *dialect).await);
    Some(match operation {
        Operation::OneModel(name) if names.contains(name) => {
            Ok((200, list::one(*dialect, name).to_string().into()))
        }
        Operation::OneModel(name) => Err(Refusal::NoRoute(name.clone())),
        _ => Ok((200, list::page(*dialect, &names, query).to_string().into())),
    })
}

/// Every name that this caller can ask for and that we know of.
pub(crate) fn names(snapshot: &Snapshot, caller: &Caller) -> BTreeSet<String> {
    let reached =
        |entry: &Arc<UpstreamEntry>| entry.upstream.enabled && caller.may_reach(&entry.upstream);
    let mut names = BTreeSet::new();
    for route in snapshot.routes().filter(|route| route.enabled) {
        let mut entries = route.targets.iter().filter_map(|t| snapshot.upstream(t.upstream));
        if entries.any(reached) {
            names.insert(route.name.clone());
        }
    }
    for (model, ids) in snapshot.models() {
        let entries: Vec<_> =
            ids.iter().filter_map(|id| snapshot.upstream(*id)).filter(|e| reached(e)).collect();
        match entries.as_slice() {
            [] => {}
            [_] => {
                names.insert(model.to_owned());
            }
            several => {
                names.extend(several.iter().map(|e| format!("{}/{model}", e.upstream.name)));
            }
        }
    }
    names.retain(|name| caller.may_ask_for(name));
    names
}

/// The names of models of upstreams in reach that take any, as far as their providers list them:
/// plain where that leads to this upstream alone, else with its name in front.
async fn of_providers(
    with: (&Connector, &Clock),
    world: &World,
    caller: &Caller,
    dialect: Dialect,
) -> Vec<String> {
    let snapshot = &world.snapshot;
    let reached =
        |entry: &UpstreamEntry| entry.upstream.enabled && caller.may_reach(&entry.upstream);
    let open =
        snapshot.upstreams().filter(|entry| reached(entry) && entry.upstream.models.is_empty());
    let open: Vec<_> = open.take(ASKED_MAX).collect();
    let asked = open.iter().map(|entry| async move {
        let running = world.running(entry.upstream.id)?;
        Some((*entry, question::listed(with, running).await?))
    });
    let lists = futures_util::future::join_all(asked).await;
    let mut names = Vec::new();
    for (entry, models) in lists.into_iter().flatten() {
        for model in models.iter() {
            let serving = snapshot.serving(model).iter().filter_map(|id| snapshot.upstream(*id));
            let serving: Vec<_> = serving.filter(|entry| reached(entry)).collect();
            // As a call for it is planned: whoever speaks the client's dialect was meant.
            let native = |entry: &&&Arc<UpstreamEntry>| entry.upstream.dialects.contains(&dialect);
            let mut meant: Vec<_> = serving.iter().filter(native).collect();
            if meant.is_empty() {
                meant = serving.iter().collect();
            }
            let plain = matches!(meant[..], [one] if one.upstream.id == entry.upstream.id);
            names.push(match plain && snapshot.route(model).is_none() {
                true => model.clone(),
                false => format!("{}/{model}", entry.upstream.name),
            });
        }
    }
    names.retain(|name| caller.may_ask_for(name));
    names
}

/// Most upstreams whose providers are asked for one list.
const ASKED_MAX: usize = 32;

/// Whether one upstream alone is in reach, which speaks this dialect and serves whatever it serves:
/// its own list says more than ours could.
fn provider_knows(snapshot: &Snapshot, caller: &Caller, dialect: Dialect) -> bool {
    let mut reached = snapshot
        .upstreams()
        .filter(|entry| entry.upstream.enabled && caller.may_reach(&entry.upstream));
    let (one, other) = (reached.next(), reached.next());
    caller.key.allowed_models.is_empty()
        && other.is_none()
        && one.is_some_and(|entry| {
            entry.upstream.models.is_empty() && entry.upstream.dialects.contains(&dialect)
        })
}

/// Sends it, and enters the call.
pub(crate) async fn send(
    visit: &mut Visit<'_>,
    world: &World,
    client: &mut Client<'_>,
    call: &Call,
    answer: Result<Local, Refusal>,
) -> Result<(), Refusal> {
    let mut plan = Plan { targets: Vec::new(), considered: Vec::new() };
    let permit = visit.admit(world, client, call, &mut plan).await?;
    match answer {
        Ok((status, body)) => {
            client.begin(status, JSON, crate::http1::Framing::Length(body.len() as u64));
            permit.close(Outcome::Completed, &*client, body.len() as u64).await;
            client.send(&[Bytes::clone(&body)], true).await
        }
        Err(refusal) => {
            permit.entry.refused(&refusal);
            permit.close(Outcome::Refused, &*client, 0).await;
            Err(refusal)
        }
    }
}
