//! What came in: whose key, and what is asked.
//!
//! The key is looked for before a byte of body is read, digested at once, and goes no further. Model
//! routes read a JSON body whole (bounded), so that an attempt can be repeated, and a form as far as
//! its model stands; everything else is passed on as it comes.

mod body;
mod call;
mod find;
mod key;
mod named;

use std::sync::Arc;

use bytes::Bytes;
use dialect::Malformed;
use domain::Caller;

use self::named::{model_outside_body, names_model_in_query};
use crate::{
    client::Client,
    door::Door,
    memory::{BodyMemory, Holders},
    refusal::Refusal,
    settings::Settings,
};

pub(crate) use self::{
    call::{Body, Call, ModelAt},
    key::{holds_a_key, shown_key},
    named::named_model,
};

/// Reads what is asked, as far as it decides where the call goes: JSON on a model route whole, a
/// form up to its model. Other bodies are read whole where they are small enough to be repeated, and
/// left with the client where they are not.
pub(crate) async fn call(
    settings: &Settings,
    memory: &Arc<BodyMemory>,
    client: &mut Client<'_>,
    caller: &Caller,
    door: Door,
) -> Result<Call, Refusal> {
    let websocket = client.head.asks_for_websocket();
    let mut call = Call {
        model: model_outside_body(&client.head, &door),
        model_in_query: names_model_in_query(&client.head, &door),
        model_differs: false,
        door,
        body: Body::Held { bytes: Bytes::new(), memory: None },
        model_at: None,
        ask_usage: None,
        wrapped_signatures: Vec::new(),
        unpacked: false,
        websocket,
    };
    if websocket {
        return Ok(call);
    }
    let reading = body::Reading::of(&call, &client.head)?;
    if !client.head.has_body() {
        return if reading.needs_a_body() { Err(Malformed::Empty.into()) } else { Ok(call) };
    }
    let holders = Holders::of(caller.key.id, settings.counted(client.ip));
    body::read((settings, memory), client, holders, reading, &mut call).await?;
    Ok(call)
}
