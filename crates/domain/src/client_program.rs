//! Recognises the client program and the session of a call from headers of known clients, which are
//! one file of data.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::log::Origin;

/// The data. Compiled in.
const FILE: &str = include_str!("../presets/clients.json");

/// Longest value that is kept, in bytes.
const VALUE_MAX: usize = 128;

/// The table of known client programs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientProgram {
    programs: Vec<Named>,
    headers: Vec<HeaderMeaning>,
    /// Bit n is set if a header name has n letters.
    #[serde(skip)]
    lengths: u64,
}

/// The name of a program in `user-agent`, before a slash or blank and its version.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    agent: String,
    program: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderMeaning {
    name: String,
    says: Says,
}

/// The meaning of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Says {
    Session,
    ParentSession,
    /// The thread of the call; if it differs from the session, the session started it.
    Thread,
    Agent,
    ParentAgent,
}

impl ClientProgram {
    /// Returns the table.
    fn known() -> &'static ClientProgram {
        static KNOWN: LazyLock<ClientProgram> = LazyLock::new(|| {
            let mut known: ClientProgram =
                serde_json::from_str(FILE).expect("a test reads the same text");
            let lengths = known.headers.iter().map(|header| 1 << header.name.len());
            known.lengths = lengths.fold(1 << USER_AGENT.len(), |all, one: u64| all | one);
            known
        });
        &KNOWN
    }

    /// Reads the headers of a call. Headers whose names have another length than every known one
    /// are skipped, and missing values cost no allocation.
    pub fn origin<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Origin {
        let known = Self::known();
        let mut origin = Origin::default();
        let mut thread = None;
        for (name, value) in headers {
            if name.len() >= 64 || known.lengths >> name.len() & 1 == 0 {
                continue;
            }
            if name.eq_ignore_ascii_case(USER_AGENT.as_bytes()) {
                (origin.program, origin.version) = std::str::from_utf8(value)
                    .ok()
                    .and_then(|agent| known.program(agent))
                    .unwrap_or_default();
                continue;
            }
            let meant = |header: &&HeaderMeaning| name.eq_ignore_ascii_case(header.name.as_bytes());
            let Some(header) = known.headers.iter().find(meant) else { continue };
            let Some(value) = readable(value) else { continue };
            match header.says {
                Says::Session => origin.session = Some(value.to_owned()),
                Says::ParentSession => origin.parent_session = Some(value.to_owned()),
                Says::Thread => thread = Some(value),
                Says::Agent => origin.agent = Some(value.to_owned()),
                Says::ParentAgent => origin.parent_agent = Some(value.to_owned()),
            }
        }
        if let Some(thread) = thread.filter(|thread| origin.session.as_deref() != Some(*thread)) {
            let session = origin.session.replace(thread.to_owned());
            origin.parent_session = origin.parent_session.or(session);
        }
        origin
    }

    /// Returns the program and its version from the beginning of `user-agent`. An unknown program
    /// has the name that it gives itself.
    fn program(&self, agent: &str) -> Option<(Option<String>, Option<String>)> {
        let agent = agent.trim_start();
        let fits = |named: &&Named| {
            let (begin, rest) = agent.as_bytes().split_at_checked(named.agent.len())?;
            let whole = rest.first().is_none_or(|byte| matches!(byte, b'/' | b' ' | b'-'));
            (begin.eq_ignore_ascii_case(named.agent.as_bytes()) && whole).then_some(())
        };
        let known = self.programs.iter().filter(|named| fits(named).is_some());
        let (name, rest) = match known.max_by_key(|named| named.agent.len()) {
            Some(named) => (named.program.as_str(), &agent[named.agent.len()..]),
            None => agent.split_at(agent.find(['/', ' ', ';', '(']).unwrap_or(agent.len())),
        };
        let name = readable(name.as_bytes())?;
        let rest = rest.trim_start_matches(['/', ' ']);
        let version = rest.split(['/', ' ', ';', '(', ',']).next().unwrap_or_default();
        let is_version = version.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
        let version = readable(version.as_bytes()).filter(|_| is_version);
        Some((Some(name.to_owned()), version.map(str::to_owned)))
    }
}

const USER_AGENT: &str = "user-agent";

/// Returns a value that may be kept: short and of visible ASCII characters.
fn readable(value: &[u8]) -> Option<&str> {
    let value = value.trim_ascii();
    let visible = value.iter().all(|byte| (0x20..0x7f).contains(byte));
    let fits = visible && (1..=VALUE_MAX).contains(&value.len());
    fits.then(|| std::str::from_utf8(value).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(headers: &[(&str, &str)]) -> Origin {
        ClientProgram::origin(
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
        )
    }

    #[test]
    fn programs_are_known_by_what_they_call_themselves() {
        for (agent, program, version) in [
            ("claude-cli/2.1.258 (external, cli)", "claude-code", Some("2.1.258")),
            ("codex_cli_rs/0.50.0 (Mac OS 26.0; arm64) iTerm", "codex", Some("0.50.0")),
            ("opencode/1.0.134 ai-sdk/provider-utils/3.0.17", "opencode", Some("1.0.134")),
            ("GeminiCLI/0.15.0/gemini-3-pro (linux; x64)", "gemini-cli", Some("0.15.0")),
            ("OpenAI/Python 2.8.0", "openai-python", Some("2.8.0")),
            ("AsyncOpenAI/Python 2.8.0", "openai-python", Some("2.8.0")),
            ("Anthropic/JS 0.70.1", "anthropic-typescript", Some("0.70.1")),
            ("google-genai-sdk/1.52.0 gl-python/3.12.1", "google-genai", Some("1.52.0")),
            ("ai-sdk/openai/3.0.1 ai/6.0.1", "ai-sdk", None),
            ("ai/6.0.1", "ai-sdk", Some("6.0.1")),
            ("curl/8.5.0", "curl", Some("8.5.0")),
            ("airflow/3.0", "airflow", Some("3.0")),
            ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla", Some("5.0")),
            ("node", "node", None),
        ] {
            let told = origin(&[("User-Agent", agent)]);
            assert_eq!(
                (told.program.as_deref(), told.version.as_deref()),
                (Some(program), version),
                "{agent}"
            );
        }
        assert!(origin(&[("user-agent", ""), ("accept", "x")]).is_unknown());
    }

    #[test]
    fn a_sub_agent_is_not_its_parent() {
        let claude = origin(&[
            ("X-Claude-Code-Session-Id", "s1"),
            ("X-Claude-Code-Agent-Id", "a2"),
            ("X-Claude-Code-Parent-Agent-Id", "a1"),
        ]);
        assert_eq!((claude.session.as_deref(), claude.agent.as_deref()), (Some("s1"), Some("a2")));
        assert_eq!(claude.parent_agent.as_deref(), Some("a1"));

        let main = origin(&[("session-id", "t1"), ("thread-id", "t1")]);
        assert_eq!((main.session.as_deref(), main.parent_session), (Some("t1"), None));
        let spawned = origin(&[
            ("thread-id", "t2"),
            ("session-id", "t1"),
            ("x-openai-subagent", "collab_spawn"),
        ]);
        assert_eq!(spawned.session.as_deref(), Some("t2"));
        assert_eq!(spawned.parent_session.as_deref(), Some("t1"));
        assert_eq!(spawned.agent.as_deref(), Some("collab_spawn"));

        let opencode = origin(&[("x-session-id", "c"), ("x-parent-session-id", "p")]);
        assert_eq!(opencode.session.as_deref(), Some("c"));
        assert_eq!(opencode.parent_session.as_deref(), Some("p"));
    }

    #[test]
    fn what_cannot_be_kept_is_left_out() {
        let long = "x".repeat(VALUE_MAX + 1);
        for value in ["", " ", "a\u{1}b", "é", &long] {
            assert!(origin(&[("x-session-id", value)]).is_unknown(), "{value}");
        }
    }
}
