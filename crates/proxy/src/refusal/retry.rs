//! What clients are told about trying again: the one place that writes those header lines.
//!
//! Some clients sleep for as long as `retry-after` says, others ask again at once when it is long
//! (`docs/CLIENTS.md`). No refusal may make one of them wait for more than two minutes.

use std::time::Duration;

use domain::Dialect;

use crate::{headers::begins, http1::push_number, refusal::Refusal};

/// When it makes sense to try a call again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// After so much time.
    After(Duration),
    /// Not at all: the same call will never be taken.
    Never,
    /// That is not known: clients do as they usually do.
    Unsaid,
}

/// Appends the header lines that tell a client of `dialect` when to try again. Of a wait longer than
/// `longest` a program should hear at once: its client is told not to retry.
pub(crate) fn push_advice(
    fields: &mut Vec<u8>,
    again: Again,
    dialect: Option<Dialect>,
    longest: Duration,
) {
    let (wait, retries) = match again {
        Again::Unsaid => return,
        Again::Never => (None, false),
        Again::After(wait) => (Some(wait), wait <= longest),
    };
    if !retries {
        // A provider may have said otherwise, of one of its keys.
        *fields = without(fields, "x-should-retry");
        fields.extend_from_slice(b"x-should-retry: false\r\n");
    }
    // Codex reads no `x-should-retry` and waits for whatever it is told; it may also come under
    // `/proxy/`, where no dialect is known.
    let sleeps = matches!(dialect, None | Some(Dialect::OpenaiResponses));
    let Some(wait) = wait.filter(|_| retries || !sleeps) else { return };
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    // In whole seconds, rounded up, and in milliseconds for clients that know them.
    fields.extend_from_slice(b"retry-after: ");
    push_number(fields, millis.div_ceil(1000).max(1));
    fields.extend_from_slice(b"\r\nretry-after-ms: ");
    push_number(fields, millis);
    fields.extend_from_slice(b"\r\n");
}

fn without(fields: &[u8], name: &str) -> Vec<u8> {
    let lines = fields.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !begins(&[name], line)).flatten().copied().collect()
}

impl Refusal {
    /// When it makes sense to try again.
    pub(crate) fn again(&self) -> Again {
        match (self.never_fits(), self.retry_after()) {
            (true, _) => Again::Never,
            (false, Some(wait)) => Again::After(wait),
            (false, None) => Again::Unsaid,
        }
    }

    /// Whether the same call would be refused for as long as nobody changes the configuration.
    fn never_fits(&self) -> bool {
        match self {
            Refusal::TooLargeForKeys(_) | Refusal::UpstreamOff(_) | Refusal::NoUsableKey(_) => true,
            // None of them comes back by itself.
            Refusal::AllKeysFail { retry_after: None, .. } => true,
            Refusal::Limited(refused) => refused.never_fits(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client as `docs/CLIENTS.md` describes it.
    struct Known {
        name: &'static str,
        dialects: &'static [Option<Dialect>],
        /// Whether it leaves a call alone that says `x-should-retry: false`.
        heeds: bool,
        /// The longest `retry-after` that it waits for; a longer one is ignored.
        longest: Option<u64>,
    }

    const CHAT: Option<Dialect> = Some(Dialect::OpenaiChat);
    const RESPONSES: Option<Dialect> = Some(Dialect::OpenaiResponses);
    const MESSAGES: Option<Dialect> = Some(Dialect::AnthropicMessages);
    const GEMINI: Option<Dialect> = Some(Dialect::Gemini);

    const KNOWN: [Known; 7] = [
        Known {
            name: "openai (PyPI)",
            dialects: &[CHAT, RESPONSES],
            heeds: true,
            longest: Some(120),
        },
        Known {
            name: "openai (npm)",
            dialects: &[CHAT, RESPONSES],
            heeds: true,
            longest: Some(60),
        },
        Known { name: "anthropic (PyPI)", dialects: &[MESSAGES], heeds: true, longest: None },
        Known {
            name: "anthropic (npm)",
            dialects: &[MESSAGES],
            heeds: true,
            longest: Some(2_147_483),
        },
        Known {
            name: "AI SDK",
            dialects: &[CHAT, RESPONSES, MESSAGES, GEMINI, None],
            heeds: false,
            longest: Some(60),
        },
        Known { name: "Codex", dialects: &[RESPONSES, None], heeds: false, longest: None },
        Known { name: "google-genai", dialects: &[GEMINI], heeds: false, longest: Some(0) },
    ];

    impl Known {
        /// How many seconds it sleeps because of these header lines.
        fn sleeps(&self, fields: &[(String, String)]) -> f64 {
            let said = |name: &str| {
                let found = fields.iter().find(|(field, _)| field == name);
                found.map(|(_, value)| value.as_str())
            };
            if self.heeds && said("x-should-retry") == Some("false") {
                return 0.0;
            }
            let millis = said("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok());
            let seconds = said("retry-after").and_then(|s| s.parse::<f64>().ok());
            let wait = millis.map(|ms| ms / 1e3).or(seconds).unwrap_or(0.0);
            if self.longest.is_some_and(|longest| wait > longest as f64) { 0.0 } else { wait }
        }
    }

    fn told(again: Again, dialect: Option<Dialect>, longest: u64) -> Vec<(String, String)> {
        let mut fields = b"content-type: application/json\r\nx-should-retry: true\r\n".to_vec();
        push_advice(&mut fields, again, dialect, Duration::from_secs(longest));
        let text = String::from_utf8(fields).unwrap();
        let lines = text.lines().map(|line| line.split_once(": ").unwrap());
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn no_known_client_waits_for_more_than_two_minutes() {
        let day = 86_400_000;
        let waits = [0, 1, 59_999, 60_000, 60_001, 119_999, 120_000, 120_001, 3_600_000, 31 * day];
        let all = waits.iter().map(|ms| Again::After(Duration::from_millis(*ms)));
        for again in all.chain([Again::Never, Again::Unsaid, Again::After(Duration::MAX)]) {
            for longest in [0, 60, 120] {
                for known in &KNOWN {
                    for dialect in known.dialects {
                        let slept = known.sleeps(&told(again, *dialect, longest));
                        let name = known.name;
                        assert!(
                            slept <= 120.0,
                            "{name} sleeps {slept} s after {again:?} in {dialect:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_wait_and_a_call_that_never_fits_are_not_to_be_retried() {
        let check = |again, dialect, expected: &[(&str, &str)]| {
            let told = told(again, dialect, 60);
            let told = told.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let told: Vec<_> = told.filter(|(name, _)| *name != "content-type").collect();
            assert_eq!(told, expected, "{again:?} {dialect:?}");
        };
        let after = |ms| Again::After(Duration::from_millis(ms));
        let never = ("x-should-retry", "false");
        let theirs = ("x-should-retry", "true");
        for dialect in [CHAT, RESPONSES, MESSAGES, GEMINI, None] {
            check(
                after(1500),
                dialect,
                &[theirs, ("retry-after", "2"), ("retry-after-ms", "1500")],
            );
            check(Again::Never, dialect, &[never]);
            check(Again::Unsaid, dialect, &[theirs]);
        }
        check(after(61_000), CHAT, &[never, ("retry-after", "61"), ("retry-after-ms", "61000")]);
        check(
            after(61_000),
            MESSAGES,
            &[never, ("retry-after", "61"), ("retry-after-ms", "61000")],
        );
        check(after(61_000), RESPONSES, &[never]);
        check(after(61_000), None, &[never]);
    }
}
