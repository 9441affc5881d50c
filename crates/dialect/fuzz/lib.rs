//! What every dialect's fuzz target does with the bytes it is given: reads them in every way that
//! a client or a provider could mean them, and writes what was understood in every dialect.

use bytes::Bytes;
use dialect::{
    Ask, Codec, Kind, Names, Reply, StreamReader, Target, Value,
    codec::{ANTHROPIC, GEMINI, OPENAI_CHAT, OPENAI_RESPONSES},
};

/// Every dialect.
const ALL: [&dyn Codec; 4] = [OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC, GEMINI];

/// Reads `data` as what the first byte says: a request, a whole answer, an error, or a stream in
/// pieces of that size.
pub fn decode(codec: &'static dyn Codec, data: &[u8]) {
    let Some((&how, data)) = data.split_first() else { return };
    match how {
        0..=95 => request(codec, data),
        96..=127 => answer(codec, data),
        128..=143 => {
            codec.decode_failure(500, data);
            codec.decode_count(data);
        }
        size => stream(codec, data, usize::from(size - 143)),
    }
}

fn request(codec: &dyn Codec, data: &[u8]) {
    let ask = Ask { body: data, model: Some("m"), stream: data.len() % 2 == 1, as_array: false };
    if let Ok(value) = Value::read(data) {
        codec.wrapped_signatures(&value);
    }
    let _ = codec.decode_count_request(ask);
    let Ok(request) = codec.decode_request(ask) else { return };
    for target in ALL {
        let profile = target.profile();
        let place = Target { model: "m", profile: &profile };
        if let Ok(encoded) = target.encode_request(&request, place) {
            is_an_object(&encoded.body);
        }
        if let Some(Ok(encoded)) = target.encode_count_request(&request, place) {
            is_an_object(&encoded.body);
        }
    }
}

fn answer(codec: &dyn Codec, data: &[u8]) {
    let Ok(answer) = codec.decode_answer(data, &Names::default()) else { return };
    for client in ALL {
        is_an_object(&client.encode_answer(&answer, &Reply::default()));
    }
}

fn stream(codec: &'static dyn Codec, data: &[u8], piece: usize) {
    for client in ALL {
        let mut reader = StreamReader::new(codec, Names::default());
        let mut encoder = client.encode_stream(Reply::default());
        let mut out = Vec::new();
        for piece in data.chunks(piece) {
            let piece = Bytes::copy_from_slice(piece);
            reader.push(piece, &mut |event| encoder.event(event, &mut out));
            encoder.keep_alive(&mut out);
        }
        reader.finish(&mut |event| encoder.event(event, &mut out));
        assert!(std::str::from_utf8(&out).is_ok(), "a stream that is no text");
    }
}

fn is_an_object(json: &[u8]) {
    let value = Value::read(json).expect("what is written is JSON");
    assert!(matches!(value.kind(), Kind::Object(_)), "and an object");
}
