//! Embeddings, which are asked for in two ways: OpenAI's and Gemini's.

use dialect::{
    Ask, Encoded, Failure, Tokens,
    embed::{EmbedAnswer, EmbedRequest, EmbedWish, gemini, openai},
};
use domain::Dialect;

/// How vectors go from a target to a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vectors {
    pub(super) client: Dialect,
    pub(super) target: Dialect,
    pub(super) wish: EmbedWish,
}

/// Reads a client's question.
pub(super) fn decode(client: Dialect, ask: Ask<'_>) -> Result<EmbedRequest<'_>, Failure> {
    match client {
        Dialect::Gemini => gemini::decode_request(ask),
        _ => openai::decode_request(ask.body),
    }
}

/// Says it to a target.
pub(super) fn encode(target: Dialect, asked: &EmbedRequest<'_>, model: &str) -> Encoded {
    match target {
        Dialect::Gemini => gemini::encode_request(asked, model),
        _ => openai::encode_request(asked, model),
    }
}

impl Vectors {
    /// The target's answer in the client's dialect, and what it used where that is told.
    pub(super) fn said_again(
        self,
        body: &[u8],
        model: &str,
    ) -> Result<(Vec<u8>, Option<Tokens>), Failure> {
        let answer: EmbedAnswer<'_> = match self.target {
            Dialect::Gemini => gemini::decode_answer(body)?,
            _ => openai::decode_answer(body)?,
        };
        let said = match self.client {
            Dialect::Gemini => gemini::encode_answer(&answer, self.wish)?,
            _ => openai::encode_answer(&answer, self.wish, model)?,
        };
        Ok((said, answer.usage))
    }
}
