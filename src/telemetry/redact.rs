//! Removes secrets, by their form, and misleading characters from log lines. This is the last line
//! of defence; secrets are types that do not print.

use std::{
    borrow::Cow,
    io::{self, Write},
    sync::LazyLock,
};

use regex::bytes::{Captures, Regex};

/// Longest line.
const LINE_MAX: usize = 8 << 10;

/// Patterns of secrets; the first group is kept.
static SECRETS: LazyLock<Regex> = LazyLock::new(|| {
    let forms = [
        r"(?i:\b(?:bearer|basic) +)[a-z0-9._~+/=-]{6,}",
        r"\b(?:sk|rk|pk|tgr?|gsk|xai|sess)-[A-Za-z0-9_-]{6,}",
        r"\bAIza[A-Za-z0-9_-]{10,}",
        r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?",
        r"://[^/\s:@]*:[^/\s@]+@",
        r"(?i:[?&;](?:api[_-]?key|key|(?:access_|refresh_)?token|password|secret|sig)=)[^&\s#]+",
        r"(?i:\b(?:x-api-key|x-goog-api-key|api-key|authorization|cookie)[:=] ?)\S+",
    ];
    Regex::new(&forms.map(|form| format!("(?:{form})")).join("|")).expect("the forms are fixed")
});

fn hide(found: &Captures<'_>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&found[0]);
    let keep = match text.as_ref() {
        url if url.starts_with("://") => return b"://***@".to_vec(),
        pair if pair.contains(['=', ':']) => pair.find(['=', ':']).unwrap_or_default() + 1,
        carrier if carrier.contains(' ') => carrier.rfind(' ').unwrap_or_default() + 1,
        key if key.starts_with("AIza") => 4,
        key if key.starts_with("eyJ") => 3,
        key => key.find('-').unwrap_or_default() + 1,
    };
    [&text.as_bytes()[..keep], b"***"].concat()
}

/// Masks what looks like a secret.
pub(super) fn masked(bytes: &[u8]) -> Vec<u8> {
    SECRETS.replace_all(bytes, hide).into_owned()
}

/// Returns the line without secrets and misleading characters.
pub(super) fn line(text: &[u8]) -> Cow<'_, [u8]> {
    let mut clean = SECRETS.replace_all(text, hide);
    if clean.len() > LINE_MAX {
        let mut end = LINE_MAX;
        while !clean.is_empty() && clean[end] & 0xc0 == 0x80 {
            end -= 1;
        }
        let cut = [&clean[..end], "…\n".as_bytes()].concat();
        clean = Cow::Owned(cut);
    }
    match std::str::from_utf8(&clean) {
        Ok(text) if text.trim_end_matches('\n').chars().any(misleads) => {
            let body = text.trim_end_matches('\n');
            let mut out = String::with_capacity(text.len() + 16);
            for c in body.chars() {
                if misleads(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
            }
            out.push('\n');
            Cow::Owned(out.into_bytes())
        }
        _ => clean,
    }
}

/// Whether it is a control character or changes the text direction.
fn misleads(c: char) -> bool {
    c.is_control() && c != '\t'
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A sink that cleans every line. Each write is one whole line.
pub(super) struct Redacted<W> {
    sink: W,
}

impl<W> Redacted<W> {
    pub(super) fn new(sink: W) -> Self {
        Self { sink }
    }
}

impl<W: Write> Write for Redacted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write_all(&line(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(String::from_utf8_lossy(&line(text.as_bytes())), expected);
    }

    #[test]
    fn secrets_are_taken_out_by_their_form() {
        check("nothing to hide", "nothing to hide");
        check("authorization Bearer abc.def-123", "authorization Bearer ***");
        check("key sk-proj-abcdef123456 was refused", "key sk-*** was refused");
        check("tg-abcdefgh-0123456789", "tg-***");
        check("AIzaSyA1234567890abc", "AIza***");
        check("eyJhbGciOi.eyJzdWIi.c2ln", "eyJ***");
        check("postgres://me:hunter2@db/x", "postgres://***@db/x");
        check("GET /v1beta/models?key=abc123&alt=sse", "GET /v1beta/models?key=***&alt=sse");
        check("x-api-key: abc123", "x-api-key:***");
        check("a task-list and a risk-free ask", "a task-list and a risk-free ask");
    }

    #[test]
    fn a_line_stays_one_line_and_within_bounds() {
        check("a\u{1b}[31mb\rc\n", "a\\u{1b}[31mb\\u{d}c\n");
        check("abc\u{202e}cba\n", "abc\\u{202e}cba\n");
        let long = "é".repeat(LINE_MAX);
        let cut = line(long.as_bytes());
        assert!(cut.len() <= LINE_MAX + 4);
        assert!(std::str::from_utf8(&cut).unwrap().ends_with("…\n"));
    }
}
