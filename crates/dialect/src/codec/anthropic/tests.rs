//! What no golden case covers: rules of requests, streams and seals by example, and what holds for
//! any input.

mod answers;
mod anything;
mod asked;
mod told;

use serde_json::{Value as Json, json};

use super::ANTHROPIC;
use crate::{Ask, Encoded, Failure, Profile, Target, ThinkingForm, chat::Request};

/// A model that takes everything.
fn able() -> Profile {
    Profile {
        sampling_params: true,
        thinking: ThinkingForm::Adaptive,
        forced_tool_choice: true,
        mid_conversation_system: true,
        structured_output: true,
        default_max_tokens: 4000,
        ..ANTHROPIC.profile()
    }
}

/// One that does not yet have what the newer ones have.
fn older() -> Profile {
    Profile {
        thinking: ThinkingForm::Budget,
        mid_conversation_system: false,
        structured_output: false,
        ..able()
    }
}

fn decode(body: &[u8]) -> Result<Request<'_>, Failure> {
    ANTHROPIC.decode_request(Ask { body, model: None, stream: false, as_array: false })
}

fn encode(request: &Request<'_>, profile: &Profile) -> Result<Encoded, Failure> {
    ANTHROPIC.encode_request(request, Target { model: "claude", profile })
}

/// A question with these members beside those that it needs.
fn asking(members: Json) -> Json {
    let mut body = json!({
        "model": "m", "max_tokens": 4000, "messages": [{"role": "user", "content": "Hi"}],
    });
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn read(body: &[u8]) -> Json {
    serde_json::from_slice(body).unwrap()
}
