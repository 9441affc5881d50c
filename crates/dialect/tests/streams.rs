//! Whole answers of every dialect through the observer, in pieces of every size.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use bytes::Bytes;
use dialect::{
    ANTHROPIC, Coding, ErrorWords, First, Form, GEMINI, Grammar, OPENAI_CHAT, OPENAI_RESPONSES,
    ObserverOptions, PLAIN, StreamObserver, Tokens,
};
use proptest::prelude::*;

const CHAT: &str = r#": a comment

data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}

data: {"id":"c","choices":[{"index":0,"delta":{"content":"\"usage\":{\"prompt_tokens\":99}"},"finish_reason":null}],"usage":null}

data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

data: {"id":"c","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}}

data: [DONE]

"#;

const RESPONSES: &str = r#"event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"r","status":"in_progress","error":null,"usage":null}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":1,"delta":"hällo"}

event: response.completed
data: {"type":"response.completed","sequence_number":2,"response":{"id":"r","status":"completed","error":null,"output":[{"usage":{"input_tokens":99}}],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":15}}}

"#;

const ANTHROPIC_STREAM: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"m","role":"assistant","content":[],"usage":{"input_tokens":6,"cache_read_input_tokens":4,"cache_creation_input_tokens":0,"output_tokens":1}}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5,"output_tokens_details":{"thinking_tokens":2}}}

event: message_stop
data: {"type":"message_stop"}

"#;

const GEMINI_STREAM: &str = r#"data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":10,"totalTokenCount":10}}

data: {"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":10,"cachedContentTokenCount":4,"candidatesTokenCount":3,"thoughtsTokenCount":2,"totalTokenCount":15}}

"#;

const TOKENS: Tokens = Tokens {
    input: 10,
    cached: 4,
    cache_written: 0,
    input_audio: 0,
    output: 5,
    reasoning: 2,
    output_audio: 0,
    duration_ms: 0,
};

#[derive(Debug, PartialEq)]
struct Heard {
    bytes: String,
    first: First,
    ended: bool,
    complete: bool,
    usage: Option<Tokens>,
    error: Option<u16>,
}

fn hear(grammar: &'static dyn Grammar, options: ObserverOptions, pieces: &[&[u8]]) -> Heard {
    let mut observer = StreamObserver::new(grammar, options);
    let mut out = Vec::new();
    for piece in pieces {
        observer.push(Bytes::copy_from_slice(piece), &mut out);
    }
    observer.finish(&mut out);
    Heard {
        bytes: String::from_utf8(out.concat()).unwrap(),
        first: observer.first().clone(),
        ended: observer.ended(),
        complete: observer.complete(),
        usage: observer.usage(),
        error: observer.error().map(|error| error.status),
    }
}

fn whole(grammar: &'static dyn Grammar, stream: &str) -> Heard {
    hear(grammar, ObserverOptions::default(), &[stream.as_bytes()])
}

const HIDING: ObserverOptions = ObserverOptions { form: Form::Sse, hide_usage_event: true };

fn streams() -> [(&'static dyn Grammar, &'static str); 4] {
    [
        (OPENAI_CHAT, CHAT),
        (OPENAI_RESPONSES, RESPONSES),
        (ANTHROPIC, ANTHROPIC_STREAM),
        (GEMINI, GEMINI_STREAM),
    ]
}

#[test]
fn tokens_of_every_dialect_are_counted_and_no_byte_changes() {
    for (grammar, stream) in streams() {
        for grammar in [grammar, PLAIN] {
            for stream in
                [stream.to_owned(), stream.replace('\n', "\r\n"), stream.replace('\n', "\r")]
            {
                let heard = whole(grammar, &stream);
                assert_eq!(heard.bytes, stream);
                assert_eq!(heard.usage, Some(TOKENS), "{grammar:?}");
                assert_eq!((heard.first, heard.error), (First::Content, None));
                assert!(heard.complete);
                assert_eq!(heard.ended, !stream.contains("candidates"));
            }
        }
    }
}

#[test]
fn the_usage_event_is_taken_out_and_nothing_else() {
    let heard = hear(OPENAI_CHAT, HIDING, &[CHAT.as_bytes()]);
    let (before, rest) = CHAT.split_once("data: {\"id\":\"c\",\"choices\":[],").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    assert_eq!(heard.bytes, format!("{before}{after}"));
    assert_eq!(heard.usage, Some(TOKENS));
    assert!(heard.ended);
}

#[test]
fn a_chunk_with_more_than_usage_is_not_taken_out() {
    for chunk in [
        r#"data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":3}}"#,
        r#"data: {"choices":[],"usage":null}"#,
        r#"data: {"choices":[],"prompt_filter_results":[]}"#,
        r#"data: {"choices":[],"error":{"message":"x"}}"#,
    ] {
        assert_eq!(hear(OPENAI_CHAT, HIDING, &[chunk.as_bytes()]).bytes, chunk);
    }
}

#[test]
fn pieces_pass_as_they_came_where_nothing_is_hidden() {
    let stream = Bytes::from_static(CHAT.as_bytes());
    let mut observer = StreamObserver::new(OPENAI_CHAT, ObserverOptions::default());
    let mut out = Vec::new();
    for at in (0..stream.len()).step_by(100) {
        let piece = stream.slice(at..stream.len().min(at + 100));
        observer.push(piece.clone(), &mut out);
        let passed = out.pop().unwrap();
        assert!(out.is_empty());
        assert_eq!((passed.as_ptr(), passed.len()), (piece.as_ptr(), piece.len()));
    }
}

#[test]
fn while_hiding_only_an_unfinished_event_waits() {
    let mut observer = StreamObserver::new(OPENAI_CHAT, HIDING);
    let mut out = Vec::new();
    let two = Bytes::from_static(b"data: {\"a\":1}\n\ndata: {\"b\":2}\n\n");
    observer.push(two.clone(), &mut out);
    assert_eq!(out, [two]);
    out.clear();
    observer.push(Bytes::from_static(b"data: 3\n\ndata: 4"), &mut out);
    assert_eq!(out.concat(), b"data: 3\n\n");
    out.clear();
    observer.push(Bytes::from_static(b"4\n\n"), &mut out);
    assert_eq!(out.concat(), b"data: 44\n\n");
}

#[test]
fn an_error_that_comes_first_is_known_from_a_later_one() {
    let cases: &[(&'static dyn Grammar, &str, u16)] = &[
        (OPENAI_CHAT, "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\"}}\n\n", 500),
        (OPENAI_CHAT, "event: error\ndata: {\"error\":{\"code\":429,\"message\":\"m\"}}\n\n", 429),
        (
            ANTHROPIC,
            "event: ping\ndata: {\"type\":\"ping\"}\n\nevent: error\n\
             data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n",
            529,
        ),
        (
            OPENAI_RESPONSES,
            ": hi\n\nevent: error\ndata: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\
             \"message\":\"m\"}\n\n",
            429,
        ),
        (GEMINI, "data: {\"error\": {\"code\": 503, \"message\": \"m\"}}\n\n", 503),
        (GEMINI, "{\n \"error\": {\n \"code\": 503,\n \"message\": \"m\" }\n}", 503),
        (GEMINI, "[{\"error\": {\"code\": 503, \"message\": \"m\"}}]", 503),
        (PLAIN, "event: error\ndata: m\n\n", 502),
    ];
    for (grammar, stream, status) in cases {
        let heard = whole(*grammar, stream);
        assert_eq!(heard.bytes, *stream);
        let First::Error(error) = heard.first else { panic!("{stream}: {:?}", heard.first) };
        assert_eq!((error.status, &*error.message), (*status, "m"), "{stream}");
        assert!(error.retryable() && heard.ended);
    }
    let heard = whole(
        OPENAI_CHAT,
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\ndata: {\"error\":{}}\n\n",
    );
    assert_eq!((heard.first, heard.error, heard.ended), (First::Content, Some(502), true));
}

#[test]
fn an_empty_answer_is_known() {
    for stream in ["", ": hi\n\n", "\n\n", "data: [DONE]\n\n", "data:\n\n"] {
        assert_eq!(whole(OPENAI_CHAT, stream).first, First::Empty, "{stream:?}");
    }
    assert_eq!(whole(ANTHROPIC, "event: ping\ndata: {\"type\":\"ping\"}\n\n").first, First::Empty);
    let json = ObserverOptions { form: Form::Json, ..ObserverOptions::default() };
    assert_eq!(hear(OPENAI_CHAT, json, &[]).first, First::Empty);
    assert_eq!(hear(OPENAI_CHAT, json, &[b" \n"]).first, First::Empty);
    assert_eq!(hear(OPENAI_CHAT, json, &[b"17"]).first, First::Content);
}

#[test]
fn the_first_event_is_known_before_the_second_comes() {
    let mut observer = StreamObserver::new(ANTHROPIC, ObserverOptions::default());
    let mut out = Vec::new();
    observer.push(Bytes::from_static(b"event: message_start\ndata: {\"type\":"), &mut out);
    assert_eq!(observer.first(), &First::Pending);
    observer.push(Bytes::from_static(b"\"message_start\"}\n\n"), &mut out);
    assert_eq!(observer.first(), &First::Content);
}

#[test]
fn a_cut_stream_is_not_complete() {
    for (grammar, stream) in streams() {
        let cut = &stream[..stream.len() / 2];
        let heard = whole(grammar, cut);
        assert!(!heard.complete && !heard.ended, "{grammar:?}");
        assert_eq!(heard.bytes, cut);
    }
    let (no_done, _) = CHAT.split_once("data: [DONE]").unwrap();
    assert!(whole(OPENAI_CHAT, no_done).complete);
    let unterminated = CHAT.trim_end();
    assert!(whole(OPENAI_CHAT, unterminated).ended);
}

#[test]
fn json_answers_are_read_too() {
    let json = ObserverOptions { form: Form::Json, hide_usage_event: true };
    let array = format!("[{}]", GEMINI_STREAM.replace("data: ", "").trim().replace("\n\n", ",\n"));
    let cases: &[(&'static dyn Grammar, &str)] = &[
        (GEMINI, &array),
        (
            OPENAI_CHAT,
            r#"{"id":"c","choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":10,
            "completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4},
            "completion_tokens_details":{"reasoning_tokens":2}}}"#,
        ),
    ];
    for (grammar, body) in cases {
        for size in [1, 7, body.len()] {
            let pieces: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
            let heard = hear(*grammar, json, &pieces);
            assert_eq!(heard.bytes, *body);
            assert_eq!(heard.usage, Some(TOKENS));
            assert_eq!(heard.first, First::Content);
            assert!(heard.ended && heard.complete);
        }
        assert_eq!(grammar.usage(body.as_bytes()), Some(TOKENS));
    }
}

#[test]
fn the_first_byte_outdoes_the_content_type() {
    let json = ObserverOptions { form: Form::Json, ..ObserverOptions::default() };
    assert_eq!(hear(OPENAI_CHAT, json, &[CHAT.as_bytes()]).usage, Some(TOKENS));
    let heard = whole(OPENAI_CHAT, r#"{"usage":{"prompt_tokens":1}}"#);
    assert_eq!(heard.usage.map(|tokens| tokens.input), Some(1));
    let opaque = ObserverOptions { form: Form::Opaque, ..ObserverOptions::default() };
    let heard = hear(OPENAI_CHAT, opaque, &[CHAT.as_bytes()]);
    assert_eq!((heard.usage, heard.first), (None, First::Content));
}

#[test]
fn a_content_type_tells_the_form() {
    let cases = [
        ("text/event-stream; charset=utf-8", Form::Sse),
        ("Application/JSON", Form::Json),
        ("application/problem+json", Form::Json),
        ("audio/mpeg", Form::Opaque),
        ("", Form::Opaque),
    ];
    for (content_type, form) in cases {
        assert_eq!(Form::of(content_type), form);
    }
}

#[test]
fn an_event_of_any_size_passes_and_its_usage_counts() {
    let huge = "x".repeat(3 << 20);
    let stream = RESPONSES.replace(r#""output":["#, &format!(r#""output":["{huge}","#));
    for size in [65_536, stream.len()] {
        let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
        let heard = hear(OPENAI_RESPONSES, ObserverOptions::default(), &pieces);
        assert!(heard.bytes == stream);
        assert_eq!(heard.usage, Some(TOKENS));
        assert!(heard.ended || size == stream.len());
    }
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_compressed_answer_is_read_and_passes_as_it_is_wanted() {
    let bytes = packed(CHAT);
    let mut through =
        StreamObserver::new(OPENAI_CHAT, HIDING).reading_through(Coding::of("gzip").unwrap());
    let mut unpacking =
        StreamObserver::new(OPENAI_CHAT, HIDING).unpacking(Coding::of("gzip").unwrap());
    let (mut as_it_is, mut unpacked) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(20) {
        through.push(Bytes::copy_from_slice(piece), &mut as_it_is);
        unpacking.push(Bytes::copy_from_slice(piece), &mut unpacked);
    }
    through.finish(&mut as_it_is);
    unpacking.finish(&mut unpacked);
    assert_eq!(as_it_is.concat(), bytes);
    assert_eq!(unpacked.concat(), hear(OPENAI_CHAT, HIDING, &[CHAT.as_bytes()]).bytes.as_bytes());
    for observer in [through, unpacking] {
        assert_eq!(
            (observer.usage(), observer.first(), observer.ended()),
            (Some(TOKENS), &First::Content, true)
        );
    }
}

#[test]
fn an_answer_that_is_badly_compressed_is_an_error_or_passes_unread() {
    let wrong = Bytes::from_static(b"this is no gzip at all");
    let mut out = Vec::new();
    let mut observer =
        StreamObserver::new(OPENAI_CHAT, HIDING).unpacking(Coding::of("gzip").unwrap());
    observer.push(wrong.clone(), &mut out);
    assert!(out.is_empty());
    assert!(matches!(observer.first(), First::Error(error) if error.retryable()));
    let mut observer =
        StreamObserver::new(OPENAI_CHAT, HIDING).reading_through(Coding::of("gzip").unwrap());
    observer.push(wrong.clone(), &mut out);
    observer.push(wrong.clone(), &mut out);
    assert_eq!((out, observer.first()), (vec![wrong; 2], &First::Content));
}

#[test]
fn a_broken_stream_is_closed_in_good_form() {
    let words =
        ErrorWords { status: 502, code: "upstream_broke", message: "it broke", request_id: "r" };
    let said = |grammar, options, before: &'static str| {
        let mut observer = StreamObserver::new(grammar, options);
        observer.push(Bytes::from_static(before.as_bytes()), &mut Vec::new());
        String::from_utf8(observer.broken_off(&words).into()).unwrap()
    };
    let plain = ObserverOptions::default();
    assert!(said(ANTHROPIC, plain, "data: {}\n\n").starts_with("event: error\n"));
    assert!(said(ANTHROPIC, plain, "data: {").starts_with("\n\nevent: error\n"));
    assert!(said(OPENAI_CHAT, HIDING, "data: {").starts_with("data: {\"error\""));
    assert_eq!(said(OPENAI_CHAT, plain, "data: [DONE]\n\n"), "");
    assert_eq!(said(OPENAI_CHAT, plain, "{\"a\":"), "");
}

proptest! {
    #[test]
    fn any_split_gives_the_same_bytes_and_tokens(
        which in 0..4_usize, plain: bool, hide: bool, crlf: bool,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let (grammar, stream) = streams()[which];
        let grammar = if plain { PLAIN } else { grammar };
        let stream = if crlf { stream.replace('\n', "\r\n") } else { stream.to_owned() };
        let options = ObserverOptions { form: Form::Sse, hide_usage_event: hide };
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> =
            cuts.windows(2).map(|cut| &stream.as_bytes()[cut[0]..cut[1]]).collect();
        prop_assert_eq!(
            hear(grammar, options, &pieces),
            hear(grammar, options, &[stream.as_bytes()])
        );
    }

    #[test]
    fn no_bytes_make_it_panic_and_none_is_lost(
        pieces in prop::collection::vec(
            prop_oneof![
                any::<Vec<u8>>(),
                Just(b"data: {\"usage\":{\"prompt_tokens\":1},\"error\":".to_vec()),
                Just(b"\r\n\r\n".to_vec()),
                Just(b"{\"choices\":[],".to_vec()),
                Just(b"event: error\ndata: ".to_vec()),
            ],
            0..8,
        ),
        which in 0..4_usize,
    ) {
        let mut observer = StreamObserver::new(streams()[which].0, ObserverOptions::default());
        let mut out = Vec::new();
        for piece in &pieces {
            observer.push(Bytes::copy_from_slice(piece), &mut out);
        }
        observer.finish(&mut out);
        prop_assert_eq!(out.concat(), pieces.concat());
    }
}
