//! Where on the gateway a model route stands, in whichever way clients write its path: without a
//! version, with one too many, as Azure has it, or as Google's sockets and uploads do.

use std::borrow::Cow;

use crate::{headers::percent_decode, http1::RequestHead};

/// A model route, by its path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// The path with one version in front, as providers serve it.
    pub(super) path: Cow<'a, str>,
    /// The model, where the path says it as Azure's deployments do.
    pub(super) deployment: Option<String>,
    /// Whether the client speaks to Azure.
    pub(super) azure: bool,
    /// Whether only Google has it.
    pub(super) google: bool,
}

const VERSIONS: [&str; 3] = ["v1beta", "v1alpha", "v1"];

/// What stands first in paths that some clients write without a version.
const ROOTS: [&str; 25] = [
    "assistants",
    "audio",
    "batches",
    "chat",
    "chatkit",
    "complete",
    "completions",
    "containers",
    "conversations",
    "embeddings",
    "evals",
    "files",
    "fine_tuning",
    "images",
    "messages",
    "models",
    "moderations",
    "realtime",
    "rerank",
    "responses",
    "skills",
    "threads",
    "uploads",
    "vector_stores",
    "videos",
];

/// What stands behind the name of a deployment.
const OF_DEPLOYMENTS: [&str; 7] = [
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/audio/",
    "/images/",
    "/responses",
    "/realtime",
];

impl<'a> Place<'a> {
    fn at(path: impl Into<Cow<'a, str>>) -> Self {
        Self { path: path.into(), deployment: None, azure: false, google: false }
    }

    /// The place of a request; none where its path is that of no model route.
    pub(super) fn of(head: &'a RequestHead) -> Option<Self> {
        let path = head.path();
        if let Some(rest) = path.strip_prefix("/openai/") {
            return azure(rest);
        }
        if path.starts_with("/ws/google.ai.generativelanguage.") {
            return Some(Self { google: true, ..Self::at(path) });
        }
        if let Some(rest) =
            ["/upload/", "/download/"].iter().find_map(|roof| path.strip_prefix(roof))
        {
            let known = split_version(rest).is_some();
            return known.then_some(Self { google: true, ..Self::at(path) });
        }
        let bare = path.strip_prefix('/')?;
        if split_version(bare).is_some() {
            // A base URL that ends with a version, and a client that adds one: the last counts.
            let mut once = bare;
            while let Some(more) = split_version(once).and_then(|rest| rest.strip_prefix('/'))
                && split_version(more).is_some()
            {
                once = more;
            }
            let as_it_came = once.len() == bare.len();
            return Some(Self::at(if as_it_came {
                path.into()
            } else {
                Cow::from(format!("/{once}"))
            }));
        }
        let first = bare.split('/').next().unwrap_or_default();
        if !ROOTS.contains(&first) {
            return None;
        }
        let version = if is_googles(head, bare) { "v1beta" } else { "v1" };
        Some(Self::at(format!("/{version}/{bare}")))
    }
}

/// What follows a version, with its slash; none where no version stands in front.
fn split_version(path: &str) -> Option<&str> {
    let rest = VERSIONS.iter().find_map(|version| path.strip_prefix(version))?;
    rest.starts_with('/').then_some(rest)
}

/// What both Google and others have; whoever asks for it tells whose is meant.
const SHARED: [&str; 3] = ["batches", "files", "models"];

/// Whether a path without a version is Google's: by its verb, or by who asks.
fn is_googles(head: &RequestHead, path: &str) -> bool {
    let verb = path.rsplit_once(':').map(|(_, verb)| verb);
    let first = path.split('/').next().unwrap_or_default();
    let asks = || head.get("x-goog-api-key").is_some() || head.get("x-goog-api-client").is_some();
    path.starts_with("models/") && verb.is_some_and(is_gemini_verb)
        || SHARED.contains(&first) && asks()
}

/// Azure's paths: `deployments/{model}/…`, `v1/…`, and the others without a version.
fn azure(rest: &str) -> Option<Place<'_>> {
    let azure = |path: String| Place { azure: true, ..Place::at(path) };
    let Some(named) = rest.strip_prefix("deployments/") else {
        let rest = rest.strip_prefix("v1/").unwrap_or(rest);
        let first = rest.split('/').next().unwrap_or_default();
        return ROOTS.contains(&first).then(|| azure(format!("/v1/{rest}")));
    };
    let end = OF_DEPLOYMENTS.iter().filter_map(|end| named.find(end)).min()?;
    let (model, path) = named.split_at(end);
    let model = String::from_utf8(percent_decode(model.as_bytes())).ok()?;
    let deployment = Some(model).filter(|model| !model.is_empty())?;
    Some(Place { deployment: Some(deployment), ..azure(format!("/v1{path}")) })
}

/// Whether all that is odd about a path is the slash of `upstream/model`, which SDKs write as
/// `%2F` when they ask for one model, or name it as a deployment.
pub(super) fn names_a_model(head: &RequestHead) -> bool {
    let path = head.path();
    let one = ["/v1/models/", "/v1beta/models/"].iter().any(|place| path.starts_with(place))
        && head.method() == "GET";
    (one || path.starts_with("/openai/deployments/")) && !is_tricky(&with_slashes(path))
}

/// A path with the slashes of a model's name.
pub(super) fn with_slashes(path: &str) -> String {
    path.replace("%2F", "/").replace("%2f", "/")
}

/// Whether a path holds what a later reader could take for another path.
pub(super) fn is_tricky(path: &str) -> bool {
    let bytes = path.as_bytes();
    if memchr::memchr3(b'\\', b';', 0, bytes).is_some() {
        return true;
    }
    let escaped = bytes.windows(3).any(|w| {
        w[0] == b'%' && matches!(&w[1..].to_ascii_lowercase()[..], b"2f" | b"5c" | b"00" | b"2e")
    });
    escaped || path.split('/').skip(1).any(|s| matches!(s, "." | "..")) || path.contains("//")
}

/// Gemini's verbs are lowerCamelCase words; a colon may also stand in other providers' names
/// (`ft:gpt-4o:org`, `llama3:8b`).
pub(super) fn is_gemini_verb(verb: &str) -> bool {
    const VERBS: [&str; 12] = [
        "generateContent",
        "streamGenerateContent",
        "countTokens",
        "embedContent",
        "batchEmbedContents",
        "batchGenerateContent",
        "asyncBatchEmbedContent",
        "generateAnswer",
        "generateText",
        "predict",
        "predictLongRunning",
        "bidiGenerateContent",
    ];
    VERBS.contains(&verb)
}
