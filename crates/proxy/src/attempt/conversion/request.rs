//! The question: read once, and said again for each target that needs it.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use dialect::{
    Ask, Codec, Encoded, Failure, FailureKind, Reply, Target,
    chat::{Request, Wish},
    embed::EmbedRequest,
};
use domain::{Dialect, Upstream};
use uuid::Uuid;

use super::{
    converted::{Converted, JSON, Whole},
    media::{Fetched, Fetcher},
    vectors::{self, Vectors},
    wording::Wording,
};
use crate::{
    attempt::profile,
    door::{Door, Endpoint, Job, Operation, codec_of},
    headers,
    http1::RequestHead,
    memory::BodyMemory,
    pool::line::Connector,
    request::inbound::Call,
    routing::Planned,
    usage::Measured,
};

/// Longest value of the header that tells what was left out.
const DROPPED_MAX: usize = 4 << 10;

/// What a call needs to be said in other dialects.
#[derive(Debug)]
pub(crate) struct Conversion<'a> {
    call: &'a Call,
    dialect: Dialect,
    client: &'static dyn Codec,
    job: Job,
    /// The path asks for a stream, and for one JSON array of it (Gemini).
    path_streams: bool,
    as_array: bool,
    /// The question, once a target needed it.
    asked: OnceLock<Result<Asked<'a>, Failure>>,
    /// Media that were fetched from addresses in it.
    fetched: Fetched,
}

/// What is asked.
#[derive(Debug)]
enum Asked<'a> {
    Text(Box<Request<'a>>),
    Vectors(EmbedRequest<'a>),
}

/// What became of a question for one target.
#[derive(Debug)]
pub(crate) enum Worded {
    /// It is to be asked this.
    Ask(Box<Wording>),
    /// It need not be asked.
    Known(Converted),
}

impl<'a> Conversion<'a> {
    /// The conversion of `call`; none where it can only go as it is.
    pub(crate) fn of(call: &'a Call, head: &RequestHead) -> Option<Self> {
        let Door::Model(Endpoint { dialect, operation, .. }) = &call.door else { return None };
        let path_streams = matches!(
            operation,
            Operation::ModelInPath { verb, .. } if verb == ":streamGenerateContent"
        );
        let events = head.query().unwrap_or_default().split('&').any(|field| field == "alt=sse");
        Some(Self {
            call,
            dialect: *dialect,
            client: codec_of(*dialect),
            job: call.job()?,
            path_streams,
            as_array: path_streams && !events,
            asked: OnceLock::new(),
            fetched: Fetched::default(),
        })
    }

    /// Fetches the media that the question names by address and `target` takes only as data, where
    /// its policy says so; all must be here before `deadline`.
    pub(crate) async fn fetch_media(
        &mut self,
        (connector, memory): (&Connector, &Arc<BodyMemory>),
        target: &Planned,
        dialect: Dialect,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let policy = target.entry.upstream.policy.fetch_media;
        // Chat Completions count no tokens, and to estimate them needs no data.
        let needless = self.job == Job::Count && dialect == Dialect::OpenaiChat;
        if !policy.enabled || needless {
            return Ok(());
        }
        self.asked()?;
        let Some(Ok(Asked::Text(asked))) = self.asked.get() else { return Ok(()) };
        let codec = codec_of(dialect);
        if !self.fetched.lacks(asked, codec) {
            return Ok(());
        }
        let memory = self.call.memory(memory, 0).ok_or_else(busy)?;
        let deadline = deadline.min(Instant::now() + policy.timeout);
        let fetcher = Fetcher { connector, policy, deadline, memory: &memory };
        // Large, and rare: not a part of every call's future.
        Box::pin(self.fetched.fetch(asked, codec, fetcher)).await
    }

    /// The question in `dialect`, or why it cannot be said to `target`.
    pub(crate) fn worded(
        &self,
        memory: &Arc<BodyMemory>,
        target: &Planned,
        dialect: Dialect,
    ) -> Result<Worded, Failure> {
        let (from, client, job) = (self.dialect, self.client, self.job);
        let named = self.model().to_owned();
        let codec = codec_of(dialect);
        let profile = profile::overlaid(codec.profile(), &target.profile);
        let model = target.model.as_deref().unwrap_or_default();
        let to = Target { model, profile: &profile };
        let (mut stream, mut wish, mut vectors) = (false, Wish::default(), None);
        let encoded = match self.asked()? {
            Asked::Vectors(asked) => {
                let (encoded, told) = vectors::encode(from, dialect, asked, model);
                vectors = Some(told);
                encoded
            }
            Asked::Text(asked) => {
                let asked = self.fetched.put_into(asked);
                if job == Job::Count {
                    match codec.encode_count_request(&asked, to) {
                        Some(encoded) => encoded?,
                        None => return Ok(estimated(client, &asked)),
                    }
                } else {
                    (stream, wish) = (asked.stream, asked.wish.clone());
                    codec.encode_request(&asked, to)?
                }
            }
        };
        if let Some(first) = encoded.dropped.first().filter(|_| target.strict) {
            return Err(Failure::unsayable(first, strict(first, &target.entry.upstream)));
        }
        let size = vectors.as_ref().map_or(encoded.body.len() as u64, Vectors::size);
        let memory = self.call.memory(memory, size).ok_or_else(busy)?;
        let reply = reply(named, wish);
        let Encoded { path, query, headers, body, dropped, mut names } = encoded;
        names.unique.clone_from(&reply.unique);
        Ok(Worded::Ask(Box::new(Wording {
            target: codec,
            client,
            job,
            vectors,
            stream,
            names,
            reply,
            notes: notes(&dropped),
            path,
            query,
            headers,
            body: body.into(),
            memory,
        })))
    }

    /// The model as the client named it.
    fn model(&self) -> &'a str {
        self.call.model.as_deref().unwrap_or_default()
    }

    fn asked(&self) -> Result<&Asked<'a>, Failure> {
        let asked = self.asked.get_or_init(|| {
            let in_path = match &self.call.door {
                Door::Model(Endpoint {
                    operation: Operation::ModelInPath { model, .. }, ..
                }) => Some(model.as_str()),
                _ => None,
            };
            let ask = Ask {
                body: self.call.held(),
                model: in_path,
                stream: self.path_streams,
                as_array: self.as_array,
            };
            let text = |asked| Asked::Text(Box::new(asked));
            match self.job {
                Job::Generate => self.client.decode_request(ask).map(text),
                Job::Count => self.client.decode_count_request(ask).map(text),
                Job::Embed => vectors::decode(self.dialect, ask).map(Asked::Vectors),
            }
        });
        asked.as_ref().map_err(Failure::clone)
    }
}

fn reply(model: String, wish: Wish) -> Reply {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unique = Uuid::new_v4().simple().to_string();
    Reply { model, unique, created: now.as_secs(), wish }
}

/// The answer of a target that cannot count.
fn estimated(client: &dyn Codec, asked: &Request<'_>) -> Worded {
    let body = client.encode_count(dialect::estimate(asked));
    let mut fields = JSON.to_vec();
    headers::push(&mut fields, b"x-tollgate-estimated", b"true");
    Worded::Known(Converted::Whole(Whole {
        status: 200,
        fields,
        body: body.into(),
        used: Measured::default(),
        heard: None,
    }))
}

fn strict(field: &str, upstream: &Upstream) -> String {
    format!("`{field}` cannot be said to the upstream `{}`, and the route is strict", upstream.name)
}

fn busy() -> Failure {
    let words = "the gateway holds as many request bodies as it may; try again shortly";
    Failure::new(FailureKind::Overloaded, words)
}

/// The header that names what the target was not told, each once; nothing where it was told all.
fn notes(dropped: &[String]) -> Vec<u8> {
    let (mut value, mut named) = (String::new(), BTreeSet::new());
    for field in dropped {
        if !named.insert(field) {
            continue;
        }
        if value.len() + field.len() + ", ".len() > DROPPED_MAX {
            value.push_str(if value.is_empty() { "..." } else { ", ..." });
            break;
        }
        if !value.is_empty() {
            value.push_str(", ");
        }
        // Clients name their fields as they like.
        value.extend(field.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }));
    }
    let mut line = Vec::new();
    if !value.is_empty() {
        headers::push(&mut line, b"x-tollgate-dropped", value.as_bytes());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_named_once_in_characters_that_a_header_may_have() {
        let check = |dropped: &[&str], wanted: &str| {
            let dropped: Vec<String> = dropped.iter().map(|&field| field.to_owned()).collect();
            assert_eq!(String::from_utf8(notes(&dropped)).unwrap(), wanted);
        };
        check(&[], "");
        check(&["seed", "tools", "seed"], "x-tollgate-dropped: seed, tools\r\n");
        check(&["a b\r\nx: y", "é"], "x-tollgate-dropped: a?b??x:?y, ?\r\n");
        let long = "x".repeat(4000);
        let value = format!("x-tollgate-dropped: {long}, ...\r\n");
        check(&[&long, &"y".repeat(200)], &value);
        check(&[&"x".repeat(5000)], "x-tollgate-dropped: ...\r\n");
    }
}
