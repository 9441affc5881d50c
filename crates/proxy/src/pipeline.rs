//! The pipeline: the life of a call, one line a step.

use std::sync::Arc;

use auth::ServiceKeys;
use domain::{Caller, KeyFault, Snapshot};

use crate::{
    admission::{self, Permit, Visit},
    attempt::{reached::Reached, round::Asking, upstream},
    client::Client,
    door::Door,
    gateway::{Gateway, World, origins::Origins},
    models,
    refusal::Refusal,
    request::{
        inbound::{self, Call},
        local, own_usage, preflight,
    },
    response::{delivery, relay, tunnel},
    routing::{self, Chance, belongs},
};

/// What became of a call.
pub(crate) enum Handled {
    /// It was answered.
    Answered,
    /// It opens a socket on which calls follow: each of them is handled for itself.
    Socket(Opened),
}

/// A socket that a known caller opens.
pub(crate) struct Opened {
    pub(crate) caller: Arc<Caller>,
    /// The part of the service key by which it is found, and the key as it was shown.
    pub(crate) public_id: String,
    pub(crate) shown_key: String,
}

/// Answers one call.
pub(crate) async fn handle(
    gateway: &Arc<Gateway>,
    client: &mut Client<'_>,
) -> Result<Handled, Refusal> {
    let door = Door::of(&client.head)?; // where it wants to go
    if preflight::answer(client).await? {
        return Ok(Handled::Answered); // what a browser asks before it calls
    }
    door.admits(client.head.method())?;
    if let Some(answer) = local::answer(gateway, &door) {
        return local::send(client, answer?).await.map(|()| Handled::Answered); // what needs no key
    }
    let world = gateway.world(); // one view of the world, to the end
    let (key, caller) = identified(gateway, &world.snapshot, client)?; // by whom
    client.is_known();
    let mut visit = Visit::open(gateway, &caller, &door); // whatever ends it, this enters it
    let outcome = visited(gateway, world, &mut visit, client, door, &key).await;
    visit.close(client, &outcome).await; // what it cost, or why it failed
    let opens = outcome?;
    Ok(if opens {
        Handled::Socket(Opened::by(&gateway.service_keys, caller, key))
    } else {
        Handled::Answered
    })
}

/// Answers a call of a known caller; whether it opens a socket instead.
async fn visited(
    gateway: &Arc<Gateway>,
    world: Arc<World>,
    visit: &mut Visit<'_>,
    client: &mut Client<'_>,
    door: Door,
    key: &str,
) -> Result<bool, Refusal> {
    let (caller, now) = (visit.caller, gateway.settings.clock.now());
    if let Some(what) = caller.kept_out(client.ip, client.head.method(), now) {
        return Err(Refusal::KeptOut(what)); // from there, with this method, at this hour
    }
    if door.is_socket() {
        return Ok(true);
    }
    if door.is_own_usage() {
        let models = models::names(&world.snapshot, caller);
        let answer = own_usage::answer(gateway, &world, caller, client, &models);
        return local::send(client, answer).await.map(|()| false); // what it used, and may use
    }
    let mut call = inbound::call(&gateway.settings, &gateway.memory, client, caller, door).await?; // what is asked
    visit.asks_for(call.model.as_ref());
    let query = client.head.query();
    if let Some(list) =
        models::answer((&gateway.connector, &gateway.settings.clock), &world, caller, &call, query)
            .await
    {
        models::send(visit, &world, client, &call, list).await?; // what it may ask for
        return Ok(false);
    }
    let mut plan = planned(
        (&gateway.origins, gateway.settings.clock.now_us()),
        &world,
        client,
        caller,
        &call,
    )?; // who could answer
    let permit = visit.admit(&world, client, &call, &mut plan).await?; // may they, now
    answered(gateway, (world, caller, key), client, &mut call, &plan, permit).await?;
    Ok(false)
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
    // Boxed: it is large, and over before an answer that may last for an hour is passed on.
    let answer = Box::pin(upstream::first_answer(asking, client, plan, permit)).await?; // who does answer
    if (200..300).contains(&answer.status()) && call.door.gives_a_secret(&client.head) {
        permit.entry.gave_a_secret();
    }
    drop(world); // an answer may outlive many changes of the configuration
    let connector = &gateway.connector;
    let public_id = || public_id(&gateway.service_keys, shown_key);
    call.let_go(); // an answer may take an hour; the question is not needed any more
    match answer {
        Reached::Converted(answer) => {
            delivery::deliver(
                (connector, gateway.settings.stream_keep_alive),
                public_id,
                client,
                answer,
                permit,
            )
            .await
        }
        Reached::AsItIs(answer) if answer.head.status == 101 => {
            Box::pin(tunnel::tunnel(public_id(), client, *answer, permit)).await
        }
        Reached::AsItIs(answer) => {
            relay::stream(connector, public_id, client, call, *answer, permit).await
        }
    } // in the caller's own dialect
}

/// The part of a key by which it is found: what watches over long answers.
fn public_id(service_keys: &ServiceKeys, shown_key: &str) -> String {
    let shown = service_keys.present(shown_key);
    shown.map(|shown| shown.public_id().to_owned()).unwrap_or_default()
}

impl Opened {
    fn by(service_keys: &ServiceKeys, caller: Arc<Caller>, shown_key: String) -> Self {
        Self { caller, public_id: public_id(service_keys, &shown_key), shown_key }
    }
}

/// The key that a call shows, and the caller whose key it is. Calls with keys that are not accepted
/// are counted.
fn identified(
    gateway: &Gateway,
    snapshot: &Snapshot,
    client: &Client<'_>,
) -> Result<(String, Arc<Caller>), Refusal> {
    let count = |key: Option<&str>, refusal: &_| count_refused(gateway, client, key, refusal);
    let key = inbound::shown_key(&client.head).inspect_err(|refusal| count(None, refusal))?;
    let caller = known(gateway, snapshot, &key);
    let caller = caller.inspect_err(|refusal| count(Some(&key), refusal))?;
    Ok((key, caller))
}

/// Who could answer.
fn planned(
    (origins, now_us): (&Origins, i64),
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
        maker: origins.maker(call.door.path(&client.head), call.held()),
        now_us,
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
    let key_id = key.map(|key| public_id(&gateway.service_keys, key)).filter(|id| !id.is_empty());
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
