//! One call from codec to codec: what the provider is told, and what the client gets.

use bytes::Bytes;
use dialect::{
    Ask, Beginning, Codec, EncodeStream, Encoded, Failure, Reply, StreamReader, Target,
    chat::{Event, Request, Wish},
    codec::{ANTHROPIC, GEMINI, OPENAI_CHAT, OPENAI_RESPONSES},
};

use crate::{case::Model, json::Json, matching::Binds};

/// How the pieces of a stream come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All at once.
    Whole,
    /// As the case says, with a sign of life after each piece.
    AsGiven,
    /// Byte by byte.
    Bytes,
}

/// What the client gets.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Vec<u8>,
}

/// A call that was understood, or refused.
#[derive(Debug)]
pub(crate) struct Call {
    client: &'static dyn Codec,
    target: &'static dyn Codec,
    reply: Reply,
    stream: bool,
    counting: bool,
    /// What the provider is told; nothing where the call was refused.
    pub(crate) told: Result<Encoded, Answer>,
}

/// The codec of a dialect.
pub(crate) fn codec(dialect: &str) -> &'static dyn Codec {
    match dialect {
        "openai-chat" => OPENAI_CHAT,
        "openai-responses" => OPENAI_RESPONSES,
        "anthropic" => ANTHROPIC,
        "gemini" => GEMINI,
        _ => panic!("`{dialect}` is no dialect"),
    }
}

impl Call {
    /// Puts the question of a client to a model.
    pub(crate) fn put(client: &str, question: &Json, model: &Model) -> Call {
        let (client, target) = (codec(client), codec(&model.dialect));
        let path = question.get("path").str();
        let counting = ["count_tokens", "input_tokens", "countTokens"];
        let raw = question.get("raw_body").as_text().map(str::to_owned);
        let body = raw.unwrap_or_else(|| question.get("body").to_string());
        let ask = Ask {
            body: body.as_bytes(),
            model: path.split_once("/models/").map(|(_, rest)| rest.rsplit_once(':').unwrap().0),
            stream: path.ends_with(":streamGenerateContent"),
            as_array: path.ends_with(":streamGenerateContent")
                && question.get("query").get("alt").str() != "sse",
        };
        let mut call = Call {
            client,
            target,
            reply: Reply {
                model: model.alias.clone(),
                unique: "0a1b2c3d4e5f60718293a4b5c6d7e8f9".to_owned(),
                created: 1_763_600_000,
                wish: Wish::default(),
            },
            stream: false,
            counting: counting.iter().any(|end| path.ends_with(end)),
            told: Err(Answer { status: 0, content_type: "", retry_after: None, body: Vec::new() }),
        };
        let asked = match call.counting {
            true => client.decode_count_request(ask),
            false => client.decode_request(ask),
        };
        let told = asked.and_then(|request| call.tell(&request, model));
        call.told = told.map_err(|failure| call.failed(&failure));
        call
    }

    fn tell(&mut self, request: &Request<'_>, model: &Model) -> Result<Encoded, Failure> {
        self.reply.wish = request.wish.clone();
        self.stream = request.stream;
        let profile = model.profile(self.target.profile());
        let target = Target { model: &model.name, profile: &profile };
        let told = match self.counting {
            true => self.target.encode_count_request(request, target).unwrap(),
            false => self.target.encode_request(request, target),
        };
        told.map(|mut told| {
            told.names.unique = self.reply.unique.clone();
            told
        })
    }

    /// What the client gets for what the provider answers.
    pub(crate) fn answer(&self, answer: &Json, cut: Cut) -> Answer {
        let status = u16::try_from(answer.get("status").int().unwrap()).unwrap();
        let pieces = pieces(answer);
        let whole = pieces.concat();
        if status >= 400 {
            let mut failure = self.target.decode_failure(status, &whole);
            let told = answer.get("headers").get("retry-after").str().parse();
            let told = told.ok().map(std::time::Duration::from_secs);
            failure.retry_after = told.or(failure.retry_after);
            return self.failed(&failure);
        }
        if self.counting {
            return self.good(self.client.encode_count(self.target.decode_count(&whole).unwrap()));
        }
        let names = &self.told.as_ref().unwrap().names;
        if !self.stream {
            return match self.target.decode_answer(&whole, names) {
                Ok(answer) => match answer.left_for(self.client) {
                    Ok(()) => self.good(self.client.encode_answer(&answer, &self.reply)),
                    Err(failure) => self.failed(&failure),
                },
                Err(failure) => self.failed(&failure),
            };
        }
        let mut reader = StreamReader::new(self.target, names.clone());
        let mut stream = Stream {
            encoder: self.client.encode_stream(self.reply.clone()),
            beginning: Beginning::new(self.client),
            failed: None,
            out: Vec::new(),
        };
        let pieces = match cut {
            Cut::Whole => vec![whole],
            Cut::AsGiven => pieces,
            Cut::Bytes => whole.iter().map(|byte| vec![*byte]).collect(),
        };
        for piece in pieces {
            reader.push(Bytes::from(piece), &mut |event| stream.event(event));
            if cut == Cut::AsGiven && stream.beginning.has_begun() {
                stream.encoder.keep_alive(&mut stream.out);
            }
        }
        reader.finish(&mut |event| stream.event(event));
        match stream.failed {
            Some(failure) => self.failed(&failure),
            None => {
                let content_type = stream.encoder.content_type();
                Answer { content_type, ..self.good(stream.out) }
            }
        }
    }

    fn good(&self, body: Vec<u8>) -> Answer {
        Answer { status: 200, content_type: "application/json", retry_after: None, body }
    }

    fn failed(&self, failure: &Failure) -> Answer {
        let status = self.client.status(failure.kind);
        let wait = failure.retry_after.map(|wait| wait.as_secs_f64().ceil() as u64);
        let body = self.client.grammar().failure(failure, status, "req_golden");
        Answer { status, retry_after: wait, ..self.good(body) }
    }
}

/// What the client of a stream gets. A failure before anything was said is an HTTP error.
struct Stream {
    encoder: Box<dyn EncodeStream>,
    beginning: Beginning,
    failed: Option<Failure>,
    out: Vec<u8>,
}

impl Stream {
    fn event(&mut self, event: Event<'_>) {
        let mut told = Vec::new();
        self.beginning.push(event, &mut |event| told.push(event.into_owned()));
        for event in told {
            match event {
                Event::Failed(failure) if !self.beginning.has_begun() => {
                    self.failed = Some(failure)
                }
                event => self.encoder.event(event, &mut self.out),
            }
        }
    }
}

/// The pieces in which a provider's answer comes.
fn pieces(answer: &Json) -> Vec<Vec<u8>> {
    if answer.member("chunks").is_none() {
        let body = answer.get("body");
        return vec![body.as_text().map(str::to_owned).unwrap_or(body.to_string()).into_bytes()];
    }
    let chunks = answer.get("chunks").items().iter();
    let pieces = chunks.filter(|chunk| chunk.member("sleep_ms").is_none());
    pieces
        .map(|chunk| match (chunk.as_text(), chunk.get("hex").as_text()) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(hex)) => {
                let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                (0..hex.len()).step_by(2).map(byte).collect()
            }
            _ => crate::matching::base64(chunk.get("b64").str()).unwrap(),
        })
        .collect()
}

/// What differs between what was told and what the case says the provider must get.
pub(crate) fn told_faults(
    want: &Json,
    got: &Encoded,
    dialect: &str,
    binds: &mut Binds,
) -> Vec<String> {
    use crate::matching::{Others, differences};

    let mut compare = |what: &str, want: &Json, got: &Json, others| {
        let faults = differences(want, got, binds, others);
        faults.into_iter().map(|fault| format!("{what} {fault}")).collect::<Vec<_>>()
    };
    let mut faults = compare("path", want.get("path"), &Json::text(&*got.path), Others::Faulty);
    let pairs = got.query.split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(name, value)| (name.to_owned(), Json::text(value))).collect();
    if want.member("query").is_some() || !got.query.is_empty() {
        let mut wanted = want.get("query").clone();
        if wanted.is_null() {
            wanted = Json::Object(Vec::new());
        }
        faults.extend(compare("query", &wanted, &Json::Object(query), Others::Faulty));
    }
    const CREDENTIALS: [&str; 3] = ["authorization", "x-api-key", "x-goog-api-key"];
    for (name, want) in want.get("headers").members() {
        if !CREDENTIALS.contains(&&**name) && want.member("$absent").is_none() {
            let told = got.headers.iter().find(|(told, _)| told == name);
            let told = told.map_or(Json::Null, |(_, value)| Json::text(*value));
            faults.extend(compare(name, want, &told, Others::Faulty));
        }
    }
    match Json::read(&got.body) {
        Ok(body) => {
            let body = crate::told::plainly(dialect, body);
            faults.extend(compare("body", want.get("body"), &body, Others::Faulty));
        }
        Err(fault) => faults.push(format!("the body is not JSON: {fault}")),
    }
    faults
}
