//! Which door: where a request wants to go, in which dialect, and to do what. Read off the head
//! alone; what stands in the body is `inbound`'s business.

mod place;

use dialect::{Codec, Grammar};
use domain::Dialect;

use self::place::{Place, is_gemini_verb, is_tricky, names_a_model, with_slashes};
use crate::{http1::RequestHead, refusal::Refusal};

/// Where a request is going, by its path alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Door {
    /// `/livez`
    Live,
    /// `/readyz`, `/healthz`
    Ready,
    /// `/api/…`: somebody took the wrong port.
    Management,
    /// `/proxy/{upstream}/{path}`
    Opaque { upstream: String, path: String },
    /// `/v1/…`, `/v1beta/…`, and the same as other clients write it
    Model(Endpoint),
}

/// A model route: in which dialect, and to do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) dialect: Dialect,
    pub(crate) operation: Operation,
    /// The path as providers serve it, where the client wrote it in another way.
    pub(crate) path: Option<String>,
    /// The model, where the path names it as Azure's deployments do.
    pub(crate) deployment: Option<String>,
    /// Whether the client speaks to Azure, whose version of the API stands in the query.
    pub(crate) azure: bool,
}

/// What a model route does, as far as we treat it differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `GET /v1/models`: answered here.
    ListModels,
    /// `GET /v1/models/{id}`: answered here.
    OneModel(String),
    /// `GET /v1/usage`: answered here.
    OwnUsage,
    /// OpenAI Chat Completions: the only one whose streams must be asked for usage.
    Chat,
    /// Anthropic Messages, OpenAI Responses.
    Converse,
    /// OpenAI Responses over a WebSocket: the gateway is its other side.
    Socket,
    /// How many tokens a question would have.
    Count,
    /// OpenAI's embeddings.
    Embed,
    /// The model stands in the path: its name, and what follows it (`:generateContent`).
    ModelInPath { model: String, version: String, verb: String },
    /// Text by a model in ways that are no longer used.
    Text,
    /// Anything else.
    Other,
}

/// What every dialect has a way to ask for: such a call can go to any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// An answer by a model.
    Generate,
    /// The number of tokens of a question.
    Count,
    /// Texts as vectors.
    Embed,
}

/// What may be done with a model route.
const MODEL_METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

impl Door {
    /// Whether a request of this method may come in here at all.
    pub(crate) fn admits(&self, method: &str) -> Result<(), Refusal> {
        let admitted = match self {
            Door::Model(_) => MODEL_METHODS.contains(&method),
            // They would show what the request carried, or lead elsewhere.
            _ => !matches!(method, "TRACE" | "TRACK" | "CONNECT"),
        };
        let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE";
        let refusal = || Refusal::Method { method: method.to_owned(), allowed };
        if admitted { Ok(()) } else { Err(refusal()) }
    }

    /// Reads the path of a request. Paths that two readers could read differently lead nowhere.
    pub(crate) fn of(head: &RequestHead) -> Result<Door, Refusal> {
        let path = head.path();
        match path {
            "/livez" => return Ok(Door::Live),
            "/readyz" | "/healthz" => return Ok(Door::Ready),
            _ => {}
        }
        if path == "/api" || path.starts_with("/api/") {
            return Ok(Door::Management);
        }
        if is_tricky(path) && !names_a_model(head) {
            return Err(Refusal::NoSuchPath);
        }
        if let Some(rest) = path.strip_prefix("/proxy/") {
            let (upstream, path) = match rest.find('/') {
                Some(slash) => (&rest[..slash], &rest[slash..]),
                None => (rest, ""),
            };
            let (upstream, path) = (upstream.to_owned(), path.to_owned());
            return Ok(Door::Opaque { upstream, path });
        }
        endpoint(head).map(Door::Model).ok_or(Refusal::NoSuchPath)
    }

    /// The path as providers serve it; of a request at this door.
    pub(crate) fn path<'a>(&'a self, head: &'a RequestHead) -> &'a str {
        match self {
            Door::Model(Endpoint { path: Some(path), .. }) => path,
            _ => head.path(),
        }
    }

    /// Whether a request at this door asks for a secret with which clients go to the provider
    /// themselves, past the gateway.
    pub(crate) fn gives_a_secret(&self, head: &RequestHead) -> bool {
        let path = match self {
            Door::Opaque { path, .. } => path,
            _ => self.path(head),
        };
        head.method() == "POST" && SECRETS.iter().any(|end| path.ends_with(end))
    }

    /// The dialect that is spoken there, on a model route.
    pub(crate) fn dialect(&self) -> Option<Dialect> {
        match self {
            Door::Model(endpoint) => Some(endpoint.dialect),
            _ => None,
        }
    }

    /// Whether the gateway is the other side of the WebSocket that is asked for.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self, Door::Model(Endpoint { operation: Operation::Socket, .. }))
    }

    /// Whether a caller asks for its own limits and their use.
    pub(crate) fn is_own_usage(&self) -> bool {
        matches!(self, Door::Model(Endpoint { operation: Operation::OwnUsage, .. }))
    }

    /// How errors are said to who came to this door.
    pub(crate) fn grammar(&self) -> &'static dyn Grammar {
        match self {
            Door::Model(endpoint) => grammar_of(endpoint.dialect),
            _ => dialect::PLAIN,
        }
    }
}

impl Endpoint {
    /// What is to be done, where other dialects can be asked for it too.
    pub(crate) fn job(&self) -> Option<Job> {
        match &self.operation {
            Operation::Chat | Operation::Converse => Some(Job::Generate),
            Operation::Count => Some(Job::Count),
            Operation::Embed => Some(Job::Embed),
            Operation::ModelInPath { verb, .. } => match verb.as_str() {
                ":generateContent" | ":streamGenerateContent" => Some(Job::Generate),
                ":countTokens" => Some(Job::Count),
                ":embedContent" | ":batchEmbedContents" => Some(Job::Embed),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The grammar of a dialect.
pub(crate) fn grammar_of(dialect: Dialect) -> &'static dyn Grammar {
    match dialect {
        Dialect::OpenaiChat => dialect::OPENAI_CHAT,
        Dialect::OpenaiResponses => dialect::OPENAI_RESPONSES,
        Dialect::AnthropicMessages => dialect::ANTHROPIC,
        Dialect::Gemini => dialect::GEMINI,
    }
}

/// The codec of a dialect.
pub(crate) fn codec_of(dialect: Dialect) -> &'static dyn Codec {
    match dialect {
        Dialect::OpenaiChat => dialect::codec::OPENAI_CHAT,
        Dialect::OpenaiResponses => dialect::codec::OPENAI_RESPONSES,
        Dialect::AnthropicMessages => dialect::codec::ANTHROPIC,
        Dialect::Gemini => dialect::codec::GEMINI,
    }
}

/// How paths end at which ephemeral secrets are made: OpenAI's for Realtime and ChatKit, Google's
/// for Live.
const SECRETS: [&str; 5] = [
    "/realtime/client_secrets",
    "/realtime/sessions",
    "/realtime/transcription_sessions",
    "/chatkit/sessions",
    "/auth_tokens",
];

/// What only OpenAI has under `/v1/`. Whoever asks for it may carry the key where Google's SDKs do.
const OPENAI_ONLY: [&str; 14] = [
    "audio",
    "chat",
    "chatkit",
    "completions",
    "containers",
    "conversations",
    "evals",
    "fine_tuning",
    "images",
    "moderations",
    "realtime",
    "safety",
    "vector_stores",
    "videos",
];

/// Whose dialect a path has that belongs to several vendors: the SDKs tell by their headers.
fn shared_dialect(head: &RequestHead, version: &str, rest: &str) -> Dialect {
    let says = |name| head.get(name).is_some();
    let asks = |field: &str| {
        head.query().unwrap_or_default().split('&').any(|f| f.split('=').next() == Some(field))
    };
    let openai = version == "v1" && OPENAI_ONLY.iter().any(|segment| starts(rest, segment));
    if openai && !says("x-goog-api-client") {
        Dialect::OpenaiChat
    } else if says("anthropic-version") {
        Dialect::AnthropicMessages
    } else if says("x-goog-api-key") || says("x-goog-api-client") || asks("key") || version != "v1"
    {
        Dialect::Gemini
    } else {
        Dialect::OpenaiChat
    }
}

fn endpoint(head: &RequestHead) -> Option<Endpoint> {
    let Place { path, deployment, azure, google } = Place::of(head)?;
    let (dialect, operation) = if google {
        (Dialect::Gemini, Operation::Other)
    } else {
        let (version, rest) = path.strip_prefix('/')?.split_once('/')?;
        asked(head, version, rest, azure)
    };
    let path = match path {
        std::borrow::Cow::Borrowed(_) => None,
        std::borrow::Cow::Owned(path) => Some(path),
    };
    Some(Endpoint { dialect, operation, path, deployment, azure })
}

/// In which dialect a path behind its version is asked for, and for what.
fn asked(head: &RequestHead, version: &str, rest: &str, azure: bool) -> (Dialect, Operation) {
    let is_get = matches!(head.method(), "GET" | "HEAD");
    let is_post = head.method() == "POST";
    let gemini = version != "v1";
    let shared = if azure { Dialect::OpenaiChat } else { shared_dialect(head, version, rest) };
    match rest {
        "models" if is_get => (shared, Operation::ListModels),
        _ if rest.starts_with("models/") => {
            let name = &rest["models/".len()..];
            match name.rsplit_once(':').filter(|(_, verb)| is_gemini_verb(verb)) {
                Some((model, verb)) => {
                    let place = (model.to_owned(), version.to_owned(), format!(":{verb}"));
                    let (model, version, verb) = place;
                    (Dialect::Gemini, Operation::ModelInPath { model, version, verb })
                }
                None if is_get => (shared, Operation::OneModel(with_slashes(name))),
                None => (shared, Operation::Other),
            }
        }
        _ if gemini => (shared, Operation::Other),
        "usage" if is_get && !azure => (shared, Operation::OwnUsage),
        "chat/completions" if is_post => (Dialect::OpenaiChat, Operation::Chat),
        "embeddings" if is_post => (Dialect::OpenaiChat, Operation::Embed),
        "messages" if is_post => (Dialect::AnthropicMessages, Operation::Converse),
        "messages/count_tokens" if is_post => (Dialect::AnthropicMessages, Operation::Count),
        "complete" if is_post => (Dialect::AnthropicMessages, Operation::Text),
        "responses" if is_post => (Dialect::OpenaiResponses, Operation::Converse),
        "responses" if head.asks_for_websocket() => (Dialect::OpenaiResponses, Operation::Socket),
        "responses/input_tokens" if is_post => (Dialect::OpenaiResponses, Operation::Count),
        "completions" if is_post => (shared, Operation::Text),
        _ if starts(rest, "messages") || rest == "complete" => {
            (Dialect::AnthropicMessages, Operation::Other)
        }
        _ if starts(rest, "responses") => (Dialect::OpenaiResponses, Operation::Other),
        _ if starts(rest, "chat/completions") || starts(rest, "embeddings") => {
            (Dialect::OpenaiChat, Operation::Other)
        }
        _ => (shared, Operation::Other),
    }
}

/// Whether `path` is `segment` or lies below it.
fn starts(path: &str, segment: &str) -> bool {
    path.strip_prefix(segment).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn check(request: &str, dialect: Dialect, operation: Operation) {
        let raw = format!("{}\r\nhost: here\r\n\r\n", request.replace('|', " HTTP/1.1\r\n"));
        let head = RequestHead::parse(Bytes::from(raw), 64, 8192).unwrap();
        let Ok(Door::Model(found)) = Door::of(&head) else { panic!("{request}") };
        assert_eq!((found.dialect, found.operation), (dialect, operation), "{request}");
    }

    #[test]
    fn shared_paths_are_told_apart_by_what_the_sdks_send() {
        use Dialect::{AnthropicMessages, Gemini, OpenaiChat};
        let list = || Operation::ListModels;
        check("GET /v1/models HTTP/1.1", OpenaiChat, list());
        check("GET /v1/models|anthropic-version: 1", AnthropicMessages, list());
        check("GET /v1/models|x-goog-api-key: k", Gemini, list());
        check("GET /v1/models?pageSize=1&key=k HTTP/1.1", Gemini, list());
        let both = "GET /v1/models|anthropic-version: 1\r\nx-goog-api-key: k";
        check(both, AnthropicMessages, list());
        check("GET /v1beta/models HTTP/1.1", Gemini, list());
        let other = || Operation::Other;
        check("POST /v1/embeddings|x-goog-api-key: k", OpenaiChat, Operation::Embed);
        check("POST /v1/messages|x-goog-api-client: k", AnthropicMessages, Operation::Converse);
        check("POST /v1/images/generations|x-goog-api-key: k", OpenaiChat, other());
        check("GET /v1/files|x-goog-api-client: sdk", Gemini, other());
        check("GET /v1/files|anthropic-version: 1", AnthropicMessages, other());
        check("GET /v1/batches|x-goog-api-key: k", Gemini, other());
        check("GET /v1/chat/completions HTTP/1.1", OpenaiChat, other());
        check("POST /upload/v1beta/files HTTP/1.1", Gemini, other());
    }

    #[test]
    fn what_every_dialect_can_be_asked_for_is_a_job() {
        let job = |request: &str| {
            let raw = format!("{request} HTTP/1.1\r\nhost: here\r\n\r\n");
            let head = RequestHead::parse(Bytes::from(raw), 64, 8192).unwrap();
            let Ok(Door::Model(endpoint)) = Door::of(&head) else { panic!("{request}") };
            endpoint.job()
        };
        for (request, wanted) in [
            ("POST /v1/chat/completions", Some(Job::Generate)),
            ("POST /v1/responses", Some(Job::Generate)),
            ("POST /v1/messages", Some(Job::Generate)),
            ("POST /v1beta/models/m:generateContent", Some(Job::Generate)),
            ("POST /v1/models/m:streamGenerateContent?alt=sse", Some(Job::Generate)),
            ("POST /v1/messages/count_tokens", Some(Job::Count)),
            ("POST /v1/responses/input_tokens", Some(Job::Count)),
            ("POST /v1beta/models/m:countTokens", Some(Job::Count)),
            ("POST /v1/embeddings", Some(Job::Embed)),
            ("POST /v1beta/models/m:batchEmbedContents", Some(Job::Embed)),
            ("GET /v1/responses", None),
            ("GET /v1/responses/resp_1", None),
            ("POST /v1/responses/compact", None),
            ("POST /v1/completions", None),
            ("POST /v1/messages/batches", None),
            ("POST /v1beta/models/m:predict", None),
        ] {
            assert_eq!(job(request), wanted, "{request}");
        }
    }

    #[test]
    fn a_model_with_a_slash_is_found_and_no_other_trick_is() {
        let one = Operation::OneModel("openai/gpt-4o".into());
        check("GET /v1/models/openai%2Fgpt-4o HTTP/1.1", Dialect::OpenaiChat, one.clone());
        check("GET /v1/models/openai/gpt-4o HTTP/1.1", Dialect::OpenaiChat, one);
        for tricky in [
            "GET /v1/models/..%2Ffiles",
            "GET /v1/models/a%2F%2e%2e",
            "GET /v1/models/a%2F%2Fb",
            "POST /v1/models/openai%2Fgpt-4o",
            "GET /v1/files/a%2Fb",
            "GET /upload/v2/files",
        ] {
            let raw = format!("{tricky} HTTP/1.1\r\nhost: here\r\n\r\n");
            let head = RequestHead::parse(Bytes::from(raw), 64, 8192).unwrap();
            assert!(matches!(Door::of(&head), Err(Refusal::NoSuchPath)), "{tricky}");
        }
    }

    #[test]
    fn a_path_is_known_however_clients_write_it() {
        let check = |request: &str, path: &str, deployment: Option<&str>, dialect| {
            let raw = format!("{}\r\nhost: here\r\n\r\n", request.replace('|', " HTTP/1.1\r\n"));
            let raw =
                if request.contains('|') { raw } else { raw.replacen("\r\n", " HTTP/1.1\r\n", 1) };
            let head = RequestHead::parse(Bytes::from(raw), 64, 8192).unwrap();
            let door = Door::of(&head).unwrap();
            assert_eq!((door.path(&head), door.dialect()), (path, Some(dialect)), "{request}");
            let Door::Model(endpoint) = &door else { panic!("{request}") };
            assert_eq!(endpoint.deployment.as_deref(), deployment, "{request}");
        };
        use Dialect::{AnthropicMessages as A, Gemini as G, OpenaiChat as C, OpenaiResponses as R};
        check("POST /v1/chat/completions", "/v1/chat/completions", None, C);
        check("POST /chat/completions", "/v1/chat/completions", None, C);
        check("POST /messages", "/v1/messages", None, A);
        check("POST /responses", "/v1/responses", None, R);
        check("POST /models/m:generateContent", "/v1beta/models/m:generateContent", None, G);
        check("GET /models", "/v1/models", None, C);
        check("GET /models|x-goog-api-key: k", "/v1beta/models", None, G);
        check("POST /chat/completions|x-goog-api-key: k", "/v1/chat/completions", None, C);
        check("POST /v1/v1/messages", "/v1/messages", None, A);
        check("POST /v1/v1/v1/messages", "/v1/messages", None, A);
        let beta = "/v1beta/models/m:generateContent";
        check("POST /v1/v1beta/models/m:generateContent", beta, None, G);
        let azure = "POST /openai/deployments";
        let chat = "/v1/chat/completions";
        check(&format!("{azure}/m/chat/completions?api-version=1"), chat, Some("m"), C);
        check(&format!("{azure}/a%2Fm/chat/completions"), chat, Some("a/m"), C);
        check(&format!("{azure}/a/m/chat/completions"), chat, Some("a/m"), C);
        let speech = "/v1/audio/speech";
        check(&format!("{azure}/m/audio/speech"), speech, Some("m"), C);
        check("POST /openai/v1/responses", "/v1/responses", None, R);
        check("GET /openai/files?api-version=1", "/v1/files", None, C);
        let live = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
        check(&format!("GET {live}?key=k"), live, None, G);
        check("POST /upload/v1alpha/files", "/upload/v1alpha/files", None, G);
        check(
            "GET /download/v1beta/files/f:download",
            "/download/v1beta/files/f:download",
            None,
            G,
        );
    }
}
