//! Anthropic Messages (`POST /v1/messages`).
//!
//! Differences to the common model: the system prompt is a separate field, an output limit is
//! required, user and assistant alternate, tool results are in the user's turn, reasoning is
//! signed, and cached tokens are not included in the input.

mod decode_answer;
mod decode_content;
mod decode_faults;
mod decode_request;
mod decode_stream;
mod decode_tools;
mod encode_answer;
mod encode_request;
mod encode_stream;
mod encode_turns;
mod parts;
mod schema;
mod settings;
#[cfg(test)]
mod tests;
mod tool_id;
mod wrapped_signatures;

use super::{Ask, Codec, DecodeStream, EncodeStream, Encoded, Reply, Target};
use crate::{
    Edit, Failure, FailureKind, Grammar, Names, Profile, ThinkingForm, Value,
    chat::{Answer, Request},
    profile::{MaxTokensField, SystemRole},
    write,
};

/// Anthropic Messages.
pub static ANTHROPIC: &dyn Codec = &Anthropic;

#[derive(Debug)]
struct Anthropic;

impl Codec for Anthropic {
    fn grammar(&self) -> &'static dyn Grammar {
        crate::ANTHROPIC
    }

    fn profile(&self) -> Profile {
        Profile {
            sampling_params: true,
            penalties: false,
            thinking: ThinkingForm::Budget,
            thinking_always_on: false,
            thinking_by_default: false,
            forced_tool_choice: true,
            mid_conversation_system: false,
            structured_output: false,
            json_schema: true,
            default_max_tokens: 8192,
            max_tokens_field: MaxTokensField::MaxTokens,
            system_role: SystemRole::System,
            reasoning: true,
            reasoning_content: false,
            function_call_ids: true,
            thought_signatures: false,
            multimodal_function_response: true,
        }
    }

    fn decode_request<'a>(&self, ask: Ask<'a>) -> Result<Request<'a>, Failure> {
        decode_request::decode(ask, false)
    }

    fn decode_count_request<'a>(&self, ask: Ask<'a>) -> Result<Request<'a>, Failure> {
        decode_request::decode(ask, true)
    }

    fn has_images(&self) -> bool {
        false
    }

    fn encode_answer(&self, answer: &Answer<'_>, reply: &Reply) -> Vec<u8> {
        encode_answer::encode(answer, reply)
    }

    fn encode_stream(&self, reply: Reply) -> Box<dyn EncodeStream> {
        Box::new(encode_stream::Stream::new(reply))
    }

    fn status(&self, kind: FailureKind) -> u16 {
        status(kind)
    }

    fn encode_count(&self, tokens: u64) -> Vec<u8> {
        write::object_text(|o| o.number("input_tokens", tokens)).into_bytes()
    }

    fn encode_request(
        &self,
        request: &Request<'_>,
        target: Target<'_>,
    ) -> Result<Encoded, Failure> {
        encode_request::encode(request, target)
    }

    fn decode_answer<'a>(&self, body: &'a [u8], names: &Names) -> Result<Answer<'a>, Failure> {
        decode_answer::decode(body, names)
    }

    fn decode_stream(&self, names: Names) -> Box<dyn DecodeStream> {
        Box::new(decode_stream::Stream::new(names))
    }

    fn encode_count_request(
        &self,
        request: &Request<'_>,
        target: Target<'_>,
    ) -> Option<Result<Encoded, Failure>> {
        Some(encode_request::encode_count(request, target))
    }

    fn decode_count(&self, body: &[u8]) -> Option<u64> {
        Value::read(body).ok()?.get("input_tokens").u64()
    }

    fn wrapped_signatures(&self, body: &Value<'_>) -> Vec<Edit> {
        wrapped_signatures::cuts(body)
    }
}

/// Returns the status of an error; overloads have their own status (529).
fn status(kind: FailureKind) -> u16 {
    match kind {
        FailureKind::Overloaded => 529,
        kind => kind.status(),
    }
}
