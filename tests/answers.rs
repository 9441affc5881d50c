//! What goes through the binary byte by byte: the same answer with and without the gateway, in
//! every dialect, however the provider cuts, dresses or packs it; and what was counted meanwhile.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer")]

use mock::{Mock, Script};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use testkit::{Admin, Gateway, until};

/// A gateway before one mock that plays all three providers, each with one key.
struct Setting {
    gateway: Gateway,
    admin: Admin,
    providers: Mock,
    key: String,
    client: Client,
}

async fn setting() -> Setting {
    let mut gateway = Gateway::new(env!("CARGO_BIN_EXE_tollgate"))
        .with("TOLLGATE_OUTBOUND__ALLOW", "127.0.0.0/8");
    gateway.start().await;
    let providers = Mock::start(Script::default()).await.unwrap();
    let admin = gateway.admin().await;
    for provider in ["openai", "anthropic", "gemini"] {
        let upstream = json!({
            "name": provider, "base_url": providers.base_url(), "provider": provider,
            "timeout": 60, "retry_count": 2,
        });
        let id = admin.post("/api/admin/upstreams", upstream).await["id"].clone();
        let key = json!({"upstream_id": id, "name": provider, "key_value": "provider-key"});
        admin.post("/api/admin/keys", key).await;
    }
    let (_, key) = admin.service_key("app").await;
    let client = Client::builder().no_proxy().build().unwrap();
    let setting = Setting { gateway, admin, providers, key, client };
    until("the upstreams are served", || async {
        let models = setting.client.get(setting.url("/v1/models")).bearer_auth(&setting.key);
        models.send().await.ok().filter(|answer| answer.status() == 200)
    })
    .await;
    setting
}

impl Setting {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway.proxy())
    }

    /// Asks through the gateway, where the provider is to behave so.
    async fn ask(&self, path: &str, behaviours: &str, body: &Value) -> Response {
        self.providers.behave("provider-key", behaviours);
        let call = self.client.post(self.url(path)).bearer_auth(&self.key);
        call.header("anthropic-version", "2023-06-01").json(body).send().await.unwrap()
    }

    /// Asks the provider itself.
    async fn ask_directly(&self, path: &str, behaviours: &str, body: &Value) -> String {
        let call = self.client.post(format!("{}{path}", self.providers.base_url()));
        let call = call.header("x-mock", behaviours).header("x-api-key", "k");
        call.json(body).send().await.unwrap().text().await.unwrap()
    }

    /// The log entry of the call that was answered with `request_id`.
    async fn entry(&self, request_id: &str) -> Value {
        until("the log entry is there", || async {
            let list = self.admin.get("/api/admin/logs?limit=100").await;
            let mut items = list["items"].as_array().unwrap().iter();
            items.find(|entry| entry["request_id"] == request_id).cloned()
        })
        .await
    }
}

fn request_id(answer: &Response) -> String {
    answer.headers()["x-request-id"].to_str().unwrap().to_owned()
}

/// The mock numbers its answers; two of the same are the same but for that.
fn unnumbered(text: &str) -> String {
    let mut parts = text.split("mock0");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        all + "mock#" + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

fn calls() -> [(&'static str, &'static str, Value); 5] {
    let user = json!([{"role": "user", "content": "naïve – 你好"}]);
    let contents = json!([{"role": "user", "parts": [{"text": "naïve – 你好"}]}]);
    let stream = json!({"include_usage": true});
    [
        (
            "/v1/chat/completions",
            "gpt-4o",
            json!({"messages": user, "stream": true, "stream_options": stream}),
        ),
        ("/v1/responses", "gpt-4o", json!({"input": "你好", "stream": true})),
        (
            "/v1/messages",
            "claude-opus-5",
            json!({"messages": user, "max_tokens": 99, "stream": true}),
        ),
        (
            "/v1beta/models/MODEL:streamGenerateContent?alt=sse",
            "gemini-3-pro",
            json!({"contents": contents}),
        ),
        (
            "/v1beta/models/MODEL:streamGenerateContent",
            "gemini-3-pro",
            json!({"contents": contents}),
        ),
    ]
}

#[tokio::test]
async fn streams_of_every_dialect_pass_byte_by_byte_and_are_counted() {
    let setting = setting().await;
    for (path, model, body) in calls() {
        for behaviours in ["", "crlf", "comments", "split=1", "split=7, crlf", "no-done"] {
            let path = path.replace("MODEL", model);
            let mut body = body.clone();
            if !path.contains(model) {
                body["model"] = model.into();
            }
            let want = setting.ask_directly(&path, behaviours, &body).await;
            let answer = setting.ask(&path, behaviours, &body).await;
            assert_eq!(answer.status(), 200, "{path}");
            let request_id = request_id(&answer);
            let got = answer.text().await.unwrap();
            assert_eq!(unnumbered(&got), unnumbered(&want), "{path} {behaviours}");
            let entry = setting.entry(&request_id).await;
            assert_eq!(entry["usage_source"], "reported", "{path} {behaviours}: {entry}");
            let usage = &entry["usage"];
            let output = usage["output"].as_u64().unwrap();
            assert!(usage["input"].as_u64().unwrap() > 10 && output > 5, "{entry}");
            assert!(usage["cached"].as_u64().unwrap() > 0, "{entry}");
        }
    }
}

#[tokio::test]
async fn usage_is_asked_for_and_taken_out_where_the_client_did_not_ask() {
    let setting = setting().await;
    let body = json!({
        "model": "openai/gpt-4o", "stream": true,
        "messages": [{"role": "user", "content": "hi"}],
    });
    let mut plain = body.clone();
    plain["model"] = "gpt-4o".into();
    let want = setting.ask_directly("/v1/chat/completions", "", &plain).await;
    for behaviours in ["", "split=1", "crlf"] {
        setting.providers.forget();
        let answer = setting.ask("/v1/chat/completions", behaviours, &body).await;
        let request_id = request_id(&answer);
        let got = answer.text().await.unwrap().replace("\r\n", "\n");
        // The chunks say that their usage is null; that is all that differs.
        assert_eq!(unnumbered(&got.replace(",\"usage\":null", "")), unnumbered(&want));
        let sent = String::from_utf8(setting.providers.received()[0].body.to_vec()).unwrap();
        let asked = plain.to_string().replacen(
            "\"stream\":true",
            "\"stream\":true,\"stream_options\":{\"include_usage\":true}",
            1,
        );
        assert_eq!(sent, asked);
        let entry = setting.entry(&request_id).await;
        assert_eq!(entry["usage_source"], "reported", "{entry}");
    }
}

#[tokio::test]
async fn a_packed_answer_is_unpacked_on_model_routes_and_stays_packed_on_the_other() {
    let setting = setting().await;
    for stream in [false, true] {
        let body = json!({
            "model": "gpt-4o", "stream": stream, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": "hi"}],
        });
        let want = setting.ask_directly("/v1/chat/completions", "", &body).await;
        let answer = setting.ask("/v1/chat/completions", "gzip", &body).await;
        assert!(answer.headers().get("content-encoding").is_none());
        let request_id_plain = request_id(&answer);
        assert_eq!(unnumbered(&answer.text().await.unwrap()), unnumbered(&want));

        let answer = setting.ask("/proxy/openai/v1/chat/completions", "gzip", &body).await;
        assert_eq!(answer.headers()["content-encoding"], "gzip");
        let request_id_packed = request_id(&answer);
        assert!(answer.bytes().await.unwrap().starts_with(&[0x1f, 0x8b]));

        for request_id in [request_id_plain, request_id_packed] {
            let entry = setting.entry(&request_id).await;
            assert_eq!(entry["usage_source"], "reported", "{entry}");
        }
    }
}

#[tokio::test]
async fn a_packed_error_can_be_read() {
    let setting = setting().await;
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]});
    for (behaviours, status) in [("400, gzip", 400), ("500, gzip", 500)] {
        let answer = setting.ask("/v1/chat/completions", behaviours, &body).await;
        assert!(answer.headers().get("content-encoding").is_none());
        assert!(answer.status().as_u16() >= status, "{behaviours}");
        let error: Value = answer.json().await.unwrap();
        assert!(error["error"]["message"].is_string(), "{error}");
    }
}

#[tokio::test]
async fn a_form_goes_where_its_model_says() {
    let setting = setting().await;
    let form = |model: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n\
             \u{1}model\r\n\r\n--c\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n\
             {model}\r\n--b--\r\n"
        )
    };
    let answer = setting
        .client
        .post(setting.url("/v1/audio/transcriptions"))
        .bearer_auth(&setting.key)
        .header("content-type", "multipart/form-data; boundary=b")
        .body(form("openai/whisper-1"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let request_id = request_id(&answer);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["text"], "Hello from the mock.");
    let received = setting.providers.received();
    assert_eq!(received.last().unwrap().body, form("whisper-1"));
    let entry = setting.entry(&request_id).await;
    assert_eq!(
        (&entry["usage"]["input"], &entry["usage"]["input_audio"]),
        (&json!(40), &json!(30))
    );
}
