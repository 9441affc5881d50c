//! The answer of a target that was asked in its own dialect: read whole, or begun as a stream.

use bytes::{Bytes, BytesMut};
use dialect::{
    Tokens,
    chat::{Answer as Said, Block},
};
use domain::log::{Usage, UsageSource};

use super::{
    converted::{Converted, JSON, Whole},
    stream::{Began, Flow},
    wording::Wording,
};
use crate::{
    attempt::{
        exchange::{Answer, Try},
        failed::{Cause, Failed, reset},
        next::{Next, next},
    },
    client::Client,
    door::Job,
    http1::ReadError,
    memory::Held,
    refusal::Refusal,
    usage::{BYTES_PER_TOKEN, Measured, of_tokens},
};

/// Largest answer that is read whole, and largest part of it that is not counted as held.
const ANSWER_MAX: usize = 32 << 20;
const UNCOUNTED: usize = 256 << 10;

/// Reads what a target answered to `wording`, and says it in the client's dialect. What is no
/// answer is the failure of this attempt.
pub(crate) async fn received(
    wording: &Wording,
    attempt: &Try<'_>,
    mut answer: Answer,
    client: &mut Client<'_>,
) -> Result<Converted, Failed> {
    let status = answer.head.status;
    if (200..300).contains(&status) && wording.stream {
        let flow = Flow::new(wording, answer);
        return match flow.begun(client, attempt.patience()).await {
            Began::Well(flow) => Ok(Converted::Stream(flow)),
            Began::Refused(failure) => wording.no_answer(failure, status, false, attempt, client),
            Began::Broken(failed) => Err(Failed { status: Some(status), ..failed }),
        };
    }
    let body = whole(&wording.memory, &mut answer, client).await;
    let body = body.map_err(|failed| Failed { status: Some(status), ..failed })?;
    let clients = answer.verdict.is_some();
    let head = attempt.keep(answer);
    if !(200..300).contains(&status) {
        let failure = wording.target.decode_failure(status, &body);
        let answer = wording.no_answer(failure, status, clients, attempt, client)?;
        return Ok(answer.with(head, body));
    }
    match wording.said_again(&body, client.bytes_in) {
        Ok(whole) => Ok(Converted::Whole(whole).with(head, body)),
        Err(failure) => {
            let answer = wording.no_answer(failure, status, false, attempt, client)?;
            Ok(answer.with(head, body))
        }
    }
}

impl Wording {
    /// A good answer in the client's dialect.
    fn said_again(&self, body: &Bytes, asked: u64) -> Result<Whole, dialect::Failure> {
        let fields = [JSON, &self.notes].concat();
        if self.job == Job::Count {
            let Some(tokens) = self.target.decode_count(body) else {
                return Err(self.target.decode_failure(502, body));
            };
            let body = self.client.encode_count(tokens).into();
            let used = Measured::default();
            return Ok(Whole { status: 200, fields, body, used, heard: None });
        }
        if let Some(vectors) = &self.vectors {
            let told = vectors.said_again(body, &self.reply.model)?;
            // Without the last of them there is nothing to be told yet.
            let (body, tokens) = told.unwrap_or_default();
            let used = match tokens {
                Some(tokens) => (of_tokens(&tokens), UsageSource::Reported),
                None => {
                    let input = asked / BYTES_PER_TOKEN;
                    (Usage { input, ..Usage::default() }, UsageSource::Counted)
                }
            };
            return Ok(Whole { status: 200, fields, body: body.into(), used, heard: None });
        }
        let answer = self.target.decode_answer(body, &self.names)?;
        answer.left_for(self.client)?;
        let used = match answer.usage {
            Some(tokens) => (of_tokens(&tokens), UsageSource::Reported),
            None => (of_tokens(&counted(&answer, asked)), UsageSource::Counted),
        };
        let body = self.client.encode_answer(&answer, &self.reply).into();
        Ok(Whole { status: 200, fields, body, used, heard: None })
    }
}

/// The tokens of an answer that does not tell them, roughly.
fn counted(answer: &Said<'_>, asked: u64) -> Tokens {
    let blocks = answer.choices.iter().flat_map(|choice| &choice.blocks);
    let sizes = blocks.map(|block| match block {
        Block::Text { text, .. } | Block::Thinking { text, .. } | Block::Refusal(text) => {
            text.len()
        }
        Block::Call { name, input, .. } => name.text.len() + input.len(),
        // What an image costs has nothing to do with its size.
        Block::Image(_) => 0,
    });
    let output = sizes.sum::<usize>() as u64 / BYTES_PER_TOKEN;
    Tokens { input: asked / BYTES_PER_TOKEN, output, ..Tokens::default() }
}

/// The whole body of an answer.
async fn whole(
    question: &Held,
    answer: &mut Answer,
    client: &mut Client<'_>,
) -> Result<Bytes, Failed> {
    let (mut pieces, mut size) = (Vec::new(), 0);
    // Many large answers at once are counted like the questions.
    let (mut held, mut budget) = (UNCOUNTED, None);
    loop {
        for piece in answer.incoming.ready.drain(..) {
            size += piece.len();
            pieces.push(piece);
        }
        if size > ANSWER_MAX {
            return Err(Failed::upstream(Cause::TooLarge, "the provider's answer is too large"));
        }
        if size > held {
            held = size.saturating_mul(2);
            // The old part is given back once the new one is counted.
            budget = Some(question.another(held as u64).ok_or_else(|| {
                Failed::upstream(Cause::Busy, "the gateway holds as many answers as it may")
            })?);
        }
        if answer.incoming.is_finished() {
            break;
        }
        match next(client, answer, None).await {
            Next::Some | Next::End => {}
            Next::Gone => return Err(Failed::client(Refusal::ClientGone)),
            Next::Broken(ReadError::TimedOut) => return Err(Failed::too_slow()),
            Next::Broken(_) | Next::Revoked(_) => return Err(reset()),
        }
    }
    drop(budget);
    if let [piece] = pieces.as_slice() {
        return Ok(piece.clone());
    }
    let mut body = BytesMut::with_capacity(size);
    pieces.iter().for_each(|piece| body.extend_from_slice(piece));
    Ok(body.freeze())
}
