//! OpenAI Responses.
//!
//! Conversations and answers are lists of items: messages, calls, results, reasoning. Refusals name
//! the invalid member by its path.

mod decode_answer;
mod decode_items;
mod decode_parts;
mod decode_request;
mod decode_stream;
mod decode_tools;
mod echo;
mod encode_answer;
mod encode_items;
mod encode_parts;
mod encode_request;
mod encode_stream;
mod encode_tools;
mod failed;
mod fields;
mod output;
mod response;
#[cfg(test)]
mod tests;
mod wrapped_signatures;

use super::{Ask, Codec, DecodeStream, EncodeStream, Encoded, Reply, Target, openai};
use crate::{
    Edit, Failure, Grammar, MaxTokensField, Names, Profile, SystemRole, ThinkingForm, Value,
    chat::{Answer, Request},
};

/// OpenAI Responses.
pub static OPENAI_RESPONSES: &dyn Codec = &OpenaiResponses;

#[derive(Debug)]
struct OpenaiResponses;

impl Codec for OpenaiResponses {
    fn grammar(&self) -> &'static dyn Grammar {
        crate::OPENAI_RESPONSES
    }

    fn profile(&self) -> Profile {
        Profile {
            // Most models of this dialect reason, and those accept no sampling parameters.
            sampling_params: false,
            penalties: false,
            thinking: ThinkingForm::None,
            thinking_always_on: false,
            thinking_by_default: false,
            forced_tool_choice: true,
            mid_conversation_system: true,
            structured_output: true,
            json_schema: true,
            default_max_tokens: 32_000,
            max_tokens_field: MaxTokensField::MaxCompletionTokens,
            system_role: SystemRole::Developer,
            reasoning: true,
            reasoning_content: false,
            function_call_ids: true,
            thought_signatures: false,
            multimodal_function_response: true,
        }
    }

    fn decode_request<'a>(&self, ask: Ask<'a>) -> Result<Request<'a>, Failure> {
        decode_request::decode(ask)
    }

    fn encode_answer(&self, answer: &Answer<'_>, reply: &Reply) -> Vec<u8> {
        encode_answer::encode(answer, reply)
    }

    fn encode_stream(&self, reply: Reply) -> Box<dyn EncodeStream> {
        Box::new(encode_stream::Writer::new(reply))
    }

    fn encode_count(&self, tokens: u64) -> Vec<u8> {
        openai::counted(tokens)
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
        Box::new(decode_stream::Reader::new(names))
    }

    fn decode_failure(&self, status: u16, body: &[u8]) -> Failure {
        openai::failure(status, body)
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
