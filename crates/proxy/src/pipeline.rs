//! The main hall: the life of a call, one line a step.

use std::sync::Arc;

use domain::{Caller, KeyFault, Snapshot, log::Outcome};

use crate::{
    admission::{self, Permit},
    attempt::{reached::Reached, round::Asking, upstream},
    client::Client,
    door::Door,
    gateway::{Gateway, World},
    models,
    refusal::Refusal,
    request::{
        inbound::{self, Call},
        local, preflight,
    },
    response::{delivery, relay, tunnel},
    routing::{self, Chance, belongs},
    server::socket,
};

/// Answers one call.
pub(crate) async fn handle(gateway: &Arc<Gateway>, client: &mut Client<'_>) -> Result<(), Refusal> {
    let door = Door::of(&client.head)?; // where it wants to go
    if preflight::answer(client).await? {
        return Ok(()); // what a browser asks before it calls
    }
    door.admits(client.head.method())?;
    if let Some(answer) = local::answer(gateway, &door) {
        return local::send(client, answer?).await; // what needs no key
    }
    let world = gateway.world(); // one view of the world, to the end
    let count = |key: Option<&str>, refusal: &_| count_refused(gateway, client, key, refusal);
    let key = inbound::shown_key(&client.head).inspect_err(|refusal| count(None, refusal))?; // whose key
    let caller = known(gateway, &world.snapshot, &key); // by whom
    let caller = caller.inspect_err(|refusal| count(Some(&key), refusal))?;
    client.is_known();
    let (method, now) = (client.head.method(), gateway.settings.clock.now());
    if let Some(what) = caller.kept_out(client.ip, method, now) {
        return refuse(gateway, client, &caller, &door, None, Refusal::KeptOut(what)).await;
    }
    if door.is_socket() {
        drop(world); // a socket lives for long, and each of its calls takes a view of its own
        let public_id = public_id(gateway, &key);
        return socket::serve(gateway, &caller, (public_id, &key), client).await;
    }
    let kept = door.clone();
    let mut call = match inbound::call(gateway, client, &caller, door).await {
        Ok(call) => call, // what is asked
        Err(refusal) => return refuse(gateway, client, &caller, &kept, None, refusal).await,
    };
    let query = client.head.query();
    if let Some(list) = models::answer(gateway, &world, &caller, &call, query).await {
        return models::send(gateway, &world, client, &caller, &call, list).await; // what it may ask for
    }
    let plan = match planned(gateway, &world, client, &caller, &call) {
        Ok(plan) => plan, // who could answer
        Err(refusal) => {
            return refuse(gateway, client, &caller, &kept, call.model, refusal).await;
        }
    };
    // may they, now
    let mut permit = admission::admit(gateway, &world, client, &caller, &call, &plan).await?;

    let asked = (world, &*caller, key.as_str());
    let outcome = answered(gateway, asked, client, &mut call, &plan, &mut permit).await;

    if let Err(refusal) = &outcome {
        close(&mut permit, client, refusal).await; // what it cost, or why it failed
    }
    outcome
}

async fn answered(
    gateway: &Arc<Gateway>,
    (world, caller, shown_key): (Arc<World>, &Caller, &str),
    client: &mut Client<'_>,
    call: &mut Call,
    plan: &routing::Plan,
    permit: &mut Permit,
) -> Result<(), Refusal> {
    let asking = Asking { gateway, world: &world, caller, shown_key, call };
    let answer = upstream::first_answer(asking, client, plan, permit).await?; // who does answer
    if (200..300).contains(&answer.status()) && call.door.gives_a_secret(&client.head) {
        permit.gave_a_secret();
    }
    drop(world); // an answer may outlive many changes of the configuration
    let public_id = || public_id(gateway, shown_key);
    call.let_go(); // an answer may take an hour; the question is not needed any more
    match answer {
        Reached::Converted(answer) => {
            delivery::deliver(gateway, public_id, client, answer, permit).await
        }
        Reached::AsItIs(answer) if answer.head.status == 101 => {
            tunnel::tunnel(gateway, public_id(), client, *answer, permit).await
        }
        Reached::AsItIs(answer) => {
            relay::stream(gateway, public_id, client, call, *answer, permit).await
        }
    } // in the caller's own dialect
}

/// The part of a key by which it is found: what watches over long answers.
fn public_id(gateway: &Gateway, shown_key: &str) -> String {
    let shown = gateway.service_keys.present(shown_key);
    shown.map(|shown| shown.public_id().to_owned()).unwrap_or_default()
}

/// Who could answer.
fn planned(
    gateway: &Gateway,
    world: &World,
    client: &Client<'_>,
    caller: &Caller,
    call: &Call,
) -> Result<routing::Plan, Refusal> {
    let chance = Chance {
        path: call.door.path(&client.head),
        header: &|name| client.head.text(name),
        belongs: &|sticky| belongs::number(sticky, client, caller, call),
        secret: call.door.gives_a_secret(&client.head),
        maker: gateway.origins.maker(call.door.path(&client.head), call.held()),
        now_us: gateway.settings.clock.now_us(),
    };
    routing::plan(world, caller, call, &chance)
}

/// Counts a call whose service key is not accepted.
fn count_refused(gateway: &Gateway, client: &Client<'_>, key: Option<&str>, refusal: &Refusal) {
    let fault = match refusal {
        Refusal::KeyUnknown => KeyFault::Unknown,
        Refusal::KeyRefused(fault) => *fault,
        _ => return,
    };
    let address = client.ip.and_then(|ip| admission::masked(ip, &gateway.settings));
    let key_id = key.map(|key| public_id(gateway, key)).filter(|id| !id.is_empty());
    let now = gateway.settings.clock.now();
    gateway.refused_keys.count(address, key_id.as_deref(), fault, now);
}

/// The caller whose key this is.
fn known(gateway: &Gateway, snapshot: &Snapshot, key: &str) -> Result<Arc<Caller>, Refusal> {
    let now = gateway.settings.clock.now();
    let shown = gateway.service_keys.present(key).ok_or(Refusal::KeyUnknown)?;
    let fits = |caller: &&Arc<Caller>| {
        caller.digest(shown.public_id(), now).is_some_and(|digest| shown.is(digest))
    };
    let Some(caller) = snapshot.caller(shown.public_id()).filter(fits) else {
        // It may have been made since we last heard from the database.
        return Err(if gateway.is_confirmed() { Refusal::KeyUnknown } else { Refusal::Stale });
    };
    if let Some(why) = caller.refused_at(now) {
        return Err(Refusal::KeyRefused(why));
    }
    // We cannot know what changed since; that is our trouble, not the caller's.
    if gateway.is_current() { Ok(caller.clone()) } else { Err(Refusal::Stale) }
}

/// Enters a call of a known caller that goes nowhere.
async fn refuse(
    gateway: &Arc<Gateway>,
    client: &Client<'_>,
    caller: &Caller,
    door: &Door,
    model: Option<String>,
    refusal: Refusal,
) -> Result<(), Refusal> {
    admission::enter_refused(gateway, client, caller, door, model, &refusal).await;
    Err(refusal)
}

async fn close(permit: &mut Permit, client: &Client<'_>, refusal: &Refusal) {
    if !permit.is_open() {
        return;
    }
    let outcome = match refusal {
        Refusal::ClientGone => Outcome::ClientGone,
        Refusal::TimedOut => Outcome::TimedOut,
        Refusal::NoUsableKey(_)
        | Refusal::AllKeysRest { .. }
        | Refusal::AllKeysFail { .. }
        | Refusal::UpstreamRests { .. }
        | Refusal::UpstreamBusy { .. }
        | Refusal::Limited(_)
        | Refusal::TooLargeForKeys(_)
        | Refusal::UnpricedForKeys(_)
        | Refusal::Script
        | Refusal::Unsayable(_) => Outcome::Refused,
        _ => Outcome::Failed,
    };
    permit.refused(refusal);
    permit.close(outcome, client, 0).await;
}
