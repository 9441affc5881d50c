//! Which model a call asks for, wherever and in whichever form it says so: it decides where the call
//! goes, what the key may do and what the log says.

use domain::{Provider, ServiceKeyId};

use crate::{
    conversion::{of, routed},
    harness::{Hall, Reply, Setup, chat, chunked},
    vendor::{Seen, Vendor, json as says, said},
};

const BOUNDARY: &str = "----b1";

/// A form of these fields, each a name with what else stands in its line, and a value.
fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let head = format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name={name}\r\n\r\n");
        body.extend([head.as_bytes(), value, b"\r\n"].concat());
    }
    body.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
    body
}

/// A file of so many bytes in which something like a delimiter stands.
fn file(size: usize) -> Vec<u8> {
    b"\r\n--x model\r\n".iter().copied().cycle().take(size).collect()
}

async fn post_form(hall: &Hall, path: &str, body: &[u8], in_chunks: bool) -> Reply {
    let kind = format!("content-type: multipart/form-data; boundary={BOUNDARY}");
    if !in_chunks {
        return hall.ask(hall.request("POST", path, &[&kind], body)).await;
    }
    let fields = [kind.as_str(), "transfer-encoding: chunked"];
    let mut bytes = hall.request("POST", path, &fields, "");
    bytes.extend(chunked(body, 60_000));
    hall.ask(bytes).await
}

/// An upstream that is not asked, one that serves `whisper`, and the route `team/whisper` to it.
async fn two_upstreams(vendor: &Vendor, other: &Vendor, edit: impl FnOnce(&mut Setup)) -> Hall {
    let mut setup = Setup::new();
    setup.upstream("first", other.addr, &["sk-1"], |up| {
        of(Provider::Openai)(up);
        up.models = vec!["other".into()];
    });
    let second = setup.upstream("second", vendor.addr, &["sk-2"], |up| {
        of(Provider::Openai)(up);
        up.models = vec!["whisper".into()];
    });
    setup.route("team/whisper", &[(second, Some("whisper"))]);
    edit(&mut setup);
    setup.start().await
}

#[tokio::test]
async fn the_model_of_a_form_decides_at_any_size_and_framing() {
    let vendor = Vendor::saying(says(200, "{}")).await;
    let other = Vendor::saying(says(200, "{}")).await;
    let hall = two_upstreams(&vendor, &other, |_| {}).await;
    for path in ["/v1/audio/transcriptions", "/v1/images/edits", "/v1/audio/translations"] {
        for (size, in_chunks) in [(900, false), (900, true), (1_500_000, false), (3_000_000, true)]
        {
            for model_first in [true, false] {
                let file = file(size);
                let fields = |model: &'static str| {
                    let model: (&str, &[u8]) = ("\"model\"", model.as_bytes());
                    let file = ("\"file\"; filename=\"a.mp3\"", file.as_slice());
                    form(&if model_first { [model, file] } else { [file, model] })
                };
                let what = format!("{path} {size} in chunks: {in_chunks}, first: {model_first}");
                let reply = post_form(&hall, path, &fields("team/whisper"), in_chunks).await;
                assert_eq!(reply.status, 200, "{what}: {}", reply.text());
                let seen = vendor.seen().pop().unwrap();
                assert!(seen.body == fields("whisper"), "{what}");
                let entry = hall.entries().await.pop().unwrap();
                assert_eq!(entry.model_asked.as_deref(), Some("team/whisper"), "{what}");
                assert_eq!(entry.model_used.as_deref(), Some("whisper"), "{what}");
                let reply = post_form(&hall, path, &fields("whisper"), in_chunks).await;
                assert_eq!(reply.status, 200, "{what}: a model of the second upstream");
                let reply = post_form(&hall, path, &fields("nobody"), in_chunks).await;
                let code = (reply.status, reply.code());
                assert_eq!(code, (404, "model_not_found".to_owned()), "{what}");
                hall.entries().await;
            }
        }
    }
    assert!(other.seen().is_empty(), "nothing went to the first upstream");
}

#[tokio::test]
async fn fields_of_a_form_that_stand_several_times_all_arrive() {
    let vendor = Vendor::saying(says(200, "{}")).await;
    let other = Vendor::saying(says(200, "{}")).await;
    let hall = two_upstreams(&vendor, &other, |_| {}).await;
    let file = file(1_500_000);
    let fields = |model: &'static str| {
        form(&[
            ("\"known_speaker_names[]\"", b"one"),
            ("\"known_speaker_names[]\"", b"two"),
            ("\"known_speaker_references[]\"", b"data:audio/wav;base64,AAAA"),
            ("\"known_speaker_references[]\"", b"data:audio/wav;base64,BBBB"),
            ("\"file\"; filename=\"a.wav\"", &file),
            ("\"model\"", model.as_bytes()),
        ])
    };
    let path = "/v1/audio/transcriptions";
    for in_chunks in [false, true] {
        let reply = post_form(&hall, path, &fields("team/whisper"), in_chunks).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(vendor.seen().pop().unwrap().body == fields("whisper"), "in chunks: {in_chunks}");
    }
}

#[tokio::test]
async fn a_key_for_certain_models_may_send_them_forms_of_any_size() {
    let vendor = Vendor::saying(says(200, "{}")).await;
    let other = Vendor::saying(says(200, "{}")).await;
    let hall = two_upstreams(&vendor, &other, |setup| {
        let key = setup.catalog.service_keys.get_mut(&ServiceKeyId(1)).unwrap();
        std::sync::Arc::make_mut(key).allowed_models = vec!["team/whisper".into()];
    })
    .await;
    let file = file(1_500_000);
    for (model, status) in [("team/whisper", 200), ("whisper", 403)] {
        let body = form(&[("\"file\"", &file), ("\"model\"", model.as_bytes())]);
        for in_chunks in [false, true] {
            let reply = post_form(&hall, "/v1/audio/transcriptions", &body, in_chunks).await;
            assert_eq!(reply.status, status, "{model}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_second_model_behind_the_file_ends_the_call_before_the_form_is_whole() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.head().await;
        talk.until_gone().await;
    })
    .await;
    let other = Vendor::saying(says(200, "{}")).await;
    let hall = two_upstreams(&vendor, &other, |_| {}).await;
    let file = file(2_000_000);
    let fields: [(&str, &[u8]); 3] =
        [("model", b"team/whisper"), ("file", &file), ("\"model\"", b"dear")];
    for in_chunks in [false, true] {
        let reply = post_form(&hall, "/v1/audio/transcriptions", &form(&fields), in_chunks).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "malformed_request"));
    }
    let small = form(&[fields[0], fields[2]]);
    let reply = post_form(&hall, "/v1/audio/transcriptions", &small, false).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "malformed_request"));
}

#[tokio::test]
async fn a_form_whose_model_stands_too_far_behind_is_refused_with_words() {
    let vendor = Vendor::saying(says(200, "{}")).await;
    let hall = two_upstreams(&vendor, &vendor, |setup| setup.settings.limits.body = 2 << 20).await;
    let file = file(4 << 20);
    let late = form(&[("file", &file), ("model", b"team/whisper")]);
    for in_chunks in [false, true] {
        let reply = post_form(&hall, "/v1/audio/transcriptions", &late, in_chunks).await;
        assert_eq!((reply.status, reply.code().as_str()), (413, "body_too_large"));
        assert!(reply.text().contains("send it before the file"), "{}", reply.text());
    }
    assert!(vendor.seen().is_empty());
    let early = form(&[("model", b"team/whisper"), ("file", &file)]);
    let reply = post_form(&hall, "/v1/audio/transcriptions", &early, true).await;
    assert_eq!(reply.status, 200, "however large the file is");
    let none = form(&[("file", b"x")]);
    let reply = post_form(&hall, "/v1/audio/transcriptions", &none, false).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "model_missing"));
}

#[tokio::test]
async fn files_that_are_kept_for_later_may_be_larger_than_what_is_read_ahead() {
    let vendor = Vendor::saying(says(200, "{}")).await;
    let mut setup = Setup::with(vendor.addr);
    setup.settings.limits.body = 2 << 20;
    let hall = setup.start().await;
    let file = file(4 << 20);
    let body = form(&[("purpose", b"batch"), ("file", &file)]);
    for (path, in_chunks) in
        [("/v1/files", false), ("/v1/files", true), ("/v1/uploads/u/parts", true)]
    {
        let reply = post_form(&hall, path, &body, in_chunks).await;
        assert_eq!(reply.status, 200, "{path} {in_chunks}: {}", reply.text());
        assert!(vendor.seen().pop().unwrap().body == body, "{path} {in_chunks}");
    }
}

#[tokio::test]
async fn a_session_of_realtime_names_its_model_in_many_places() {
    let vendor = Vendor::saying(says(200, "{}")).await;
    let other = Vendor::saying(says(200, "{}")).await;
    let hall = two_upstreams(&vendor, &other, |setup| {
        for entry in setup.catalog.upstreams.values_mut() {
            std::sync::Arc::make_mut(entry).upstream.policy.ephemeral_secrets = true;
        }
    })
    .await;
    for (path, body) in [
        ("/v1/realtime/client_secrets", r#"{"session":{"type":"realtime","model":"M"}}"#),
        (
            "/v1/realtime/client_secrets",
            r#"{"session":{"type":"transcription","audio":{"input":{"transcription":{"model":"M"}}}}}"#,
        ),
        ("/v1/realtime/sessions", r#"{"model":"M","voice":"x"}"#),
        ("/v1/realtime/transcription_sessions", r#"{"input_audio_transcription":{"model":"M"}}"#),
    ] {
        let reply = hall.ask(hall.post(path, &body.replace('M', "team/whisper"))).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let seen = vendor.seen().pop().unwrap();
        assert_eq!(seen.text(), body.replace('M', "whisper"));
        let entry = hall.entry().await;
        assert_eq!(entry.model_asked.as_deref(), Some("team/whisper"), "{path}");
        assert_eq!(entry.tags, ["ephemeral_secret"], "{path}");
        let reply = hall.ask(hall.post(path, &body.replace('M', "nobody"))).await;
        assert_eq!(reply.status, 404, "{path}");
        hall.entries().await;
    }
    let path = "/v1/realtime/calls?model=team%2Fwhisper";
    let reply =
        hall.ask(hall.request("POST", path, &["content-type: application/sdp"], "v=0")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = vendor.seen().pop().unwrap();
    assert_eq!((seen.target.as_str(), seen.text()), ("/v1/realtime/calls?model=whisper", "v=0"));
    assert_eq!(hall.entry().await.model_asked.as_deref(), Some("team/whisper"));
    let session = |model: &str| {
        let session = format!(r#"{{"type":"realtime","model":"{model}"}}"#);
        form(&[("\"sdp\"", b"v=0"), ("\"session\"", session.as_bytes())])
    };
    let reply = post_form(&hall, "/v1/realtime/calls", &session("team/whisper"), false).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(vendor.seen().pop().unwrap().body, session("whisper"));
    let reply = post_form(&hall, path, &session("other"), false).await;
    assert_eq!(reply.status, 400, "two models: {}", reply.text());
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn ephemeral_secrets_are_given_only_where_the_policy_says_so() {
    let vendor = Vendor::saying(says(200, "{}")).await;
    let mut setup = Setup::with(vendor.addr);
    setup.upstream("google", vendor.addr, &["sk-3"], of(Provider::Gemini));
    let hall = setup.start().await;
    let secret = r#"{"session":{"model":"m"}}"#;
    for path in [
        "/v1/realtime/client_secrets",
        "/v1/realtime/sessions",
        "/v1/chatkit/sessions",
        "/v1alpha/auth_tokens",
        "/proxy/up/v1/realtime/client_secrets",
    ] {
        let reply = hall.ask(hall.post(path, secret)).await;
        let refused = (reply.status, reply.code().to_lowercase());
        assert_eq!(refused, (403, "ephemeral_secrets_not_allowed".to_owned()), "{path}");
    }
    assert!(vendor.seen().is_empty());
    assert!(hall.entries().await.iter().all(|entry| entry.tags.is_empty() && entry.status == 403));
}

#[tokio::test]
async fn paths_that_clients_really_use_lead_to_the_same_places() {
    let vendor = Vendor::answering(|seen| match seen.target.contains("generateContent") {
        true => says(200, r#"{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}"#),
        false => said("x"),
    })
    .await;
    let hall = routed(&[(&vendor, Provider::Custom), (&vendor, Provider::Gemini)], |_| {}).await;
    let last = || -> Seen { vendor.seen().pop().unwrap() };
    for path in ["/chat/completions", "/v1/v1/chat/completions", "/openai/v1/chat/completions"] {
        let reply = hall.ask(hall.post(path, &chat("r"))).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert_eq!((last().target.as_str(), last().text()), ("/v1/chat/completions", &*chat("m")));
    }
    let gemini = r#"{"contents":[{"role":"user","parts":[{"text":"x"}]}]}"#;
    for path in ["/models/two/g:generateContent", "/v1beta/v1beta/models/two/g:generateContent"] {
        let reply = hall.ask(hall.post(path, gemini)).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert_eq!(last().target, "/v1beta/models/g:generateContent", "{path}");
    }
    let entries = hall.entries().await;
    assert_eq!(entries[0].path, "/chat/completions", "the log says what the client asked for");
    let messages = chat("r").replacen('{', r#"{"max_tokens":9,"#, 1);
    let reply = hall.ask(hall.post("/messages", &messages)).await;
    assert_eq!(reply.status, 200, "said again for the target: {}", reply.text());
    assert_eq!(reply.json()["type"], "message");
}

#[tokio::test]
async fn a_deployment_of_azure_is_a_model() {
    let vendor = Vendor::saying(said("x")).await;
    let hall = routed(&[(&vendor, Provider::Custom)], |_| {}).await;
    let key = format!("api-key: {}", hall.key);
    let ask = async |path: &str, kind: &str, body: &[u8]| {
        let fields = [key.as_str(), kind];
        let reply = hall.ask(crate::harness::request("POST", path, &fields, body)).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let entry = hall.entries().await.pop().unwrap();
        assert_eq!(entry.model_asked.as_deref(), Some("r"), "{path}");
        vendor.seen().pop().unwrap()
    };
    let json = "content-type: application/json";
    let path = "/openai/deployments/r/chat/completions?api-version=2025-04-01-preview";
    for (body, wanted) in [
        (chat("r"), chat("m")),
        (chat("gpt-4o"), chat("m")),
        (r#"{ "messages":[]}"#.into(), r#"{"model":"m", "messages":[]}"#.into()),
        ("{}".into(), r#"{"model":"m"}"#.into()),
    ] {
        let seen = ask(path, json, body.as_bytes()).await;
        assert_eq!((seen.target.as_str(), seen.text()), ("/v1/chat/completions", wanted.as_str()));
        assert_eq!(seen.header("api-key"), None);
    }
    let kind = format!("content-type: multipart/form-data; boundary={BOUNDARY}");
    let path = "/openai/deployments/r/audio/transcriptions?api-version=2024-06-01";
    let seen = ask(path, &kind, &form(&[("\"file\"", b"x")])).await;
    assert_eq!(seen.target, "/v1/audio/transcriptions");
    let wanted = form(&[("\"model\"", b"m"), ("\"file\"", b"x")]);
    assert_eq!(String::from_utf8_lossy(&seen.body).to_lowercase().into_bytes(), wanted);
}

#[tokio::test]
async fn what_is_nested_deeply_passes_as_it_came() {
    let vendor = Vendor::saying(said("x")).await;
    let hall = routed(&[(&vendor, Provider::Custom)], |_| {}).await;
    let deep = format!("{}1{}", r#"{"a":["#.repeat(500), "]}".repeat(500));
    let body = |model: &str| chat(model).replacen('{', &format!(r#"{{"schema":{deep},"#), 1);
    let reply = hall.ask(hall.post("/v1/chat/completions", &body("r"))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(vendor.only().text(), body("m"));
}

#[tokio::test]
async fn a_body_of_unknown_type_is_looked_into_where_it_is_json() {
    let vendor = Vendor::answering(|seen| says(200, &format!("[{}]", seen.body.len()))).await;
    let other = Vendor::saying(says(200, "{}")).await;
    let hall = two_upstreams(&vendor, &other, |_| {}).await;
    for kind in ["x-none: 1", "content-type: text/plain"] {
        let fields = [kind, "transfer-encoding: chunked"];
        let mut bytes = hall.request("POST", "/v1/images/generations", &fields, "");
        bytes.extend(chunked(br#" {"model":"team/whisper"}"#, 5));
        let reply = hall.ask(bytes).await;
        assert_eq!(reply.status, 200, "{kind}: {}", reply.text());
        assert_eq!(vendor.seen().pop().unwrap().text(), r#" {"model":"whisper"}"#, "{kind}");
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn googles_sockets_and_files_go_where_google_has_them() {
    let vendor = Vendor::saying(says(200, "{}")).await;
    let hall = routed(&[(&vendor, Provider::Gemini)], |_| {}).await;
    for (method, path, goes_to) in [
        ("POST", "/upload/v1alpha/files", "/upload/v1alpha/files"),
        (
            "GET",
            "/download/v1beta/files/f:download?alt=media",
            "/download/v1beta/files/f:download?alt=media",
        ),
    ] {
        let reply = hall.ask(hall.request(method, path, &[], "")).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert_eq!(vendor.seen().pop().unwrap().target, goes_to);
    }
    let live = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    let upgrade = ["connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13"];
    let path = format!("{live}?key={}", hall.key);
    hall.ask(crate::harness::request("GET", &path, &upgrade, "")).await;
    let seen = vendor.seen().pop().unwrap();
    assert_eq!((seen.target.as_str(), seen.header("upgrade")), (live, Some("websocket")));
    assert_eq!(seen.header("x-goog-api-key"), Some("sk-provider"));
}
