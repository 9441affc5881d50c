//! A call as it came in: where it goes, for which model, and what of its body is here.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use dialect::{Edit, FormScan};
use domain::Dialect;

use crate::{
    door::{Door, Endpoint, Job, Operation},
    memory::{BodyMemory, Held, Holders},
};

/// Where the model stands in a body, or would.
#[derive(Debug)]
pub(crate) enum ModelAt {
    /// As a JSON string, with its quotes.
    Json(Range<usize>),
    /// As the field of a form.
    Form(Range<usize>),
    /// In no member of the outermost object: it belongs behind the opening bracket.
    NotInJson { at: usize, empty: bool },
    /// In no field of the form: the edit that adds one, without the name.
    NotInForm(Box<FormScan>),
}

impl ModelAt {
    /// The edit that has the body ask for `model`.
    pub(crate) fn say(&self, model: &str) -> Option<Edit> {
        match self {
            ModelAt::Json(range) => Some(Edit::text(range.clone(), model)),
            ModelAt::Form(range) => {
                let replacement = Bytes::copy_from_slice(model.as_bytes());
                Some(Edit { range: range.clone(), replacement })
            }
            ModelAt::NotInJson { at, empty } => {
                let name = Edit::text(0..0, model).replacement;
                let comma: &[u8] = if *empty { b"" } else { b"," };
                let member = [b"\"model\":", &name[..], comma].concat();
                Some(Edit { range: *at..*at, replacement: member.into() })
            }
            ModelAt::NotInForm(scan) => scan.add("model", model),
        }
    }
}

/// What is asked: everything that choosing and sending needs, without the client.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) door: Door,
    /// The model that was asked for, by the name the client used.
    pub(crate) model: Option<String>,
    pub(crate) body: Body,
    /// Where the model stands in the body.
    pub(crate) model_at: Option<ModelAt>,
    /// Whether the body says another one than was asked for by the path.
    pub(crate) model_differs: bool,
    /// What makes an OpenAI stream tell its usage, if it was not asked to.
    pub(crate) ask_usage: Option<Edit>,
    /// What takes proofs out of the body that only the gateway can read.
    pub(crate) wrapped_signatures: Vec<Edit>,
    /// Whether the body came compressed and is held unpacked.
    pub(crate) unpacked: bool,
    pub(crate) websocket: bool,
    /// Whether the query may name the model.
    pub(crate) model_in_query: bool,
}

/// The body of a call.
#[derive(Debug)]
pub(crate) enum Body {
    /// Held, so that attempts can be repeated; counted against the budget while it is.
    Held { bytes: Bytes, memory: Option<Held> },
    /// The beginning of it, as far as it had to be read; the rest is still with the client, and goes
    /// on as it comes, in one attempt.
    Begun { bytes: Bytes, _memory: Held },
    /// Still with the client: passed on as it comes, in one attempt.
    Streaming,
}

impl Call {
    /// Whether more than one attempt can be made.
    pub(crate) fn repeatable(&self) -> bool {
        matches!(self.body, Body::Held { .. }) && !self.websocket
    }

    /// What of the body is here.
    pub(crate) fn held(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        match &self.body {
            Body::Held { bytes, .. } | Body::Begun { bytes, .. } => bytes,
            Body::Streaming => &NONE,
        }
    }

    /// How much of the body was read that can be sent again, where the rest cannot.
    pub(crate) fn begun(&self) -> u64 {
        match &self.body {
            Body::Begun { bytes, .. } => bytes.len() as u64,
            _ => 0,
        }
    }

    /// Whether the path says the model, as Azure's deployments do.
    pub(super) fn deployed(&self) -> bool {
        matches!(&self.door, Door::Model(endpoint) if endpoint.deployment.is_some())
    }

    /// Counts memory for `bytes` that are made of the body, for whose body it is; none where there
    /// is no room.
    pub(crate) fn memory(&self, all: &Arc<BodyMemory>, bytes: u64) -> Option<Held> {
        match &self.body {
            Body::Held { memory: Some(memory), .. } => memory.another(bytes),
            _ => all.hold(Holders::default(), bytes),
        }
    }

    /// Gives back the memory of the body, once no attempt can need it again.
    pub(crate) fn let_go(&mut self) {
        self.body = Body::Streaming;
    }

    /// Whether the answer is text that a model writes: where its usage is not told, it is counted.
    pub(crate) fn generates_text(&self) -> bool {
        let Door::Model(Endpoint { operation, .. }) = &self.door else { return false };
        match operation {
            Operation::Chat | Operation::Converse | Operation::Text => true,
            Operation::ModelInPath { verb, .. } => verb.ends_with("enerateContent"),
            _ => false,
        }
    }

    /// What is to be done, where other dialects can be asked for it too.
    pub(crate) fn job(&self) -> Option<Job> {
        match &self.door {
            Door::Model(endpoint) => endpoint.job().filter(|_| self.repeatable()),
            _ => None,
        }
    }

    /// The dialect of the call, on a model route.
    pub(crate) fn dialect(&self) -> Option<Dialect> {
        match &self.door {
            Door::Model(endpoint) => Some(endpoint.dialect),
            _ => None,
        }
    }
}
