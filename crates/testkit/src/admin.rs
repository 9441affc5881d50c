//! What an administrator says to the management plane.

use std::collections::HashMap;
use std::net::SocketAddr;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::{PASSWORD, http_client};

/// The first administrator, signed in.
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
    base: String,
    token: String,
}

/// A log entry as the API gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The `x-request-id` of the answer.
    pub request_id: String,
    /// How the call ended.
    pub outcome: String,
    /// What went to the client; 0 when nothing did.
    pub status: u64,
}

impl Admin {
    pub(crate) async fn sign_in(addr: SocketAddr) -> Admin {
        Admin::try_sign_in(addr).await.expect("the first administrator may sign in")
    }

    pub(crate) async fn try_sign_in(addr: SocketAddr) -> Option<Admin> {
        let base = format!("http://{addr}");
        let mut admin = Admin { client: http_client(), base, token: String::new() };
        let login = json!({"username": "admin", "password": PASSWORD});
        let (status, session) = admin.ask(Method::POST, "/api/auth/login", Some(login)).await;
        admin.token = session["access_token"].as_str().unwrap_or_default().to_owned();
        status.is_success().then_some(admin)
    }

    /// Asks for `path` with `body`; gives the status and the answer, whatever they are.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or(Value::Null))
    }

    async fn well(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.ask(method.clone(), path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    /// `GET`, which must succeed.
    pub async fn get(&self, path: &str) -> Value {
        self.well(Method::GET, path, None).await
    }

    /// `POST`, which must succeed.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.well(Method::POST, path, Some(body)).await
    }

    /// `PATCH`, which must succeed.
    pub async fn patch(&self, path: &str, body: Value) -> Value {
        self.well(Method::PATCH, path, Some(body)).await
    }

    /// An upstream that speaks as OpenAI does, with these provider keys.
    pub async fn upstream(&self, name: &str, base_url: &str, keys: &[&str]) -> i64 {
        let body = json!({
            "name": name, "base_url": base_url, "provider": "openai",
            "timeout": 60, "retry_count": 2,
        });
        let upstream = self.post("/api/admin/upstreams", body).await;
        let id = upstream["id"].as_i64().expect("an id");
        for (n, key) in keys.iter().enumerate() {
            let body = json!({"upstream_id": id, "name": format!("Key {n}"), "key_value": key});
            self.post("/api/admin/keys", body).await;
        }
        id
    }

    /// A new service key: its id and the key itself.
    pub async fn service_key(&self, name: &str) -> (i64, String) {
        let made = self.post("/api/admin/service-keys", json!({"name": name})).await;
        let key = made["key"].as_str().expect("the key is shown once").to_owned();
        (made["id"].as_i64().expect("an id"), key)
    }

    /// All log entries, by their request id.
    pub async fn log(&self) -> HashMap<String, Vec<Row>> {
        let mut rows: HashMap<String, Vec<Row>> = HashMap::new();
        let mut page = "/api/admin/logs?limit=100".to_owned();
        loop {
            let answer = self.get(&page).await;
            for item in answer["items"].as_array().expect("items") {
                let row = Row {
                    request_id: item["request_id"].as_str().expect("an id").to_owned(),
                    outcome: item["outcome"].as_str().expect("an outcome").to_owned(),
                    status: item["status"].as_u64().unwrap_or(0),
                };
                rows.entry(row.request_id.clone()).or_default().push(row);
            }
            match answer["next_cursor"].as_str() {
                Some(cursor) => page = format!("/api/admin/logs?limit=100&cursor={cursor}"),
                None => return rows,
            }
        }
    }
}
