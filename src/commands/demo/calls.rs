//! The calls of the demo: chats and streams, in all three dialects, several at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

/// How many calls are under way at once.
const AT_ONCE: usize = 8;

/// A dialect as the demo calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    OpenAi,
    Anthropic,
    Gemini,
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    speaks: Speaks,
    stream: bool,
}

/// What came of it, as the client saw it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) call: Call,
    pub(super) status: u16,
    pub(super) first_byte: Duration,
}

/// 120 calls: half of them to the big pool, every third one a stream.
pub(super) fn plan() -> Vec<Call> {
    let speaks = |i| match i % 4 {
        0 | 2 => Speaks::OpenAi,
        1 => Speaks::Anthropic,
        _ => Speaks::Gemini,
    };
    (0..120).map(|i| Call { speaks: speaks(i), stream: i % 3 == 0 }).collect()
}

/// Makes the calls, a few at a time.
pub(super) async fn make(base: &str, key: &str, plan: &[Call]) -> anyhow::Result<Vec<Served>> {
    let client = Client::new();
    let turnstile = Arc::new(Semaphore::new(AT_ONCE));
    let mut under_way = JoinSet::new();
    for call in plan.iter().copied() {
        let (client, turnstile) = (client.clone(), turnstile.clone());
        let (base, key) = (base.to_owned(), key.to_owned());
        under_way.spawn(async move {
            let _place = turnstile.acquire_owned().await?;
            one(call.request(&client, &base, &key), call).await
        });
    }
    under_way.join_all().await.into_iter().collect()
}

async fn one(request: RequestBuilder, call: Call) -> anyhow::Result<Served> {
    let begun = Instant::now();
    let mut answer = request.send().await?;
    let status = answer.status().as_u16();
    let mut first_byte = None;
    while let Some(_chunk) = answer.chunk().await.context("an answer broke off")? {
        first_byte.get_or_insert_with(|| begun.elapsed());
    }
    Ok(Served { call, status, first_byte: first_byte.unwrap_or_else(|| begun.elapsed()) })
}

impl Call {
    /// The request as the provider's own client would send it.
    fn request(self, client: &Client, base: &str, key: &str) -> RequestBuilder {
        let words = "Say hello to whoever reads this demo.";
        let (path, body): (&str, Value) = match (self.speaks, self.stream) {
            (Speaks::OpenAi, stream) => (
                "/v1/chat/completions",
                json!({"model": "openai/gpt-4o-mini", "stream": stream,
                       "messages": [{"role": "user", "content": words}]}),
            ),
            (Speaks::Anthropic, stream) => (
                "/v1/messages",
                json!({"model": "anthropic/claude-sonnet-4-5", "max_tokens": 64, "stream": stream,
                       "messages": [{"role": "user", "content": words}]}),
            ),
            (Speaks::Gemini, stream) => (
                if stream {
                    "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
                } else {
                    "/v1beta/models/gemini-2.5-flash:generateContent"
                },
                json!({"contents": [{"role": "user", "parts": [{"text": words}]}]}),
            ),
        };
        let request = client.post(format!("{base}{path}")).json(&body);
        match self.speaks {
            Speaks::OpenAi => request.bearer_auth(key),
            Speaks::Anthropic => {
                request.header("x-api-key", key).header("anthropic-version", "2023-06-01")
            }
            Speaks::Gemini => request.header("x-goog-api-key", key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_calls_go_to_the_big_pool_and_all_dialects_stream() {
        let plan = plan();
        let count = |speaks, stream: bool| {
            plan.iter().filter(|c| c.speaks == speaks && (!stream || c.stream)).count()
        };
        assert_eq!(count(Speaks::OpenAi, false), 60);
        for speaks in [Speaks::OpenAi, Speaks::Anthropic, Speaks::Gemini] {
            assert!(count(speaks, true) >= 10);
        }
    }
}
