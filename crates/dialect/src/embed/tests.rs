//! Embeddings from dialect to dialect.

use super::*;
use crate::{Ask, Encoded, Failure};

fn ask(body: &str) -> Ask<'_> {
    Ask { body: body.as_bytes(), model: Some("m"), stream: false, as_array: false }
}

fn body(encoded: &Encoded) -> &str {
    std::str::from_utf8(&encoded.body).unwrap()
}

fn text(answer: Result<Vec<u8>, Failure>) -> String {
    String::from_utf8(answer.unwrap()).unwrap()
}

#[test]
fn an_openai_request_reaches_gemini() {
    let request = openai::decode_request(
        br#"{"model":"a","input":["x","y"],"dimensions":2,"encoding_format":"base64","user":"u","new":1}"#,
    );
    let request = request.unwrap();
    assert_eq!(request.wish, EmbedWish { base64: true, single: false });
    let encoded = gemini::encode_request(&request, "g/1");
    assert_eq!(encoded.path, "/v1beta/models/g%2F1:batchEmbedContents");
    assert_eq!(
        body(&encoded),
        r#"{"requests":[{"model":"models/g/1","content":{"parts":[{"text":"x"}]},"outputDimensionality":2},{"model":"models/g/1","content":{"parts":[{"text":"y"}]},"outputDimensionality":2}]}"#
    );
    assert_eq!(encoded.dropped, ["new"]);
}

#[test]
fn a_gemini_request_reaches_openai() {
    let request = gemini::decode_request(ask(
        r#"{"content":{"parts":[{"text":"x"},{"text":"y"}]},"task_type":"RETRIEVAL_QUERY","title":"t","output_dimensionality":3}"#,
    ));
    let request = request.unwrap();
    assert!(request.wish.single);
    let encoded = openai::encode_request(&request, "o");
    assert_eq!(encoded.path, "/v1/embeddings");
    assert_eq!(body(&encoded), r#"{"model":"o","input":["x\ny"],"dimensions":3}"#);
    assert_eq!(encoded.dropped, ["task_type", "title"]);

    let many = gemini::decode_request(ask(
        r#"{"requests":[{"model":"models/m","content":{"parts":{"text":"x"}},"taskType":"A"},{"content":{"parts":[{"text":"y"}]},"taskType":"A"}]}"#,
    ));
    let many = many.unwrap();
    assert_eq!((many.inputs.len(), many.wish.single), (2, false));
    assert_eq!(many.dropped, ["requests[0].taskType"]);
}

#[test]
fn a_malformed_request_is_refused_with_the_field_at_fault() {
    let param = |failure: Failure| failure.param.unwrap_or_default();
    for (body, field) in [
        ("{}", "input"),
        (r#"{"input":[]}"#, "input"),
        (r#"{"input":[1,2]}"#, "input"),
        (r#"{"input":[[1,2]]}"#, "input"),
        (r#"{"input":["a",{}]}"#, "input"),
        (r#"{"input":"a","dimensions":"x"}"#, "dimensions"),
        (r#"{"input":"a","encoding_format":"hex"}"#, "encoding_format"),
        ("[]", ""),
    ] {
        let failure = openai::decode_request(body.as_bytes()).expect_err(body);
        assert_eq!(param(failure), field, "{body}");
    }
    for (body, field) in [
        ("{}", "content"),
        (r#"{"requests":[]}"#, "requests"),
        (r#"{"requests":[{}]}"#, "requests[0].content"),
        (r#"{"content":{"parts":[]}}"#, "content.parts"),
        (r#"{"content":{"parts":[{"inlineData":{}}]}}"#, "content.parts[0].text"),
        (
            r#"{"requests":[{"content":"a","outputDimensionality":1},{"content":"b"}]}"#,
            "requests[1]",
        ),
    ] {
        assert_eq!(param(gemini::decode_request(ask(body)).expect_err(body)), field, "{body}");
    }
}

#[test]
fn vectors_keep_their_numbers_or_are_packed() {
    let given = br#"{"embeddings":[{"values":[0.5, -0.25]},{"values":[1e-7,1.0]}]}"#;
    let answer = gemini::decode_answer(given).unwrap();
    assert_eq!(
        text(openai::encode_answer(&answer, EmbedWish::default(), "a")),
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5, -0.25]},{"object":"embedding","index":1,"embedding":[1e-7,1.0]}],"model":"a","usage":{"prompt_tokens":0,"total_tokens":0}}"#
    );
    let packed = EmbedWish { base64: true, ..EmbedWish::default() };
    let packed = text(openai::encode_answer(&answer, packed, "a"));
    assert!(packed.contains(r#""embedding":"AAAAPwAAgL4=""#), "{packed}");

    let again = openai::decode_answer(packed.as_bytes()).unwrap();
    assert_eq!(
        text(gemini::encode_answer(&again, EmbedWish::default())),
        r#"{"embeddings":[{"values":[0.5,-0.25]},{"values":[1e-7,1.0]}],"usageMetadata":{"promptTokenCount":0,"totalTokenCount":0}}"#
    );
}

#[test]
fn an_openai_answer_reaches_gemini_in_order() {
    let given = br#"{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1]}],"usage":{"prompt_tokens":7,"total_tokens":7}}"#;
    let answer = openai::decode_answer(given).unwrap();
    let many = text(gemini::encode_answer(&answer, EmbedWish::default()));
    assert!(many.starts_with(r#"{"embeddings":[{"values":[1]},{"values":[2]}]"#), "{many}");
    let single = EmbedWish { single: true, ..EmbedWish::default() };
    assert_eq!(
        text(gemini::encode_answer(&answer, single)),
        r#"{"embedding":{"values":[1]},"usageMetadata":{"promptTokenCount":7,"totalTokenCount":7}}"#
    );
}

#[test]
fn an_answer_without_vectors_is_a_failure() {
    for body in [&b"{}"[..], b"x", br#"{"data":[{"embedding":[null]}]}"#] {
        assert!(openai::decode_answer(body).is_err());
    }
    assert!(gemini::decode_answer(br#"{"embeddings":[{}]}"#).is_err());
    let failure = gemini::decode_answer(br#"{"error":{"code":429,"message":"slow"}}"#).unwrap_err();
    assert_eq!((failure.kind.status(), &*failure.message), (429, "slow"));
    for packed in ["AAA=", "!", "AADAfw=="] {
        assert!(Vector::Packed(packed.into()).numbers().is_err(), "{packed}");
    }
}
