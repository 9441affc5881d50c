//! The response object: what surrounds the items of an answer.

use super::echo::usual;
use crate::{
    Failure, FailureKind, Reply, Tokens,
    chat::Finish,
    write::{self, Object},
};

/// How a response stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Status<'s> {
    /// Still growing.
    Begun,
    /// Whole, or cut off at a limit.
    Ended(&'s Finish<'s>),
    /// Broken.
    Failed(&'s Failure),
}

impl Status<'_> {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Status::Begun => "in_progress",
            Status::Ended(Finish::Length | Finish::Filtered(_)) => "incomplete",
            Status::Ended(_) => "completed",
            Status::Failed(_) => "failed",
        }
    }
}

/// Writes a response whose items are `output`, a JSON list without brackets.
pub(super) fn write_response(
    out: &mut Vec<u8>,
    reply: &Reply,
    status: Status<'_>,
    output: &str,
    usage: Option<&Tokens>,
) {
    write::object(out, |o| {
        o.joined("id", &["resp_", &reply.unique]);
        o.text("object", "response");
        o.number("created_at", reply.created);
        o.text("status", status.name());
        match status {
            Status::Failed(failure) => o.object("error", |o| {
                o.text("code", code(failure));
                o.text("message", &failure.message);
            }),
            _ => o.null("error"),
        }
        match status {
            Status::Ended(Finish::Length) => why(o, "max_output_tokens"),
            Status::Ended(Finish::Filtered(_)) => why(o, "content_filter"),
            _ => o.null("incomplete_details"),
        }
        o.text("model", &reply.model);
        o.raw("output", &format!("[{output}]"));
        for (name, value) in &reply.wish.echo {
            o.raw(name, value);
        }
        if reply.wish.echo.is_empty() {
            usual().for_each(|(name, value)| o.raw(name, value));
        }
        match status {
            Status::Begun => o.null("usage"),
            _ => o.object("usage", |o| write_usage(o, &usage.copied().unwrap_or_default())),
        }
    });
}

fn why(o: &mut Object<'_>, reason: &str) {
    o.object("incomplete_details", |o| o.text("reason", reason));
}

/// USE-7: all of it is required.
fn write_usage(o: &mut Object<'_>, tokens: &Tokens) {
    o.number("input_tokens", tokens.input);
    o.object("input_tokens_details", |o| {
        o.number("cached_tokens", tokens.cached);
        o.number("cache_write_tokens", tokens.cache_written);
    });
    o.number("output_tokens", tokens.output);
    o.object("output_tokens_details", |o| o.number("reasoning_tokens", tokens.reasoning));
    o.number("total_tokens", tokens.input.saturating_add(tokens.output));
}

/// OpenAI's own code, or one of those that its SDK knows.
fn code(failure: &Failure) -> &str {
    match (&failure.code, failure.kind) {
        (Some(code), _) => code,
        (None, FailureKind::RateLimited) => "rate_limit_exceeded",
        (None, FailureKind::NoMoney) => "insufficient_quota",
        (None, FailureKind::BadRequest | FailureKind::TooLarge) => "invalid_prompt",
        (None, _) => "server_error",
    }
}
