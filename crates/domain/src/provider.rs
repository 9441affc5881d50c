//! Providers and dialects, with the defaults of each provider.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Fault;

/// One wire format of a family of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI's API with Chat Completions, and all other endpoints except Responses.
    OpenaiChat,
    /// OpenAI Responses.
    OpenaiResponses,
    /// Anthropic Messages.
    AnthropicMessages,
    /// Gemini `generateContent` and related endpoints.
    Gemini,
}

impl Dialect {
    /// All dialects, in the order in which they are listed to people.
    pub const ALL: [Dialect; 4] = [
        Dialect::OpenaiChat,
        Dialect::OpenaiResponses,
        Dialect::AnthropicMessages,
        Dialect::Gemini,
    ];

    /// The name in configuration, columns and log entries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Dialect::OpenaiChat => "openai_chat",
            Dialect::OpenaiResponses => "openai_responses",
            Dialect::AnthropicMessages => "anthropic_messages",
            Dialect::Gemini => "gemini",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Dialect {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        Dialect::ALL.into_iter().find(|d| d.as_str() == text).ok_or_else(|| {
            Fault::new(
                "dialects",
                "unknown dialect; one of openai_chat, openai_responses, anthropic_messages, gemini",
            )
        })
    }
}

/// A provider with built-in defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// api.openai.com
    Openai,
    /// api.anthropic.com
    Anthropic,
    /// generativelanguage.googleapis.com
    Gemini,
    /// Anything else with an HTTP API; most speak OpenAI's dialect.
    Custom,
}

impl Provider {
    /// All providers, in the order in which they are listed to people.
    pub const ALL: [Provider; 4] =
        [Provider::Openai, Provider::Anthropic, Provider::Gemini, Provider::Custom];

    /// The name in configuration and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Provider::Openai => "openai",
            Provider::Anthropic => "anthropic",
            Provider::Gemini => "gemini",
            Provider::Custom => "custom",
        }
    }

    /// Returns the provider of a host; `Custom` if it is unknown.
    pub fn of_host(host: &str) -> Provider {
        match host.to_ascii_lowercase().as_str() {
            "api.openai.com" => Provider::Openai,
            "api.anthropic.com" => Provider::Anthropic,
            "generativelanguage.googleapis.com" => Provider::Gemini,
            _ => Provider::Custom,
        }
    }

    /// Returns the default dialects of the provider.
    pub fn dialects(self) -> Vec<Dialect> {
        match self {
            Provider::Openai | Provider::Custom => {
                vec![Dialect::OpenaiChat, Dialect::OpenaiResponses]
            }
            Provider::Anthropic => vec![Dialect::AnthropicMessages],
            Provider::Gemini => vec![Dialect::Gemini],
        }
    }

    /// Returns the default placement of the key.
    pub fn key_placement(self) -> KeyPlacement {
        match self {
            Provider::Openai | Provider::Custom => KeyPlacement::Bearer,
            Provider::Anthropic => KeyPlacement::Header("x-api-key".to_owned()),
            Provider::Gemini => KeyPlacement::Header("x-goog-api-key".to_owned()),
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        Provider::ALL.into_iter().find(|p| p.as_str() == text).ok_or_else(|| {
            Fault::new("provider", "unknown provider; one of openai, anthropic, gemini, custom")
        })
    }
}

/// The placement of a provider key in a request. Written `bearer`, `header:NAME` or `query:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPlacement {
    /// `Authorization: Bearer KEY`
    Bearer,
    /// The key alone in a header of this name.
    Header(String),
    /// The key in a query field of this name.
    Query(String),
}

impl fmt::Display for KeyPlacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyPlacement::Bearer => f.write_str("bearer"),
            KeyPlacement::Header(name) => write!(f, "header:{name}"),
            KeyPlacement::Query(name) => write!(f, "query:{name}"),
        }
    }
}

impl FromStr for KeyPlacement {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = || {
            Fault::new(
                "key_placement",
                "must be `bearer`, `header:NAME` or `query:NAME` with a plain name",
            )
        };
        let token = |name: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            (!name.is_empty() && name.len() <= 64 && name.bytes().all(plain))
                .then(|| name.to_owned())
                .ok_or_else(fault)
        };
        match text.split_once(':') {
            None if text == "bearer" => Ok(KeyPlacement::Bearer),
            Some(("header", name)) => Ok(KeyPlacement::Header(token(&name.to_ascii_lowercase())?)),
            Some(("query", name)) => Ok(KeyPlacement::Query(token(name)?)),
            _ => Err(fault()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_follows_from_its_host() {
        for (host, provider) in [
            ("api.openai.com", Provider::Openai),
            ("API.Anthropic.com", Provider::Anthropic),
            ("generativelanguage.googleapis.com", Provider::Gemini),
            ("api.openai.com.evil.example", Provider::Custom),
        ] {
            assert_eq!(Provider::of_host(host), provider, "{host}");
        }
    }

    #[test]
    fn a_key_placement_reads_what_it_writes_and_refuses_the_rest() {
        for text in ["bearer", "header:x-api-key", "query:key"] {
            assert_eq!(text.parse::<KeyPlacement>().map(|p| p.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "basic", "header:", "header:a b", "query:k\r\n", "header:ü"] {
            assert!(text.parse::<KeyPlacement>().is_err(), "{text:?}");
        }
    }
}
