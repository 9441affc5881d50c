//! OpenAI Chat Completions.
//!
//! Most servers speak this dialect, with small differences: decoding is tolerant and encoding is
//! strict. A message has one text, so the order of texts and calls is lost; tools, results and
//! images follow OpenAI's form.

mod decode_answer;
mod decode_content;
mod decode_faults;
mod decode_request;
mod decode_stream;
mod decode_tools;
mod encode_answer;
mod encode_messages;
mod encode_request;
mod encode_stream;
mod layout;
mod signatures;
mod streamed_call;
#[cfg(test)]
mod tests;
mod wrapped_signatures;

use super::openai;
use crate::{
    Ask, Codec, DecodeStream, Edit, EncodeStream, Encoded, Failure, Grammar, MaxTokensField, Names,
    Profile, Reply, SystemRole, Target, ThinkingForm, Value,
    chat::{Answer, MediaKind, Request},
};

/// The codec of Chat Completions.
pub static OPENAI_CHAT: &dyn Codec = &OpenAiChat;

#[derive(Debug)]
struct OpenAiChat;

impl Codec for OpenAiChat {
    fn grammar(&self) -> &'static dyn Grammar {
        crate::OPENAI_CHAT
    }

    fn profile(&self) -> Profile {
        Profile {
            sampling_params: true,
            penalties: true,
            thinking: ThinkingForm::None,
            thinking_always_on: false,
            thinking_by_default: false,
            forced_tool_choice: true,
            mid_conversation_system: true,
            structured_output: true,
            json_schema: true,
            default_max_tokens: 4096,
            max_tokens_field: MaxTokensField::MaxCompletionTokens,
            system_role: SystemRole::System,
            reasoning: false,
            reasoning_content: false,
            function_call_ids: true,
            thought_signatures: false,
            multimodal_function_response: false,
        }
    }

    fn decode_request<'a>(&self, ask: Ask<'a>) -> Result<Request<'a>, Failure> {
        decode_request::decode(ask)
    }

    fn encode_answer(&self, answer: &Answer<'_>, reply: &Reply) -> Vec<u8> {
        encode_answer::encode(answer, reply)
    }

    fn encode_stream(&self, reply: Reply) -> Box<dyn EncodeStream> {
        Box::new(encode_stream::Encoder::new(&reply))
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

    /// Documents go as data (OpenAI's "File inputs"); images go either way.
    fn data_only(&self, kind: MediaKind) -> &'static [&'static str] {
        match kind {
            MediaKind::Document => &["application/pdf"],
            MediaKind::Image | MediaKind::Audio | MediaKind::Video => &[],
        }
    }

    fn decode_answer<'a>(&self, body: &'a [u8], names: &Names) -> Result<Answer<'a>, Failure> {
        decode_answer::decode(body, names)
    }

    fn decode_stream(&self, names: Names) -> Box<dyn DecodeStream> {
        Box::new(decode_stream::Decoder::new(names))
    }

    fn decode_failure(&self, status: u16, body: &[u8]) -> Failure {
        openai::failure(status, body)
    }

    fn encode_count_request(
        &self,
        _request: &Request<'_>,
        _target: Target<'_>,
    ) -> Option<Result<Encoded, Failure>> {
        None
    }

    fn decode_count(&self, _body: &[u8]) -> Option<u64> {
        None
    }

    fn wrapped_signatures(&self, body: &Value<'_>) -> Vec<Edit> {
        wrapped_signatures::cuts(body)
    }
}
