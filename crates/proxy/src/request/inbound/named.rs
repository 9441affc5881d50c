//! The model that a call names outside of its body, and that of a call through `/proxy/`.

use super::call::Call;
use crate::{
    door::{Door, Operation},
    headers::percent_decode,
    http1::RequestHead,
};

pub(super) fn model_outside_body(head: &RequestHead, door: &Door) -> Option<String> {
    let Door::Model(endpoint) = door else { return None };
    match &endpoint.operation {
        Operation::ModelInPath { model, .. } => Some(model.clone()),
        _ if endpoint.deployment.is_some() => endpoint.deployment.clone(),
        _ if names_model_in_query(head, door) => {
            let fields = head.query().unwrap_or_default().split('&');
            let value = |field: &'_ str| {
                let (name, value) = field.split_once('=')?;
                (name == "model" || (name == "deployment" && endpoint.azure))
                    .then(|| percent_decode(value.as_bytes()))
            };
            String::from_utf8(fields.filter_map(value).next()?).ok()
        }
        _ => None,
    }
}

/// The model that a call through `/proxy/` names, as far as that can be told: what it costs
/// depends on it.
pub(crate) fn named_model(call: &Call, head: &RequestHead) -> Option<String> {
    let Door::Opaque { path, .. } = &call.door else { return None };
    let decoded = |text: &str| String::from_utf8(percent_decode(text.as_bytes())).ok();
    let mut fields = head.query().unwrap_or_default().split('&');
    if let Some(model) = fields.find_map(|field| field.strip_prefix("model=")) {
        return decoded(model);
    }
    let in_path = ["/models/", "/deployments/"].iter().find_map(|place| path.split_once(place));
    if let Some((_, rest)) = in_path {
        return decoded(rest.split(['/', ':']).next().unwrap_or_default());
    }
    let kind = head.text("content-type").unwrap_or_default();
    if let Some(model) = dialect::form_text(kind, call.held(), "model") {
        return Some(model.to_owned());
    }
    let peeked = dialect::peek(call.held()).ok()?;
    peeked.model.map(|model| model.text.into_owned())
}

/// A session of the Realtime API may name the model where it has no body to name it in.
pub(super) fn names_model_in_query(head: &RequestHead, door: &Door) -> bool {
    matches!(door, Door::Model(_))
        && matches!(door.path(head), "/v1/realtime" | "/v1/realtime/calls")
}
