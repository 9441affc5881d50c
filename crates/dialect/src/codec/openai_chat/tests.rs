//! Tests of the codec, by what goes in and what comes out.

mod answers;
mod chunks;
mod order;
mod refusals;
mod requests;
mod streams;
mod told;

use super::OPENAI_CHAT;
use crate::{Ask, Encoded, Failure, Profile, Target, chat::Request};

fn decode(body: &str) -> Result<Request<'_>, Failure> {
    let body = body.as_bytes();
    OPENAI_CHAT.decode_request(Ask { body, model: None, stream: false, as_array: false })
}

fn encode(request: &Request<'_>, profile: &Profile) -> Result<Encoded, Failure> {
    OPENAI_CHAT.encode_request(request, Target { model: "up", profile })
}
