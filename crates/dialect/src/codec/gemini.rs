//! Gemini `generateContent`, `streamGenerateContent` and `countTokens`.
//!
//! Differences to the common model: the model is in the path, every key has two spellings, calls
//! may have no ids and are then paired by name and order, results are separate contents, schemas
//! may need Google's spelling, and a stream ends only with its body.

pub(crate) mod address;
mod answer_part;
mod base64;
mod decode_answer;
mod decode_config;
mod decode_contents;
mod decode_part;
mod decode_request;
mod decode_stream;
mod decode_tools;
mod encode_answer;
mod encode_config;
mod encode_contents;
mod encode_part;
mod encode_request;
mod encode_stream;
pub(crate) mod fields;
mod finish;
mod pairs;
mod schema;
mod spelling;
mod wrapped_signatures;

use super::{Ask, Codec, DecodeStream, EncodeStream, Encoded, Reply, Target};
use crate::{
    Edit, Failure, FailureKind, Grammar, MaxTokensField, Names, Profile, SystemRole, ThinkingForm,
    Value,
    chat::{Answer, MediaKind, Request},
    write,
};

/// Gemini `generateContent` and its sisters.
pub static GEMINI: &dyn Codec = &Gemini;

#[derive(Debug)]
struct Gemini;

impl Codec for Gemini {
    fn grammar(&self) -> &'static dyn Grammar {
        crate::GEMINI
    }

    fn profile(&self) -> Profile {
        Profile {
            sampling_params: true,
            penalties: false,
            thinking: ThinkingForm::Level,
            thinking_always_on: false,
            thinking_by_default: true,
            forced_tool_choice: true,
            mid_conversation_system: false,
            structured_output: true,
            json_schema: true,
            default_max_tokens: 8192,
            max_tokens_field: MaxTokensField::MaxTokens,
            system_role: SystemRole::System,
            reasoning: true,
            reasoning_content: false,
            function_call_ids: true,
            thought_signatures: true,
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
        Box::new(encode_stream::Encoder::new(&reply))
    }

    fn encode_count(&self, tokens: u64) -> Vec<u8> {
        write::object_text(|o| o.number("totalTokens", tokens)).into()
    }

    fn encode_request(
        &self,
        request: &Request<'_>,
        target: Target<'_>,
    ) -> Result<Encoded, Failure> {
        encode_request::encode(request, target)
    }

    /// "Image understanding" and "Document understanding" in Google's manual.
    fn data_only(&self, kind: MediaKind) -> &'static [&'static str] {
        match kind {
            MediaKind::Image => {
                &["image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"]
            }
            MediaKind::Document => &["application/pdf"],
            MediaKind::Audio | MediaKind::Video => &[],
        }
    }

    fn decode_answer<'a>(&self, body: &'a [u8], names: &Names) -> Result<Answer<'a>, Failure> {
        decode_answer::decode(body, names)
    }

    fn decode_stream(&self, names: Names) -> Box<dyn DecodeStream> {
        Box::new(decode_stream::Decoder::new(names))
    }

    fn decode_failure(&self, status: u16, body: &[u8]) -> Failure {
        let failure = Failure::read(status, body);
        // Google reports an invalid key as an invalid argument.
        if failure.kind == FailureKind::BadRequest
            && memchr::memmem::find(body, b"\"API_KEY_INVALID\"").is_some()
        {
            return Failure { kind: FailureKind::Unauthenticated, ..failure };
        }
        failure
    }

    fn encode_count_request(
        &self,
        request: &Request<'_>,
        target: Target<'_>,
    ) -> Option<Result<Encoded, Failure>> {
        Some(encode_request::encode_count(request, target))
    }

    fn decode_count(&self, body: &[u8]) -> Option<u64> {
        Value::read(body).ok()?.any(&["totalTokens", "total_tokens"])?.u64()
    }

    fn wrapped_signatures(&self, body: &Value<'_>) -> Vec<Edit> {
        wrapped_signatures::cuts(body)
    }
}

#[cfg(test)]
mod tests;
