//! Which calls belong together: a number that is the same for all of them, and for hardly any
//! other.

use std::hash::{DefaultHasher, Hash, Hasher};

use domain::{
    Caller,
    policy::{Sticky, StickyBy},
};

use crate::{client::Client, request::inbound::Call};

/// By what calls of one session say so where nothing else is configured.
const SESSION_HEADERS: [&str; 3] = ["x-session-id", "session_id", "x-claude-code-session-id"];
/// Where a call names the user behind it, at its outermost level.
const USER_FIELDS: [&str; 3] = ["user", "safety_identifier", "prompt_cache_key"];

/// The number of the calls that this one belongs to, by `sticky` where something is configured. A
/// call that says nothing of the kind belongs to its service key's others.
pub(crate) fn number(
    sticky: Option<&Sticky>,
    client: &Client<'_>,
    caller: &Caller,
    call: &Call,
) -> u64 {
    let mut hasher = DefaultHasher::new();
    // What one caller says never leads to what belongs to another.
    caller.key.id.hash(&mut hasher);
    let by = sticky.map_or(&StickyBy::Conversation, |sticky| &sticky.by);
    match by {
        StickyBy::Header(name) => client.head.get(name).hash(&mut hasher),
        StickyBy::User => user(call).hash(&mut hasher),
        StickyBy::Conversation => {
            match SESSION_HEADERS.iter().find_map(|name| client.head.get(name)) {
                Some(session) => session.hash(&mut hasher),
                None => conversation(call, &mut hasher),
            }
        }
    }
    hasher.finish()
}

/// The same for a session that is only named.
pub(crate) fn of_session(session: &str, caller: &Caller) -> u64 {
    let mut hasher = DefaultHasher::new();
    caller.key.id.hash(&mut hasher);
    session.as_bytes().hash(&mut hasher);
    hasher.finish()
}

fn conversation(call: &Call, hasher: &mut DefaultHasher) {
    let body = call.held();
    for part in dialect::opening(body) {
        body[part].hash(hasher);
    }
}

fn user(call: &Call) -> Option<Vec<u8>> {
    let body = call.held();
    let mut found = None;
    // What is no JSON names nobody.
    let _ = dialect::members(body, |member| {
        if USER_FIELDS.iter().any(|name| member.is(body, name)) {
            found = Some(body[member.value].to_vec());
        }
    });
    found
}
