//! What a caller says to the data plane.

use std::net::SocketAddr;

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::http_client;

/// Whoever holds a service key.
#[derive(Debug, Clone)]
pub struct Caller {
    client: Client,
    base: String,
    key: String,
}

/// How a call looked from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The whole answer came.
    Answered,
    /// The gateway said no.
    Refused(StatusCode),
    /// The connection broke, or there was none.
    Broken,
}

impl Caller {
    pub(crate) fn new(addr: SocketAddr, key: &str) -> Caller {
        Caller { client: http_client(), base: format!("http://{addr}"), key: key.to_owned() }
    }

    /// The same caller with another service key.
    pub fn with_key(&self, key: &str) -> Caller {
        Caller { key: key.to_owned(), ..self.clone() }
    }

    /// Asks for a chat with this `x-request-id`; `streamed` or at once.
    pub fn chat(&self, request_id: &str, streamed: bool) -> RequestBuilder {
        let body = json!({
            "model": "gpt-4o", "stream": streamed,
            "messages": [{"role": "user", "content": "hello"}],
        });
        self.client
            .post(format!("{}/v1/chat/completions", self.base))
            .bearer_auth(&self.key)
            .header("x-request-id", request_id)
            .json(&body)
    }

    /// Asks for a chat and reads the answer to its end.
    pub async fn call(&self, request_id: &str, streamed: bool) -> Ended {
        let Ok(answer) = self.chat(request_id, streamed).send().await else {
            return Ended::Broken;
        };
        let status = answer.status();
        match answer.text().await {
            Ok(_) if !status.is_success() => Ended::Refused(status),
            Ok(text) if whole(&text, streamed) => Ended::Answered,
            _ => Ended::Broken,
        }
    }

    /// Asks for a chat, which must be answered.
    pub async fn answered(&self, request_id: &str) {
        assert_eq!(self.call(request_id, false).await, Ended::Answered, "{request_id}");
    }

    /// `POST path`, which must be answered. Returns the JSON of the answer.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.key);
        let answer = request.json(body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// `GET path` with the key: the status, and what is said.
    pub async fn text(&self, path: &str) -> (StatusCode, String) {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.key);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// `GET path` without a key.
    pub async fn get(&self, path: &str) -> StatusCode {
        self.client.get(format!("{}{path}", self.base)).send().await.unwrap().status()
    }
}

/// Whether nothing is missing of an answer.
fn whole(text: &str, streamed: bool) -> bool {
    if streamed {
        text.trim_end().ends_with("data: [DONE]")
    } else {
        serde_json::from_str::<Value>(text).is_ok_and(|answer| answer["choices"].is_array())
    }
}
