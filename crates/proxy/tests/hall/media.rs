//! Images and documents that a client names by address, for targets that take only the data: fetched
//! where the policy says so, within its bounds, and without a word about the client.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use domain::{Dialect, OutboundPolicy, Provider, policy::FetchMedia};
use serde_json::{Value, json};

use crate::{
    conversion::{body_of, claude_said, routed},
    harness::{Hall, Reply, Setup, chunked},
    vendor::{STREAM, Vendor, answer, json as says, said},
};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
const PDF: &[u8] = b"%PDF-1.7\n%%EOF\n";

fn gemini_said(text: &str) -> Vec<u8> {
    let parts = json!([{ "text": text }]);
    let candidate =
        json!({ "content": { "role": "model", "parts": parts }, "finishReason": "STOP" });
    let usage = json!({ "promptTokenCount": 4, "candidatesTokenCount": 1, "totalTokenCount": 5 });
    says(200, &json!({ "candidates": [candidate], "usageMetadata": usage }).to_string())
}

/// A server of files: what it says to each path.
async fn files(say: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Vendor {
    Vendor::answering(move |seen| say(&seen.target)).await
}

/// Lets every upstream fetch, but for what `edit` changes.
fn fetching(setup: &mut Setup, edit: impl Fn(&mut FetchMedia)) {
    for entry in setup.catalog.upstreams.values_mut() {
        let policy = &mut Arc::make_mut(entry).upstream.policy.fetch_media;
        policy.enabled = true;
        edit(policy);
    }
}

/// A hall with one Gemini target that may fetch.
async fn hall(gemini: &Vendor, edit: impl Fn(&mut FetchMedia)) -> Hall {
    routed(&[(gemini, Provider::Gemini)], |setup| fetching(setup, edit)).await
}

async fn ask_with(hall: &Hall, urls: &[String]) -> Reply {
    let image = |url: &String| json!({ "type": "image_url", "image_url": { "url": url } });
    let content: Vec<Value> = urls.iter().map(image).collect();
    let body = json!({ "model": "r", "messages": [{ "role": "user", "content": content }] });
    hall.ask(hall.post("/v1/chat/completions", &body.to_string())).await
}

fn at(addr: SocketAddr, path: &str) -> String {
    format!("http://{addr}{path}")
}

/// Asks for one image, and is refused in words that hold `why`; nobody is asked for an answer.
async fn refused(hall: &Hall, gemini: &Vendor, url: String, why: &str) {
    let reply = ask_with(hall, &[url]).await;
    assert_eq!(reply.status, 400, "{why}: {}", reply.text());
    let error = &reply.json()["error"];
    assert_eq!(error["param"], "messages[0].content[0].image_url", "{why}");
    assert_eq!(error["type"], "invalid_request_error", "{why}");
    assert!(error["message"].as_str().unwrap().contains(why), "{why}: {error}");
    assert!(gemini.seen().is_empty(), "{why}");
}

#[tokio::test]
async fn an_address_is_not_fetched_unless_the_policy_says_so() {
    let (server, gemini) = (files(|_| answer(200, &[], PNG)).await, Vendor::saying("").await);
    let hall = hall(&gemini, |policy| policy.enabled = false).await;
    refused(&hall, &gemini, at(server.addr, "/a.png"), "send the data").await;
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_image_goes_to_gemini_as_data_and_nothing_of_the_client_to_its_server() {
    let server = files(|_| answer(200, &["content-type: application/octet-stream"], PNG)).await;
    let gemini = Vendor::saying(gemini_said("a pixel")).await;
    let hall = hall(&gemini, |_| {}).await;
    let url = at(server.addr, "/a b.png?sig=1#part");
    let chat = json!({ "model": "r", "messages": [{ "role": "user", "content": [
        { "type": "text", "text": "what is this?" },
        { "type": "image_url", "image_url": { "url": url } },
        { "type": "image_url", "image_url": { "url": url } },
    ] }] });
    let responses = json!({ "model": "r", "input": [{ "role": "user", "content": [
        { "type": "input_image", "image_url": url, "detail": "auto" },
    ] }] });
    let source = json!({ "type": "url", "url": url });
    let messages = json!({ "model": "r", "max_tokens": 9, "messages": [
        { "role": "user", "content": "look" },
        { "role": "assistant", "content": [{ "type": "tool_use", "id": "t1", "name": "see", "input": {} }] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t1", "content": [
            { "type": "image", "source": source },
        ] }] },
    ] });
    for (path, body, images) in [
        ("/v1/chat/completions", chat, 2),
        ("/v1/responses", responses, 1),
        ("/v1/messages", messages, 1),
    ] {
        let fields = ["content-type: application/json", "cookie: session=1", "x-own: 1"];
        let reply = hall.ask(hall.request("POST", path, &fields, body.to_string())).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let asked = gemini.seen().pop().unwrap();
        let inline = json!({ "mimeType": "image/png", "data": BASE64_STANDARD.encode(PNG) });
        let text = body_of(&asked).to_string();
        assert_eq!(text.matches(&inline.to_string()).count(), images, "{path}: {text}");
        assert!(!text.contains("http://"), "{path}: {text}");
    }
    let seen = server.seen();
    assert_eq!(seen.len(), 3, "each call asks once for an address that it names twice");
    for one in seen {
        let names = one.head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0));
        let names: Vec<&str> = names.collect();
        assert_eq!(one.target, "/a%20b.png?sig=1");
        assert_eq!(names, ["host", "user-agent", "accept", "accept-encoding", "connection"]);
    }
}

#[tokio::test]
async fn a_pdf_is_fetched_for_dialects_that_take_it_as_data_only() {
    let server = files(|_| answer(200, &["content-type: application/pdf"], PDF)).await;
    let url = at(server.addr, "/paper.pdf");
    let messages = json!({ "model": "r", "max_tokens": 9, "messages": [{ "role": "user", "content": [
        { "type": "document", "title": "Paper", "source": { "type": "url", "url": url } },
    ] }] });
    let responses = json!({ "model": "r", "input": [{ "role": "user", "content": [
        { "type": "input_file", "file_url": url, "filename": "paper.pdf" },
    ] }] });
    for (dialect, provider, said) in [
        (Dialect::Gemini, Provider::Gemini, gemini_said("x")),
        (Dialect::OpenaiChat, Provider::Custom, said("x")),
    ] {
        let target = Vendor::saying(said).await;
        let hall = routed(&[(&target, provider)], |setup| {
            fetching(setup, |_| {});
            for entry in setup.catalog.upstreams.values_mut() {
                Arc::make_mut(entry).upstream.dialects = vec![dialect];
            }
        })
        .await;
        for (path, body) in [("/v1/messages", &messages), ("/v1/responses", &responses)] {
            let reply = hall.ask(hall.post(path, &body.to_string())).await;
            assert_eq!(reply.status, 200, "{provider:?} {path}: {}", reply.text());
            let asked = body_of(&target.seen().pop().unwrap()).to_string();
            assert!(asked.contains(&BASE64_STANDARD.encode(PDF)), "{provider:?} {path}: {asked}");
            assert!(asked.contains("application/pdf"), "{provider:?} {path}: {asked}");
        }
    }
}

#[tokio::test]
async fn a_target_that_takes_addresses_gets_the_address() {
    let (server, claude) = (files(|_| answer(200, &[], PNG)).await, claude_said("hi"));
    let claude = Vendor::saying(claude).await;
    let hall = routed(&[(&claude, Provider::Anthropic)], |setup| fetching(setup, |_| {})).await;
    let url = at(server.addr, "/a.png");
    assert_eq!(ask_with(&hall, std::slice::from_ref(&url)).await.status, 200);
    assert!(body_of(&claude.only()).to_string().contains(&url));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn what_cannot_be_fetched_is_refused_in_words_that_name_the_image() {
    let server = files(|path| match path {
        "/page" => answer(200, &["content-type: image/png"], "<html>not an image</html>"),
        "/gif" => answer(200, &["content-type: image/gif"], "GIF89a and more"),
        "/empty" => answer(200, &["content-type: image/png"], ""),
        "/declared" => answer(200, &[], [PNG, &[0; 1000]].concat()),
        "/chunked" => {
            let body = chunked(&[PNG, &[0; 1000]].concat(), 16);
            [STREAM.as_bytes(), &body].concat()
        }
        "/round" => answer(302, &["location: /round"], ""),
        "/nowhere" => answer(302, &[], ""),
        "/inward" => answer(302, &["location: http://127.0.0.2:1080/"], ""),
        "/file" => answer(302, &["location: file:///etc/passwd"], ""),
        "/keyed" => answer(302, &["location: http://user:secret@127.0.0.1/"], ""),
        _ => answer(404, &["content-type: image/png"], PNG),
    })
    .await;
    let gemini = Vendor::saying("").await;
    let hall = routed(&[(&gemini, Provider::Gemini)], |setup| {
        let allow = vec!["127.0.0.1/32".parse().unwrap()];
        setup.settings.outbound = OutboundPolicy { allow, own: vec![] };
        fetching(setup, |policy| policy.max_bytes = 1000);
    })
    .await;
    let types = "none of image/png, image/jpeg, image/webp, image/heic, image/heif";
    for (path, why) in [
        ("/page", types),
        ("/gif", types),
        ("/empty", types),
        ("/declared", "larger than 1000 bytes"),
        ("/chunked", "larger than 1000 bytes"),
        ("/nowhere", "its server answered 302"),
        ("/inward", "does not fetch from this address"),
        ("/file", "its address must begin with https://"),
        ("/keyed", "its address must not hold a user or password"),
        ("/gone", "its server answered 404"),
    ] {
        refused(&hall, &gemini, at(server.addr, path), why).await;
    }
    let before = server.seen().len();
    refused(&hall, &gemini, at(server.addr, "/round"), "redirected more than 3 times").await;
    assert_eq!(server.seen().len() - before, 4);
    for (url, why) in [
        ("https://127.0.0.2/a.png", "does not fetch from this address"),
        ("https://[::ffff:10.0.0.1]/a.png", "does not fetch from this address"),
        ("http://169.254.169.254/latest/meta-data", "does not fetch from this address"),
        ("http://user:secret@127.0.0.1/a.png", "must not hold a user or password"),
        ("http://127.0.0.1:6379/a.png", "port 6379"),
        ("gs://bucket/a.png", "must begin with https://"),
        ("a.png", "must be an address"),
        ("http://127.0.0.1:1/a.png", "port 1 "),
    ] {
        refused(&hall, &gemini, url.to_owned(), why).await;
    }
}

#[tokio::test]
async fn the_gateway_does_not_fetch_from_itself() {
    let gemini = Vendor::saying("").await;
    let server = files(|_| answer(200, &[], PNG)).await;
    let hall = routed(&[(&gemini, Provider::Gemini)], |setup| {
        setup.settings.outbound.own = vec![(server.addr.ip(), server.addr.port())];
        fetching(setup, |_| {});
    })
    .await;
    let url = at(server.addr, "/a.png");
    refused(&hall, &gemini, url, "does not fetch from this address").await;
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_call_names_a_bounded_number_of_files() {
    let server = files(|_| answer(200, &[], PNG)).await;
    let gemini = Vendor::saying(gemini_said("two")).await;
    let hall = hall(&gemini, |policy| policy.max_files = 2).await;
    let named = |count: usize| (0..count).map(|n| at(server.addr, &format!("/{n}"))).collect();
    let three: Vec<String> = named(3);
    let reply = ask_with(&hall, &three).await;
    assert_eq!(reply.status, 400);
    let error = &reply.json()["error"];
    assert_eq!(error["param"], "messages[0].content[2].image_url");
    assert!(error["message"].as_str().unwrap().contains("at most 2 files"), "{error}");
    assert!(server.seen().is_empty() && gemini.seen().is_empty());
    let two: Vec<String> = named(2);
    assert_eq!(ask_with(&hall, &[&two[..], &two[..]].concat()).await.status, 200);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_waited_for_within_the_time_of_the_call() {
    let server = Vendor::talking(|mut talk| async move { talk.until_gone().await }).await;
    let gemini = Vendor::saying("").await;
    let hall = hall(&gemini, |policy| policy.timeout = Duration::from_millis(50)).await;
    refused(&hall, &gemini, at(server.addr, "/a.png"), "did not come in time").await;
}

#[tokio::test]
async fn a_server_that_breaks_off_or_is_not_there_is_told() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n\x89PNG\r\n\x1a\n and";
    let server = Vendor::talking(move |mut talk| async move {
        talk.request().await;
        talk.send(half).await;
    })
    .await;
    let gemini = Vendor::saying("").await;
    let hall = hall(&gemini, |_| {}).await;
    refused(&hall, &gemini, at(server.addr, "/a.png"), "its server broke off").await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    refused(&hall, &gemini, at(nobody, "/a.png"), "its server cannot be reached").await;
}

#[tokio::test]
async fn what_is_fetched_counts_as_memory_of_the_caller() {
    let server = files(|_| answer(200, &[], [PNG, &[0; 200_000]].concat())).await;
    let gemini = Vendor::saying(gemini_said("x")).await;
    let hall = routed(&[(&gemini, Provider::Gemini)], |setup| {
        setup.settings.buffers.total = 300_000;
        setup.settings.limits.body = 100_000;
        fetching(setup, |_| {});
    })
    .await;
    let reply = ask_with(&hall, &[at(server.addr, "/a.png")]).await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.text().contains("image_url` cannot be fetched"), "{}", reply.text());
    assert!(gemini.seen().is_empty());
}

#[tokio::test]
async fn a_target_that_takes_the_address_answers_where_the_file_cannot_be_fetched() {
    let server = files(|_| answer(404, &[], "")).await;
    let gemini = Vendor::saying("").await;
    let claude = Vendor::saying(claude_said("hi")).await;
    let targets = [(&gemini, Provider::Gemini), (&claude, Provider::Anthropic)];
    let hall = routed(&targets, |setup| fetching(setup, |_| {})).await;
    let reply = ask_with(&hall, &[at(server.addr, "/a.png")]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(gemini.seen().is_empty());
    claude.only();
}
