//! How the body of a call is read: whole, as far as the model stands, or not at all.

use std::sync::Arc;

use bytes::Bytes;
use dialect::{Coding, FormScan};

use super::{
    call::{Body, Call},
    find::{self, Sought},
    named::model_outside_body,
};
use crate::{
    client::Client,
    door::Door,
    http1::RequestHead,
    memory::{BodyMemory, Held, Holders},
    refusal::Refusal,
    settings::Settings,
};

/// How a body is to be read.
#[derive(Debug)]
pub(super) enum Reading {
    /// Whole: it is JSON that decides where the call goes, and that must be there where `needed`.
    Json { coding: Option<Coding>, needed: bool },
    /// As far as its model stands: it is a form.
    Form { coding: Option<Coding>, scan: Box<FormScan> },
    /// Its beginning tells whether it is JSON: the client does not say what it is.
    Unsaid,
    /// Nothing in it is looked at.
    Opaque,
}

impl Reading {
    /// How the body of a call is to be read: by its type, or, whatever its type says, by what is
    /// asked for where nothing else can be meant.
    pub(super) fn of(call: &Call, head: &RequestHead) -> Result<Self, Refusal> {
        let Door::Model(endpoint) = &call.door else { return Ok(Reading::Opaque) };
        let path = call.door.path(head);
        let posts = head.method() == "POST";
        let kind = String::from_utf8_lossy(head.get("content-type").unwrap_or_default());
        if let Some(scan) = FormScan::new(&kind, find::form_fields(path)) {
            if find::only_keeps_files(path) {
                return Ok(Reading::Opaque);
            }
            return Ok(Reading::Form { coding: coding(head)?, scan: Box::new(scan) });
        }
        let needed = endpoint.job().is_some() || (posts && find::NEED_A_MODEL.contains(&path));
        let media = kind.split(';').next().unwrap_or_default().trim();
        let says_json = media.eq_ignore_ascii_case("application/json")
            || media
                .get(media.len().saturating_sub(5)..)
                .is_some_and(|end| end.eq_ignore_ascii_case("+json"));
        if needed || says_json {
            return Ok(Reading::Json { coding: coding(head)?, needed });
        }
        // A body that is packed in a way that nobody says is not JSON for anybody.
        let unsaid = (media.is_empty() || media.eq_ignore_ascii_case("text/plain"))
            && coding(head).ok() == Some(None);
        Ok(if unsaid { Reading::Unsaid } else { Reading::Opaque })
    }

    /// Whether nothing can be done without a body.
    pub(super) fn needs_a_body(&self) -> bool {
        matches!(self, Reading::Json { needed: true, .. })
    }
}

/// How a body that must be read is compressed.
fn coding(head: &RequestHead) -> Result<Option<Coding>, Refusal> {
    if head.get("content-encoding").is_none() {
        return Ok(None);
    }
    let coding = head.list("content-encoding").and_then(|value| Coding::of(&value));
    let coding = coding.ok_or(Refusal::Compressed)?;
    Ok(Some(coding).filter(|coding| !coding.is_identity()))
}

/// Reads the body, and finds in it what decides where the call goes.
pub(super) async fn read(
    (settings, memory): (&Settings, &Arc<BodyMemory>),
    client: &mut Client<'_>,
    holders: Holders,
    reading: Reading,
    call: &mut Call,
) -> Result<(), Refusal> {
    let (limit, small) = (settings.limits.body, settings.buffers.per_request);
    let length = client.head.content_length;
    let is_small = length.is_some_and(|length| length <= small);
    let mut memory = memory.hold(holders, 0).ok_or(Refusal::Busy)?;
    let sought = Sought::on(call.door.path(&client.head));
    match reading {
        Reading::Json { coding, .. } => {
            let bytes = whole(client, coding, limit, &mut memory, call).await?;
            find::look_into(call, sought, &bytes)?;
            call.body = Body::Held { bytes, memory: Some(memory) };
        }
        Reading::Form { coding: coding @ Some(_), mut scan } => {
            let bytes = whole(client, coding, limit, &mut memory, call).await?;
            scan.push(&bytes)?;
            scan.finish()?;
            find::look_into_form(call, sought, &scan)?;
            call.body = Body::Held { bytes, memory: Some(memory) };
        }
        Reading::Form { coding: None, scan } => {
            return form(client, *scan, (limit, small), memory, call).await;
        }
        Reading::Unsaid => return unsaid(client, (limit, small), memory, call).await,
        Reading::Opaque if is_small && memory.would_hold(length.unwrap_or(0)) => {
            let bytes = client.body(small, &mut memory).await?;
            call.body = Body::Held { bytes, memory: Some(memory) };
        }
        Reading::Opaque => call.body = Body::Streaming,
    }
    Ok(())
}

/// The whole body, unpacked.
async fn whole(
    client: &mut Client<'_>,
    coding: Option<Coding>,
    limit: u64,
    memory: &mut Held,
    call: &mut Call,
) -> Result<Bytes, Refusal> {
    let bytes = client.body(limit, memory).await?;
    let Some(coding) = coding else { return Ok(bytes) };
    let room = usize::try_from(limit).unwrap_or(usize::MAX);
    let unpacked = match coding.unpack(&bytes, room) {
        Ok(Some(whole)) => Bytes::from(whole),
        Ok(None) => return Err(Refusal::BodyTooLarge(limit)),
        Err(_) => return Err(Refusal::BadCoding),
    };
    *memory = memory.another(unpacked.len() as u64).ok_or(Refusal::Busy)?;
    call.unpacked = true;
    Ok(unpacked)
}

/// Reads a form up to its model; whole, where it is so small that it can be sent again.
async fn form(
    client: &mut Client<'_>,
    mut scan: FormScan,
    (limit, small): (u64, u64),
    mut memory: Held,
    call: &mut Call,
) -> Result<(), Refusal> {
    let is_small = client.head.content_length.map(|length| length <= small);
    let enough = |piece: &Bytes, size: u64| {
        scan.push(piece)?;
        let decided = !scan.fields().is_empty() || scan.has_ended();
        Ok(decided && !is_small.unwrap_or(size <= small))
    };
    let read = client.read(limit, &mut memory, enough).await;
    let (bytes, whole) = match read {
        Err(Refusal::BodyTooLarge(limit)) => return Err(Refusal::ModelTooFar(limit)),
        read => read?,
    };
    if whole {
        scan.finish()?;
    }
    find::look_into_form(call, Sought::on(call.door.path(&client.head)), &scan)?;
    if whole {
        call.body = Body::Held { bytes, memory: Some(memory) };
    } else {
        // What is still to come must not name another model.
        client.form = Some(Box::new(scan));
        call.body = Body::Begun { bytes, _memory: memory };
    }
    Ok(())
}

/// Reads a body of which nobody says what it is: as JSON where it begins like that.
async fn unsaid(
    client: &mut Client<'_>,
    (limit, small): (u64, u64),
    mut memory: Held,
    call: &mut Call,
) -> Result<(), Refusal> {
    let is_small = client.head.content_length.is_some_and(|length| length <= small);
    let mut is_json = None;
    let enough = |piece: &Bytes, _: u64| {
        if is_json.is_none() {
            is_json = piece.iter().find(|b| !b.is_ascii_whitespace()).map(|b| *b == b'{');
        }
        Ok(is_json == Some(false) && !is_small)
    };
    let (bytes, whole) = client.read(limit, &mut memory, enough).await?;
    if !whole {
        call.body = Body::Begun { bytes, _memory: memory };
        return Ok(());
    }
    let sought = Sought::on(call.door.path(&client.head));
    // What does not read as JSON passes as it is.
    if is_json == Some(true) && find::look_into(call, sought, &bytes).is_err() {
        (call.model_at, call.ask_usage) = (None, None);
        call.model = model_outside_body(&client.head, &call.door);
    }
    call.body = Body::Held { bytes, memory: Some(memory) };
    Ok(())
}
