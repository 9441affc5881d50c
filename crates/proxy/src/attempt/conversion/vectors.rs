//! Embeddings, which are asked for in two ways: OpenAI's and Gemini's.
//!
//! A target takes so many texts in one call. More of them are asked for in several calls, one after
//! the other, and what was answered is kept: an attempt that fails in the middle goes on where it
//! stopped.

use std::sync::Mutex;

use bytes::Bytes;
use dialect::{
    Ask, Encoded, Failure, FailureKind, Tokens,
    embed::{EmbedAnswer, EmbedRequest, EmbedWish, gemini, openai},
};
use domain::Dialect;

/// Most texts of one request: as many as OpenAI takes.
const MOST: usize = 2048;

/// Most texts that Google takes in one call of `:batchEmbedContents`.
const MOST_OF_GEMINI: usize = 100;

/// How vectors go from a target to a client.
#[derive(Debug)]
pub(super) struct Vectors {
    client: Dialect,
    target: Dialect,
    wish: EmbedWish,
    /// The body of each call, and how many texts it has.
    calls: Vec<(Bytes, usize)>,
    /// What was answered to the first of them.
    answers: Mutex<Vec<Bytes>>,
}

/// Reads a client's question.
pub(super) fn decode(client: Dialect, ask: Ask<'_>) -> Result<EmbedRequest<'_>, Failure> {
    let (asked, field) = match client {
        Dialect::Gemini => (gemini::decode_request(ask)?, "requests"),
        _ => (openai::decode_request(ask.body)?, "input"),
    };
    if asked.inputs.len() > MOST {
        let message = format!("`{field}` has more than {MOST} texts");
        return Err(Failure::unsayable(field, message));
    }
    Ok(asked)
}

/// Says it to a target: what its calls have in common, and their bodies.
pub(super) fn encode(
    client: Dialect,
    target: Dialect,
    asked: &EmbedRequest<'_>,
    model: &str,
) -> (Encoded, Vectors) {
    let one = |asked: &EmbedRequest<'_>| match target {
        Dialect::Gemini => gemini::encode_request(asked, model),
        _ => openai::encode_request(asked, model),
    };
    let most = if target == Dialect::Gemini { MOST_OF_GEMINI } else { MOST };
    let mut encoded = Encoded::default();
    let mut calls = Vec::with_capacity(asked.inputs.len().div_ceil(most));
    for inputs in asked.inputs.chunks(most) {
        encoded = one(&EmbedRequest { inputs: inputs.to_vec(), ..asked.clone() });
        calls.push((std::mem::take(&mut encoded.body).into(), inputs.len()));
    }
    let answers = Mutex::default();
    (encoded, Vectors { client, target, wish: asked.wish, calls, answers })
}

/// An answer in the client's dialect, and what it used where that is told.
type Told = (Vec<u8>, Option<Tokens>);

impl Vectors {
    /// The body of the next call.
    pub(super) fn body(&self) -> Bytes {
        let answered = self.answers.lock().expect("nobody panics with it").len();
        self.calls.get(answered).map(|(body, _)| body.clone()).unwrap_or_default()
    }

    /// How many bytes all bodies have.
    pub(super) fn size(&self) -> u64 {
        self.calls.iter().map(|(body, _)| body.len() as u64).sum()
    }

    /// Whether there is another call to make.
    pub(super) fn has_more(&self) -> bool {
        self.answers.lock().expect("nobody panics with it").len() < self.calls.len()
    }

    /// Takes in the answer to the next call. With the last one it gives all vectors in the client's
    /// dialect, and what they used where that is told; before that nothing.
    pub(super) fn said_again(&self, body: &Bytes, model: &str) -> Result<Option<Told>, Failure> {
        let mut answers = self.answers.lock().expect("nobody panics with it");
        let wanted = self.calls.get(answers.len()).map_or(0, |(_, texts)| *texts);
        let told = self.read(body)?.vectors.len();
        if told != wanted {
            let message = format!("the provider answered {told} vectors for {wanted} texts");
            return Err(Failure::new(FailureKind::BadGateway, message));
        }
        answers.push(body.clone());
        if answers.len() < self.calls.len() {
            return Ok(None);
        }
        let mut whole = EmbedAnswer { usage: Some(Tokens::default()), ..EmbedAnswer::default() };
        for body in answers.iter() {
            let answer = self.read(body)?;
            whole.vectors.extend(answer.vectors);
            whole.usage = whole
                .usage
                .zip(answer.usage)
                .map(|(sum, more)| Tokens { input: sum.input.saturating_add(more.input), ..sum });
        }
        let said = match self.client {
            Dialect::Gemini => gemini::encode_answer(&whole, self.wish)?,
            _ => openai::encode_answer(&whole, self.wish, model)?,
        };
        Ok(Some((said, whole.usage)))
    }

    fn read<'b>(&self, body: &'b Bytes) -> Result<EmbedAnswer<'b>, Failure> {
        match self.target {
            Dialect::Gemini => gemini::decode_answer(body),
            _ => openai::decode_answer(body),
        }
    }
}
