//! Items of an answer, as they grow and when they are whole.

use crate::{
    Signature, Vendor,
    chat::{Citation, Image, Logprob, Name},
    write::{Array, Object},
};

/// An item of an answer.
#[derive(Debug)]
pub(super) struct Item {
    /// Its id; not that of a call.
    pub(super) id: String,
    /// What it says.
    pub(super) content: Content,
}

/// What an item says.
#[derive(Debug)]
pub(super) enum Content {
    /// A thought.
    Reasoning {
        /// As far as it is shown.
        text: String,
        /// Its vendor's signature, as it stands in the item.
        sealed: Option<String>,
    },
    /// Texts and refusals.
    Message(Vec<Part>),
    /// A tool is to be called.
    Call {
        /// What pairs it with its result.
        id: String,
        /// Which tool.
        name: Name<'static>,
        /// Its arguments or its input.
        input: String,
    },
    /// An image that the model made.
    Image(Image<'static>),
}

/// A part of a message.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Whether the model declines with it.
    pub(super) refusal: bool,
    /// What it says.
    pub(super) text: String,
    /// What it refers to, as JSON.
    pub(super) annotations: Vec<String>,
    /// The log probabilities of its tokens, as a JSON list without brackets.
    pub(super) logprobs: String,
}

impl Item {
    /// The `nth` item of the answer `unique`.
    pub(super) fn new(content: Content, unique: &str, nth: usize) -> Item {
        let prefix = match &content {
            Content::Reasoning { .. } => "rs",
            Content::Message(_) => "msg",
            Content::Call { name, .. } if name.free_form => "ctc",
            Content::Call { .. } => "fc",
            Content::Image(_) => "ig",
        };
        Item { id: format!("{prefix}_{unique}{nth}"), content }
    }

    /// Writes it as far as it has grown.
    pub(super) fn write(&self, o: &mut Object<'_>, status: &str) {
        match &self.content {
            Content::Reasoning { text, sealed } => {
                o.text("type", "reasoning");
                o.text("id", &self.id);
                o.array("summary", |a| {
                    if !text.is_empty() {
                        a.object(|o| write_summary(o, text));
                    }
                });
                o.text_if("encrypted_content", sealed.as_deref());
            }
            Content::Message(parts) => {
                o.text("type", "message");
                o.text("id", &self.id);
                o.text("status", status);
                o.text("role", "assistant");
                o.array("content", |a| parts.iter().for_each(|part| a.object(|o| part.write(o))));
            }
            Content::Call { id, name, input } => {
                let [kind, member] = match name.free_form {
                    true => ["custom_tool_call", "input"],
                    false => ["function_call", "arguments"],
                };
                o.text("type", kind);
                o.text("id", &self.id);
                o.text("call_id", id);
                o.text_if("namespace", name.namespace.as_deref());
                o.text("name", &name.text);
                o.text(member, input);
                if !name.free_form {
                    o.text("status", status);
                }
            }
            Content::Image(image) => {
                o.text("type", "image_generation_call");
                o.text("id", &self.id);
                o.text("status", status);
                let format = image.mime.strip_prefix("image/").unwrap_or("png");
                o.text("output_format", format);
                match status {
                    "in_progress" => o.null("result"),
                    _ => o.text("result", &image.data),
                }
            }
        }
    }
}

impl Part {
    /// Writes it as far as it has grown.
    pub(super) fn write(&self, o: &mut Object<'_>) {
        if self.refusal {
            o.text("type", "refusal");
            o.text("refusal", &self.text);
            return;
        }
        o.text("type", "output_text");
        o.text("text", &self.text);
        o.array("annotations", |a| self.annotations.iter().for_each(|one| a.raw(one)));
        if !self.logprobs.is_empty() {
            o.raw("logprobs", &format!("[{}]", self.logprobs));
        }
    }
}

/// The one part of a thought's summary.
pub(super) fn write_summary(o: &mut Object<'_>, text: &str) {
    o.text("type", "summary_text");
    o.text("text", text);
}

/// A signature as it stands in `encrypted_content`. A thought without one is marked, so that it is
/// known again for one that OpenAI has never seen.
pub(super) fn sealed(signature: Option<&Signature<'_>>) -> String {
    match signature {
        Some(signature) if signature.vendor == Vendor::Openai => signature.data.to_string(),
        Some(signature) => signature.wrapped(),
        None => Signature::unsigned().wrapped(),
    }
}

/// A citation of a text that begins behind `before` characters of its part and ends behind `end`
/// (CIT-1).
pub(super) fn annotation(citation: &Citation<'_>, before: u64, end: u64) -> String {
    let (from, to) = match citation.span {
        Some((from, to)) => (from.saturating_add(before), to.saturating_add(before)),
        None => (before, end),
    };
    crate::write::object_text(|o| {
        o.text("type", "url_citation");
        o.number("start_index", from);
        o.number("end_index", to);
        o.text("url", &citation.url);
        o.text("title", citation.title.as_deref().unwrap_or_default());
    })
}

/// Adds log probabilities to a JSON list without brackets.
pub(super) fn add_logprobs(list: &mut String, logprobs: &[Logprob<'_>]) {
    for one in logprobs {
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(&crate::write::object_text(|o| {
            write_logprob(o, &one.token, &one.logprob);
            o.array("top_logprobs", |a| {
                for (token, logprob) in &one.top {
                    a.object(|o| write_logprob(o, token, logprob));
                }
            });
        }));
    }
}

fn write_logprob(o: &mut Object<'_>, token: &str, logprob: &str) {
    o.text("token", token);
    o.array("bytes", |a: &mut Array<'_>| token.bytes().for_each(|byte| a.number(byte.into())));
    o.raw("logprob", logprob);
}
