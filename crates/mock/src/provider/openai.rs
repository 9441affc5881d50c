//! OpenAI beside its chats: embeddings, images, audio, files, moderations.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Call, model};
use crate::http::Reply;

/// A PNG of one white pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4////fwAJ+wP9KobjigAAAABJRU5ErkJggg==";

pub(super) fn reply(call: &Call<'_>) -> Result<Reply, Reply> {
    let path = call.head.path();
    match (call.head.method.as_str(), path) {
        ("POST", "/v1/embeddings") => embeddings(call),
        ("POST", "/v1/images/generations" | "/v1/images/edits") => Ok(image(call)),
        ("POST", "/v1/audio/speech") => speech(call),
        ("POST", "/v1/audio/transcriptions" | "/v1/audio/translations") => Ok(transcript(call)),
        ("POST", "/v1/moderations") => Ok(moderation(call)),
        ("POST", "/v1/files") => Ok(Reply::json(200, &file(&call.id("file-"), call.body.len()))),
        ("GET", "/v1/files") => {
            let files = [file("file-mock1", 120), file("file-mock2", 240)];
            let list = json!({"object": "list", "data": files, "has_more": false});
            Ok(Reply::json(200, &list))
        }
        (method, path) => {
            let id = path.strip_prefix("/v1/files/").filter(|id| id.starts_with("file-"));
            match (method, id) {
                ("GET", Some(id)) if id.ends_with("/content") => {
                    Ok(Reply::whole(200, "application/octet-stream", "the file's content\n"))
                }
                ("GET", Some(id)) => Ok(Reply::json(200, &file(id, 120))),
                ("DELETE", Some(id)) => {
                    let gone = json!({"id": id, "object": "file", "deleted": true});
                    Ok(Reply::json(200, &gone))
                }
                _ => Err(call.refuse(404, "unknown_url", "Unknown request URL.")),
            }
        }
    }
}

fn embeddings(call: &Call<'_>) -> Result<Reply, Reply> {
    let body = call.json()?;
    let model = model(call, body["model"].as_str())?;
    let inputs = match &body["input"] {
        // A list of numbers is one input of tokens.
        Value::Array(all) if all.first().is_some_and(|first| !first.is_number()) => all.clone(),
        one => vec![one.clone()],
    };
    let size = body["dimensions"].as_u64().unwrap_or(8);
    let packed = body["encoding_format"] == "base64";
    let entry = |(index, input): (usize, &Value)| {
        let vector = vector(&input.to_string(), size);
        let embedding = if packed {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            json!(STANDARD.encode(bytes))
        } else {
            json!(vector)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    };
    let tokens = call.body.len() / 4 + 1;
    let answer = json!({
        "object": "list", "data": inputs.iter().enumerate().map(entry).collect::<Vec<_>>(),
        "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    });
    Ok(Reply::json(200, &answer))
}

/// A vector that is always the same for the same text. All its numbers are exact in binary.
pub(super) fn vector(text: &str, size: u64) -> Vec<f32> {
    let mut state = text.bytes().fold(17_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
    let numbers = (0..size.min(4096)).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let step = u8::try_from(state >> 24).expect("eight bits are left");
        f32::from(step) / 128.0 - 1.0
    });
    numbers.collect()
}

fn image(call: &Call<'_>) -> Reply {
    let tokens = call.body.len() / 4 + 1;
    let answer = json!({
        "created": 1_790_000_000, "background": "opaque", "output_format": "png",
        "size": "1024x1024", "quality": "low", "data": [{"b64_json": PIXEL}],
        "usage": {
            "input_tokens": tokens, "output_tokens": 272, "total_tokens": tokens + 272,
            "input_tokens_details": {"text_tokens": tokens, "image_tokens": 0},
        },
    });
    Reply::json(200, &answer)
}

/// Not a sound, but as many bytes of no text as one has.
fn speech(call: &Call<'_>) -> Result<Reply, Reply> {
    call.json()?;
    let piece: Vec<u8> = (0..=255).cycle().take(4096).collect();
    Ok(Reply::pieces("audio/mpeg", vec![Bytes::from(piece); 4]))
}

fn transcript(call: &Call<'_>) -> Reply {
    if memchr::memmem::find(call.body, b"\r\n\r\ntext\r\n").is_some() {
        return Reply::whole(200, "text/plain; charset=utf-8", "Hello from the mock.\n");
    }
    let answer = json!({
        "text": "Hello from the mock.",
        "usage": {
            "type": "tokens", "input_tokens": 40, "output_tokens": 6, "total_tokens": 46,
            "input_token_details": {"text_tokens": 10, "audio_tokens": 30},
        },
    });
    Reply::json(200, &answer)
}

fn moderation(call: &Call<'_>) -> Reply {
    let result = json!({
        "flagged": false, "categories": {"violence": false},
        "category_scores": {"violence": 0.001}, "category_applied_input_types": {"violence": []},
    });
    let answer =
        json!({"id": call.id("modr-"), "model": "omni-moderation-latest", "results": [result]});
    Reply::json(200, &answer)
}

fn file(id: &str, bytes: usize) -> Value {
    json!({
        "id": id, "object": "file", "bytes": bytes, "created_at": 1_790_000_000,
        "filename": "mock.jsonl", "purpose": "batch", "status": "processed",
    })
}
