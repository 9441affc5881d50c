//! Kinds of work that calls request, which decide how they are billed: tables of data, one for all
//! providers and one for each preset.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::{Preset, Upstream};

/// The rows for every provider, compiled in.
const FILE: &str = include_str!("../presets/endpoints.json");

/// The kind of work that a call requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Free: lists, files, token counts.
    Free,
    /// Text generation.
    Text,
    /// Embeddings.
    Embedding,
    /// Text to speech.
    Speech,
    /// Transcription.
    Transcription,
    /// Image generation.
    Image,
    /// Video generation.
    Video,
    /// Anything else; its cost is unknown in advance.
    #[default]
    Other,
}

impl Work {
    /// The name in configuration and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Work::Free => "free",
            Work::Text => "text",
            Work::Embedding => "embedding",
            Work::Speech => "speech",
            Work::Transcription => "transcription",
            Work::Image => "image",
            Work::Video => "video",
            Work::Other => "other",
        }
    }
}

/// One row of a table: methods, a path pattern and the kind of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointRule {
    /// The HTTP methods.
    pub methods: Vec<String>,
    /// The path without its query; `*` matches any number of characters.
    pub path: String,
    /// The kind of work.
    pub work: Work,
}

impl EndpointRule {
    /// Returns the rows for every provider; the first match decides.
    pub fn common() -> &'static [EndpointRule] {
        static ALL: LazyLock<Vec<EndpointRule>> =
            LazyLock::new(|| serde_json::from_str(FILE).expect("a test reads the same text"));
        &ALL
    }

    /// Whether the row matches.
    pub fn fits(&self, method: &str, path: &str) -> bool {
        self.methods.iter().any(|known| known == method) && matches(&self.path, path)
    }
}

/// Whether a path matches a pattern.
fn matches(pattern: &str, path: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == path };
    let Some(path) = path.strip_prefix(start) else { return false };
    match rest.rsplit_once('*') {
        None => path.ends_with(rest),
        Some((middle, end)) => {
            let Some(mut path) = path.strip_suffix(end) else { return false };
            middle.split('*').all(|part| match path.find(part) {
                Some(at) => {
                    path = &path[at + part.len()..];
                    true
                }
                None => false,
            })
        }
    }
}

impl Upstream {
    /// Returns the kind of work of a call to this upstream: from the table of its preset, or of the
    /// preset named after its provider, and then from the common table.
    pub fn work(&self, method: &str, path: &str) -> Work {
        let preset = self.preset.as_deref().unwrap_or(self.provider.as_str());
        let own = Preset::find(preset).map(|preset| preset.endpoints.as_slice());
        let mut rows = own.unwrap_or_default().iter().chain(EndpointRule::common());
        rows.find(|row| row.fits(method, path)).map(|row| row.work).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BaseUrl, UpstreamId, UserId};

    fn upstream(preset: &str) -> Upstream {
        let base_url = BaseUrl::parse("https://provider.example").unwrap();
        let mut upstream = Upstream::new(UpstreamId(1), UserId(1), "up", base_url);
        upstream.preset = Some(preset.to_owned());
        upstream
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, path, expected) in [
            ("*", "/anything", true),
            ("*/models", "/v1/models", true),
            ("*/models", "/models", true),
            ("*/models", "/v1/models/gpt-5", false),
            ("*/models/*", "/v1/models/gpt-5", true),
            ("*/videos/*/remix", "/v1/videos/v1/remix", true),
            ("*/videos/*/remix", "/v1/videos/remix", false),
            ("*:countTokens", "/v1beta/models/gemini-3:countTokens", true),
            ("/health", "/health", true),
            ("/health", "/healthz", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_a_call_asks_for_is_known_by_its_path() {
        for (preset, method, path, work) in [
            ("openai", "GET", "/v1/files", Work::Free),
            ("openai", "GET", "/v1/anything/new", Work::Free),
            ("custom", "GET", "/search", Work::Other),
            ("custom", "GET", "/v1/models", Work::Free),
            ("custom", "GET", "/v1/responses/resp_1", Work::Free),
            ("custom", "DELETE", "/v1/files/file-1", Work::Free),
            ("openai", "POST", "/v1/files", Work::Free),
            ("openai", "POST", "/v1/moderations", Work::Free),
            ("anthropic", "POST", "/v1/messages/count_tokens", Work::Free),
            ("anthropic", "POST", "/v1/messages", Work::Text),
            ("anthropic", "POST", "/v1/messages/batches", Work::Other),
            ("openai", "POST", "/v1/batches", Work::Other),
            ("gemini", "POST", "/v1beta/models/gemini-3:countTokens", Work::Free),
            ("gemini", "POST", "/v1beta/models/gemini-3:streamGenerateContent", Work::Text),
            ("gemini", "POST", "/v1beta/models/imagen-4:predict", Work::Image),
            ("groq", "POST", "/openai/v1/audio/transcriptions", Work::Transcription),
            ("openai", "POST", "/v1/audio/speech", Work::Speech),
            ("openai", "POST", "/v1/embeddings", Work::Embedding),
            (
                "azure-openai-deployments",
                "POST",
                "/openai/deployments/m/chat/completions",
                Work::Text,
            ),
            ("openai", "POST", "/v1/videos", Work::Video),
        ] {
            assert_eq!(upstream(preset).work(method, path), work, "{preset} {method} {path}");
        }
    }
}
