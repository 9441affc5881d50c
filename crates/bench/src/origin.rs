//! The upstream of the bench: HTTP/1.1 read and written by hand, one write for an answer, one write
//! for an event. It speaks OpenAI Chat Completions, and Anthropic Messages at `/v1/messages`. What it
//! answers is asked for in the body, so that it passes through any gateway: `"stream":true` asks for
//! events, `events=<n>` for how many, `pace=<ms>` for the time between two.

use std::{sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{MissedTickBehavior, interval},
};

/// How much of a body is searched for what it asks for.
const WISHES: usize = 4096;

/// Answers until the process ends.
pub(crate) async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let answers = Arc::new([Answers::chat_completions(), Answers::messages()]);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answers = answers.clone();
        // An upstream does not care how a connection of its client ended.
        tokio::spawn(async move { converse(&answers, stream).await.ok() });
    }
}

/// What is answered in one dialect.
struct Answers {
    whole: Vec<u8>,
    first_events: Vec<u8>,
    event: Vec<u8>,
    last_events: Vec<u8>,
}

/// What one request asked for.
struct Wish {
    messages: bool,
    stream: bool,
    events: u64,
    pace: u64,
}

/// The text of a whole answer.
fn words() -> String {
    "The quick brown fox jumps over the lazy dog. ".repeat(16)
}

impl Answers {
    fn chat_completions() -> Self {
        let body = format!(
            r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"gpt-bench","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":180,"completion_tokens":160,"total_tokens":340}}}}"#,
            words()
        );
        let chunk_of = |rest: &str| {
            chunk(&format!(
                r#"data: {{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"gpt-bench",{rest}}}"#
            ))
        };
        let mut last_events =
            chunk_of(r#""choices":[{"index":0,"delta":{},"finish_reason":"stop"}]"#);
        last_events.extend(chunk_of(
            r#""choices":[],"usage":{"prompt_tokens":180,"completion_tokens":200,"total_tokens":380}"#,
        ));
        last_events.extend(chunk("data: [DONE]"));
        last_events.extend(b"0\r\n\r\n");
        Self {
            whole: whole(&body),
            first_events: Vec::new(),
            event: chunk_of(
                r#""choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]"#,
            ),
            last_events,
        }
    }

    fn messages() -> Self {
        let body = format!(
            r#"{{"id":"msg_bench","type":"message","role":"assistant","model":"claude-bench","content":[{{"type":"text","text":"{}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":180,"output_tokens":160}}}}"#,
            words()
        );
        let event = |kind: &str, rest: &str| {
            chunk(&format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{rest}}}"))
        };
        let mut first_events = event(
            "message_start",
            r#","message":{"id":"msg_bench","type":"message","role":"assistant","model":"claude-bench","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":180,"output_tokens":1}}"#,
        );
        first_events.extend(event(
            "content_block_start",
            r#","index":0,"content_block":{"type":"text","text":""}"#,
        ));
        let mut last_events = event("content_block_stop", r#","index":0"#);
        last_events.extend(event(
            "message_delta",
            r#","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":200}"#,
        ));
        last_events.extend(event("message_stop", ""));
        last_events.extend(b"0\r\n\r\n");
        Self {
            whole: whole(&body),
            first_events,
            event: event(
                "content_block_delta",
                r#","index":0,"delta":{"type":"text_delta","text":" word"}"#,
            ),
            last_events,
        }
    }

    async fn stream(&self, stream: &mut TcpStream, wish: Wish) -> anyhow::Result<()> {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\nx-request-id: bench\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head).await?;
        if !self.first_events.is_empty() {
            stream.write_all(&self.first_events).await?;
        }
        let mut pace = (wish.pace > 0).then(|| {
            let mut pace = interval(Duration::from_millis(wish.pace));
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pace
        });
        for _ in 0..wish.events {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            stream.write_all(&self.event).await?;
        }
        stream.write_all(&self.last_events).await?;
        Ok(())
    }
}

/// Answers one connection until its client closes it.
async fn converse(answers: &[Answers; 2], mut stream: TcpStream) -> anyhow::Result<()> {
    let mut read = BytesMut::with_capacity(4096);
    while let Some(wish) = next_request(&mut stream, &mut read).await? {
        let answers = &answers[usize::from(wish.messages)];
        if wish.stream {
            answers.stream(&mut stream, wish).await?
        } else {
            stream.write_all(&answers.whole).await?
        }
    }
    Ok(())
}

/// An answer in one piece.
fn whole(body: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: bench\r\n";
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// An event as a chunk of its own.
fn chunk(event: &str) -> Vec<u8> {
    format!("{:x}\r\n{event}\n\n\r\n", event.len() + 2).into_bytes()
}

/// Reads one request and throws its body away. `None` when the client has closed.
async fn next_request(stream: &mut TcpStream, read: &mut BytesMut) -> anyhow::Result<Option<Wish>> {
    let head_end = loop {
        if let Some(at) = memmem::find(read, b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    };
    let head = read[..head_end].to_ascii_lowercase();
    let length = number_after(&head, b"content-length: ");
    read.advance(head_end);
    if length.is_none() && memmem::find(&head, b"transfer-encoding: chunked").is_some() {
        while !read.ends_with(b"0\r\n\r\n") {
            anyhow::ensure!(stream.read_buf(read).await? > 0, "closed in mid-body");
        }
        let wish = Wish::read(&head, read);
        read.clear();
        return Ok(Some(wish));
    }
    let mut left = length.unwrap_or(0) as usize;
    while read.len() < left.min(WISHES) {
        anyhow::ensure!(stream.read_buf(read).await? > 0, "closed in mid-body");
    }
    let wish = Wish::read(&head, &read[..left.min(read.len())]);
    loop {
        let here = left.min(read.len());
        read.advance(here);
        left -= here;
        if left == 0 {
            return Ok(Some(wish));
        }
        read.clear();
        read.reserve(64 * 1024);
        anyhow::ensure!(stream.read_buf(read).await? > 0, "closed in mid-body");
    }
}

impl Wish {
    /// The wishes stand in the first bytes of the body.
    fn read(head: &[u8], body: &[u8]) -> Self {
        let start = &body[..body.len().min(WISHES)];
        Self {
            messages: head.starts_with(b"post /v1/messages "),
            stream: memmem::find(start, br#""stream":true"#).is_some(),
            events: number_after(start, b"events=").unwrap_or(200),
            pace: number_after(start, b"pace=").unwrap_or(0),
        }
    }
}

fn number_after(text: &[u8], mark: &[u8]) -> Option<u64> {
    let at = memmem::find(text, mark)? + mark.len();
    let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_chat_is_answered_with_its_usage() {
        let answer = ask("POST /v1 HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(answer.contains(r#""total_tokens":340"#));
    }

    #[tokio::test]
    async fn a_stream_has_as_many_events_as_the_body_asks_for() {
        let body = r#"{"stream":true,"user":"events=3 pace=1"}"#;
        let request = format!("POST /v1 HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let answer = ask(&request).await;
        assert_eq!(answer.matches("data: ").count(), 3 + 3, "finish, usage and end come on top");
        assert!(answer.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"));
    }

    #[tokio::test]
    async fn messages_are_answered_in_their_own_dialect() {
        let body = r#"{"stream":true,"system":"events=3 pace=1"}"#;
        let head = format!("POST /v1/messages HTTP/1.1\r\nContent-Length: {}", body.len());
        let answer = ask(&format!("{head}\r\n\r\n{body}")).await;
        assert_eq!(answer.matches("text_delta").count(), 3);
        assert!(answer.contains("event: message_stop") && answer.ends_with("0\r\n\r\n"));
        let whole = ask("POST /v1/messages HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}").await;
        assert!(whole.contains(r#""stop_reason":"end_turn""#));
    }

    #[tokio::test]
    async fn a_chunked_body_is_understood_and_two_requests_fit_on_one_connection() {
        let chunked = "POST /v1 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        assert_eq!(ask(chunked).await.matches("HTTP/1.1 200").count(), 1);
        let twice = "POST /v1 HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}".repeat(2);
        assert_eq!(ask(&twice).await.matches("HTTP/1.1 200").count(), 2);
    }
}
