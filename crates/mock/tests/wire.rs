//! The mock over a plain socket: what the gateway's tests rely on must itself be true.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::{io::Read, net::SocketAddr, time::Duration};

use mock::{Ending, Mock, Script};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);

struct Answer {
    status: u16,
    head: String,
    /// Without chunks' framing.
    body: Vec<u8>,
    /// As they were sent; one where the length was told.
    chunks: Vec<Vec<u8>>,
    /// Whether the body came to its own end.
    whole: bool,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn events(&self) -> Vec<Value> {
        let text = self.text();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]").map(|d| serde_json::from_str(d).unwrap()).collect()
    }
}

fn request(method: &str, target: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nhost: mock\r\ncontent-length: {length}\r\n\
         connection: close\r\n{headers}\r\n{body}"
    )
}

async fn send(addr: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap();
    parse(&bytes, end.is_ok())
}

fn parse(bytes: &[u8], in_order: bool) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.get(9..12).map_or(0, |status| status.parse().unwrap());
    let rest = bytes.get(end + 4..).unwrap_or_default();
    if !head.contains("transfer-encoding: chunked") {
        let length = head.split("content-length: ").nth(1);
        let length: usize = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
        let whole = in_order && !head.is_empty() && rest.len() == length;
        return Answer { status, head, body: rest.to_vec(), chunks: vec![rest.to_vec()], whole };
    }
    let (chunks, whole) = chunks(rest);
    Answer { status, head, body: chunks.concat(), chunks, whole: whole && in_order }
}

fn chunks(mut rest: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut chunks = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return (chunks, true);
        }
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else { break };
        chunks.push(chunk.to_vec());
        rest = rest.get(end + 4 + size..).unwrap_or_default();
    }
    (chunks, false)
}

async fn mock() -> Mock {
    Mock::start(Script::default()).await.unwrap()
}

async fn chat(mock: &Mock, key: &str, stream: bool) -> Answer {
    let body = json!({
        "model": "gpt-4o", "stream": stream, "messages": [{"role": "user", "content": "hi"}],
        "stream_options": {"include_usage": true},
    });
    let headers = format!("authorization: Bearer {key}\r\n");
    send(mock.addr, &request("POST", "/v1/chat/completions", &headers, &body.to_string())).await
}

async fn post(mock: &Mock, target: &str, headers: &str, body: Value) -> Answer {
    let headers = format!("x-api-key: k\r\n{headers}");
    send(mock.addr, &request("POST", target, &headers, &body.to_string())).await
}

#[tokio::test]
async fn every_dialect_chats_and_streams_the_same_words() {
    let mock = mock().await;
    let user = json!([{"role": "user", "content": "hi"}]);
    let contents = json!([{"role": "user", "parts": [{"text": "hi"}]}]);

    let answer = chat(&mock, "k", false).await;
    let said = answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(said.starts_with("You said “hi”."), "{said}");
    assert!(answer.json()["usage"]["prompt_tokens"].as_u64().unwrap() > 10);
    let stream = chat(&mock, "k", true).await;
    let joined = |events: &[Value], pointer: &str| {
        let parts = events.iter().filter_map(|event| event.pointer(pointer)?.as_str());
        parts.collect::<String>()
    };
    assert_eq!(joined(&stream.events(), "/choices/0/delta/content"), said);
    assert!(stream.text().ends_with("data: [DONE]\n\n") && stream.whole);
    assert_eq!(stream.events().last().unwrap()["choices"], json!([]));

    let body = json!({"model": "claude", "max_tokens": 99, "messages": user});
    let answer = post(&mock, "/v1/messages", "", body.clone()).await;
    assert_eq!(answer.json()["content"][0]["text"], said);
    let mut body = body;
    body["stream"] = true.into();
    let stream = post(&mock, "/v1/messages", "", body).await;
    assert_eq!(joined(&stream.events(), "/delta/text"), said);
    assert_eq!(stream.events().last().unwrap()["type"], "message_stop");

    let body = json!({"model": "gpt", "input": "hi"});
    let answer = post(&mock, "/v1/responses", "", body).await;
    assert_eq!(answer.json()["output"][0]["content"][0]["text"], said);
    let stream =
        post(&mock, "/v1/responses", "", json!({"model": "g", "input": "hi", "stream": true}))
            .await;
    assert_eq!(joined(&stream.events(), "/delta"), said);
    let events = stream.events();
    assert!(events.iter().enumerate().all(|(at, event)| event["sequence_number"] == at));
    assert_eq!(events.last().unwrap()["type"], "response.completed");

    let body = json!({"contents": contents});
    let path = "/v1beta/models/gemini-3-pro";
    let answer = post(&mock, &format!("{path}:generateContent"), "", body.clone()).await;
    assert_eq!(answer.json()["candidates"][0]["content"]["parts"][0]["text"], said);
    let target = format!("{path}:streamGenerateContent?alt=sse");
    let stream = post(&mock, &target, "", body.clone()).await;
    assert_eq!(joined(&stream.events(), "/candidates/0/content/parts/0/text"), said);
    let array = post(&mock, &format!("{path}:streamGenerateContent"), "", body).await;
    let all = array.json();
    assert_eq!(joined(all.as_array().unwrap(), "/candidates/0/content/parts/0/text"), said);
}

#[tokio::test]
async fn tools_are_called_and_their_results_end_it() {
    let mock = mock().await;
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let function = json!({"name": "weather", "parameters": schema});
    let tools = json!([{"type": "function", "function": function}]);
    let asked = json!({"role": "user", "content": "weather?"});

    let body = json!({"model": "m", "messages": [asked], "tools": tools});
    let answer = post(&mock, "/v1/chat/completions", "", body).await.json();
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    let call = &answer["choices"][0]["message"]["tool_calls"][0];
    let arguments: Value =
        serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments, json!({"city": "東京 (Tōkyō)"}));
    let result = json!({"role": "tool", "tool_call_id": call["id"], "content": "sunny"});
    let messages = json!([asked, answer["choices"][0]["message"], result]);
    let body = json!({"model": "m", "messages": messages, "tools": tools});
    let answer = post(&mock, "/v1/chat/completions", "", body).await.json();
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().contains("sunny"));

    let tools = json!([{"name": "weather", "input_schema": schema}]);
    let body = json!({"model": "m", "max_tokens": 9, "messages": [asked], "tools": tools,
        "stream": true, "thinking": {"type": "enabled", "budget_tokens": 5}});
    let events = post(&mock, "/v1/messages", "", body).await.events();
    let kinds: Vec<&str> =
        events.iter().filter_map(|event| event["content_block"]["type"].as_str()).collect();
    assert_eq!(kinds, ["thinking", "tool_use"]);
    let json: String =
        events.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), arguments);

    let tools = json!([{"type": "custom", "name": "patch"}]);
    let body = json!({"model": "m", "input": "x", "tools": tools, "stream": true,
        "reasoning": {"effort": "low"}});
    let events = post(&mock, "/v1/responses", "", body).await.events();
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["type"], "reasoning");
    assert_eq!(output[1]["type"], "custom_tool_call");

    let tools = json!([{"functionDeclarations": [function]}]);
    let contents = json!([{"parts": [{"text": "weather?"}]}]);
    let body = json!({"contents": contents, "tools": tools});
    let answer = post(&mock, "/v1/models/gemini-3-pro:generateContent", "", body).await.json();
    let part = &answer["candidates"][0]["content"]["parts"][0];
    assert_eq!(part["functionCall"]["args"], arguments);
}

#[tokio::test]
async fn the_other_endpoints_answer_too() {
    let mock = mock().await;
    let ask = json!({"model": "e", "input": ["a", "b"]});
    let floats = post(&mock, "/v1/embeddings", "", ask).await.json();
    assert_eq!(floats["data"][1]["embedding"].as_array().unwrap().len(), 8);
    let ask = json!({"model": "e", "input": [1, 2], "encoding_format": "base64", "dimensions": 3});
    let packed = post(&mock, "/v1/embeddings", "", ask).await.json();
    assert_eq!(packed["data"][0]["embedding"].as_str().unwrap().len(), 16);

    let gemini = "/v1beta/models/gemini-embedding-001";
    let one = json!({"content": {"parts": [{"text": "a"}]}});
    let answer = post(&mock, &format!("{gemini}:embedContent"), "", one.clone()).await.json();
    assert_eq!(answer["embedding"]["values"].as_array().unwrap().len(), 8);
    let target = format!("{gemini}:batchEmbedContents");
    let answer = post(&mock, &target, "", json!({"requests": [one, one]})).await.json();
    assert_eq!(answer["embeddings"].as_array().unwrap().len(), 2);
    let answer = post(&mock, &format!("{gemini}:countTokens"), "", json!({})).await.json();
    assert_eq!(answer["totalTokens"], 1);

    for (target, pointer) in [
        ("/v1/messages/count_tokens", "/input_tokens"),
        ("/v1/responses/input_tokens", "/input_tokens"),
        ("/v1/images/generations", "/data/0/b64_json"),
        ("/v1/audio/transcriptions", "/text"),
        ("/v1/moderations", "/results/0/flagged"),
        ("/v1/files", "/id"),
    ] {
        let answer = post(&mock, target, "", json!({"model": "m"})).await.json();
        assert!(answer.pointer(pointer).is_some(), "{target}: {answer}");
    }
    let speech = post(&mock, "/v1/audio/speech", "", json!({})).await;
    assert_eq!((speech.body.len(), speech.chunks.len()), (16384, 4));

    let get = async |target: &str, headers: &str| {
        send(mock.addr, &request("GET", target, headers, "")).await.json()
    };
    let bearer = "authorization: Bearer k\r\n";
    assert_eq!(get("/v1/models", bearer).await["object"], "list");
    assert_eq!(get("/v1/models/gpt-4o", bearer).await["id"], "gpt-4o");
    assert_eq!(get("/v1/models/no", bearer).await["error"]["code"], "model_not_found");
    let anthropic = "x-api-key: k\r\nanthropic-version: 2023-06-01\r\n";
    assert_eq!(get("/v1/models", anthropic).await["has_more"], false);
    assert!(get("/v1beta/models?key=k", "").await["models"].is_array());
    assert_eq!(get("/v1/files", bearer).await["data"][0]["object"], "file");
    assert_eq!(get("/v1/files/file-1", bearer).await["id"], "file-1");
    assert_eq!(get("/v1/nothing", bearer).await["error"]["code"], "unknown_url");
}

#[tokio::test]
async fn statuses_come_in_the_dialect_of_the_path() {
    let mock = mock().await;
    let limited = chat(&mock, "sk.429=7", false).await;
    assert_eq!(
        (limited.status, limited.json()["error"]["type"].clone()),
        (429, "rate_limit_error".into())
    );
    assert!(limited.head.contains("retry-after: 7"));
    let busy = post(&mock, "/v1/messages", "x-mock: 529\r\n", json!({})).await;
    assert_eq!(
        (busy.status, busy.json()["error"]["type"].clone()),
        (529, "overloaded_error".into())
    );
    let target = "/v1beta/models/g:generateContent";
    let down = post(&mock, target, "x-mock: 503\r\n", json!({})).await;
    assert_eq!((down.status, down.json()["error"]["status"].clone()), (503, "UNAVAILABLE".into()));
    assert_eq!(chat(&mock, "sk.quota", false).await.json()["error"]["type"], "insufficient_quota");
    assert_eq!(chat(&mock, "", false).await.status, 401);
    assert!(chat(&mock, "sk.html", false).await.head.contains("text/html"));
    assert_eq!(post(&mock, "/v1/chat/completions", "", json!({})).await.status, 400);
    let unknown = json!({"model": "no-such-model", "messages": []});
    assert_eq!(post(&mock, "/v1/chat/completions", "", unknown).await.status, 404);
}

#[tokio::test]
async fn only_the_first_calls_of_a_key_go_wrong() {
    let mock = mock().await;
    for status in [500, 500, 200, 200] {
        assert_eq!(chat(&mock, "sk.500.calls=2", false).await.status, status);
    }
    mock.behave("plain", "401, calls=1");
    for status in [401, 200] {
        assert_eq!(chat(&mock, "plain", false).await.status, status);
    }
    let scripted = Mock::start(Script::default().key("k", "503")).await.unwrap();
    assert_eq!(chat(&scripted, "k", false).await.status, 503);
}

#[tokio::test]
async fn streams_break_off_as_they_are_told() {
    let mock = mock().await;
    let events = |answer: &Answer| answer.chunks.len();
    let whole = chat(&mock, "k", true).await;
    let reset = chat(&mock, "sk.reset=2", true).await;
    assert!(!reset.whole && events(&reset) <= 2);
    let closed = chat(&mock, "sk.close=2", true).await;
    assert_eq!((closed.whole, events(&closed)), (false, 2));
    let ended = chat(&mock, "sk.end=2", true).await;
    assert_eq!((ended.whole, events(&ended)), (true, 2));
    assert!(whole.whole && events(&whole) > 5);
    let json = chat(&mock, "sk.close=1", false).await;
    assert!(!json.whole && !json.body.is_empty());
    let dropped = chat(&mock, "sk.drop", false).await;
    assert_eq!((dropped.status, dropped.whole), (0, false));
}

#[tokio::test]
async fn a_stall_lasts_until_the_client_leaves() {
    let mock = mock().await;
    for key in ["sk.stall=1", "sk.hang", "sk.slow=3600000", "sk.pace=3600000"] {
        mock.forget();
        let mut stream = TcpStream::connect(mock.addr).await.unwrap();
        let body = r#"{"model":"m","stream":true,"messages":[]}"#;
        let headers = format!("authorization: Bearer {key}\r\n");
        let request = request("POST", "/v1/chat/completions", &headers, body);
        stream.write_all(request.as_bytes()).await.unwrap();
        mock.wait_until(|received| received.len() == 1).await;
        drop(stream);
        let gone = |received: &[mock::Received]| received[0].ending.is_some();
        let received = timeout(PATIENCE, mock.wait_until(gone)).await.unwrap();
        assert_eq!(received[0].ending.unwrap().0, Ending::ClientGone, "{key}");
        assert_eq!(received[0].key.as_deref(), Some(key));
    }
}

#[tokio::test]
async fn streams_can_be_made_ugly() {
    let mock = mock().await;
    let whole = chat(&mock, "k", true).await;
    let split = chat(&mock, "sk.split=1", true).await;
    assert!(split.chunks.iter().all(|chunk| chunk.len() == 1));
    assert_eq!(split.events().len(), whole.events().len());
    assert!(chat(&mock, "sk.crlf", true).await.text().contains("\r\n\r\n"));
    let comments = chat(&mock, "sk.comments", true).await;
    assert_eq!(comments.text().matches(": a comment").count(), comments.chunks.len());
    let error = chat(&mock, "sk.error-event", true).await;
    assert_eq!((error.status, error.events().len()), (200, 1));
    assert!(error.events()[0]["error"].is_object());
    assert_eq!(chat(&mock, "sk.error-event=2", true).await.events().len(), 3);
    assert!(!chat(&mock, "sk.no-done", true).await.text().contains("[DONE]"));
    assert!(!chat(&mock, "sk.no-usage", true).await.text().contains("prompt_tokens"));
    assert_eq!(chat(&mock, "sk.events=50", true).await.events().len(), 53);
    let empty = chat(&mock, "sk.empty", true).await;
    assert_eq!((empty.status, empty.body.len()), (200, 0));
    let garbage = chat(&mock, "sk.garbage", false).await;
    assert!(serde_json::from_slice::<Value>(&garbage.body).is_err());
    assert!(chat(&mock, "sk.interim", false).await.head.starts_with("http/1.1 103"));
}

#[tokio::test]
async fn compressed_answers_unpack_to_the_same() {
    let mock = mock().await;
    for stream in [false, true] {
        let packed = chat(&mock, "sk.gzip", stream).await;
        assert!(packed.head.contains("content-encoding: gzip"));
        let mut text = String::new();
        flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut text).unwrap();
        assert!(text.contains("你好") && text.contains("prompt_tokens"));
    }
}

#[tokio::test]
async fn an_echo_tells_exactly_what_came() {
    let mock = mock().await;
    let head = "PUT /echo/a%20b?x=1&status=418&header=x-one:two HTTP/1.1\r\nHost: h\r\nB-b: 2\r\n\
                a: 1\r\nb-B: 3\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\ntrailer: x\r\n\r\n";
    let answer = send(mock.addr, head).await;
    assert_eq!(answer.status, 418);
    assert!(answer.head.contains("x-one: two"));
    let echo = answer.json();
    assert_eq!(echo["target"], "/echo/a%20b?x=1&status=418&header=x-one:two");
    assert_eq!(echo["headers"][1], json!(["B-b", "2"]));
    assert_eq!(echo["headers"][3], json!(["b-B", "3"]));
    assert_eq!((&echo["body"], &echo["body_length"]), (&json!("abcde"), &json!(5)));
    let sha = "36bbe50ed96841d10443bcb670d6554f0a34b761be67ec9c4a8ad2c0c44ca42c";
    assert_eq!(echo["body_sha256"], sha);
    let raw = send(mock.addr, &request("POST", "/echo/raw", "content-type: a/b\r\n", "xyz")).await;
    assert_eq!(raw.text(), "xyz");
    let many = send(mock.addr, &request("GET", "/bytes/150000", "", "")).await;
    assert_eq!((many.body.len(), many.chunks.len()), (150_000, 3));
    let head = send(mock.addr, &request("HEAD", "/echo", "", "")).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let mock = mock().await;
    let mut stream = TcpStream::connect(mock.addr).await.unwrap();
    let one = "GET /v1/models HTTP/1.1\r\nauthorization: Bearer k\r\nexpect: 100-continue\r\n\
               content-length: 0\r\n\r\n";
    stream.write_all(one.repeat(3).as_bytes()).await.unwrap();
    let received = mock.wait_until(|received| received.len() == 3).await;
    assert!(received.iter().all(|one| one.peer == stream.local_addr().unwrap()));
    assert_eq!((mock.connections(), mock.open_connections()), (1, 1));
    assert_eq!(received[2].header("AUTHORIZATION"), Some("Bearer k"));
}

#[tokio::test]
async fn a_websocket_echoes_its_frames() {
    let mock = mock().await;
    let mut stream = TcpStream::connect(mock.addr).await.unwrap();
    let request = "GET /v1/realtime?model=m HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\n\
                   connection: keep-alive, Upgrade\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   sec-websocket-protocol: realtime, other\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert!(head.contains("sec-websocket-protocol: realtime\r\n"));

    for length in [5_usize, 300, 70_000] {
        let payload = vec![b'a'; length];
        let mut frame = vec![0x82];
        match length {
            5 => frame.push(0x85),
            300 => frame.extend([0x80 | 126, 1, 44]),
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        stream.write_all(&frame).await.unwrap();
        let head_length = frame.len() - length - 4;
        let mut echo = vec![0; head_length + length];
        stream.read_exact(&mut echo).await.unwrap();
        assert!(echo[0] == 0x82 && echo[head_length..] == payload);
    }
    stream.write_all(&[0x89, 0x80, 0, 0, 0, 0, 0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, [0x8a, 0, 0x88, 0]);
    let ended = mock.wait_until(|received| received[0].ending.is_some()).await;
    assert_eq!(ended[0].ending.unwrap().0, Ending::Sent);
}

#[tokio::test]
async fn a_dropped_mock_lets_go_of_everything() {
    let mock = mock().await;
    let addr = mock.addr;
    let mut open = TcpStream::connect(addr).await.unwrap();
    open.write_all(b"GET /").await.unwrap();
    drop(mock);
    let end = timeout(PATIENCE, open.read_to_end(&mut Vec::new())).await.unwrap();
    assert!(end.is_err() || end.is_ok_and(|read| read == 0));
}
