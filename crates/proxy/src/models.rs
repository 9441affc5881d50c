//! `GET /v1/models` and its sisters: what a service key can ask for, in the dialect of whoever
//! asks. Every model is on the list, for one of another dialect is reached by conversion.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use domain::{Caller, Dialect, Snapshot, UpstreamEntry, log::Outcome};

use crate::{
    admission,
    client::Client,
    door::{Door, Endpoint, Operation},
    gateway::{Gateway, World},
    inbound::Call,
    local::{JSON, Local},
    model_list,
    refusal::Refusal,
    routing::Plan,
};

/// The list, or the one model that was asked for; none where the call is not about models, or
/// where the one upstream that there is knows better.
pub(crate) fn answer(
    snapshot: &Snapshot,
    caller: &Caller,
    call: &Call,
    query: Option<&str>,
) -> Option<Result<Local, Refusal>> {
    let Door::Model(Endpoint { dialect, operation }) = &call.door else { return None };
    if !matches!(operation, Operation::ListModels | Operation::OneModel(_)) {
        return None;
    }
    let names = names(snapshot, caller);
    if names.is_empty() && provider_knows(snapshot, caller, *dialect) {
        return None;
    }
    Some(match operation {
        Operation::OneModel(name) if names.contains(name) => {
            Ok((200, model_list::one(*dialect, name).to_string().into()))
        }
        Operation::OneModel(name) => Err(Refusal::NoRoute(name.clone())),
        _ => Ok((200, model_list::page(*dialect, &names, query).to_string().into())),
    })
}

/// Every name that this caller can ask for and that we know of.
fn names(snapshot: &Snapshot, caller: &Caller) -> BTreeSet<String> {
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

/// Whether exactly one upstream of this dialect is in reach, and it serves whatever it serves.
fn provider_knows(snapshot: &Snapshot, caller: &Caller, dialect: Dialect) -> bool {
    let open = snapshot.upstreams().filter(|entry| {
        let upstream = &entry.upstream;
        upstream.enabled
            && upstream.models.is_empty()
            && upstream.dialects.contains(&dialect)
            && caller.may_reach(upstream)
    });
    caller.key.allowed_models.is_empty() && open.count() == 1
}

/// Sends it, and enters the call.
pub(crate) async fn send(
    gateway: &Arc<Gateway>,
    world: &World,
    client: &mut Client<'_>,
    caller: &Caller,
    call: &Call,
    answer: Result<Local, Refusal>,
) -> Result<(), Refusal> {
    let plan = Plan { targets: Vec::new(), considered: Vec::new() };
    let mut permit = admission::admit(gateway, world, client, caller, call, &plan).await?;
    match answer {
        Ok((status, body)) => {
            client.begin(status, JSON, crate::http1::Framing::Length(body.len() as u64));
            permit.close(Outcome::Completed, &*client, body.len() as u64).await;
            client.send(&[Bytes::clone(&body)], true).await
        }
        Err(refusal) => {
            permit.refused(&refusal);
            permit.close(Outcome::Refused, &*client, 0).await;
            Err(refusal)
        }
    }
}
