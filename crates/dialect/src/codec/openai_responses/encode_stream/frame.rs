//! Single events of a stream.

use super::super::output::Part;
use crate::write::{self, Object};

/// Writes one event.
pub(super) fn send(
    out: &mut Vec<u8>,
    number: &mut u64,
    kind: &str,
    fill: impl FnOnce(&mut Object<'_>),
) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    write::object(out, |o| {
        o.text("type", kind);
        o.number("sequence_number", *number);
        fill(o);
    });
    out.extend_from_slice(b"\n\n");
    *number += 1;
}

pub(super) fn send_input(
    out: &mut Vec<u8>,
    number: &mut u64,
    index: usize,
    id: &str,
    free_form: bool,
    delta: &str,
) {
    let kind = match free_form {
        true => "response.custom_tool_call_input.delta",
        false => "response.function_call_arguments.delta",
    };
    send(out, number, kind, |o| {
        o.text("item_id", id);
        o.number("output_index", index as u64);
        o.text("delta", delta);
    });
}

/// Tells a part whole.
pub(super) fn finish_part(
    out: &mut Vec<u8>,
    number: &mut u64,
    place: [usize; 2],
    id: &str,
    part: &Part,
) {
    let [kind, member] = match part.refusal {
        true => ["response.refusal.done", "refusal"],
        false => ["response.output_text.done", "text"],
    };
    send(out, number, kind, |o| {
        write_place(o, place, id);
        o.text(member, &part.text);
        if !part.refusal {
            o.raw("logprobs", &format!("[{}]", part.logprobs));
        }
    });
    send(out, number, "response.content_part.done", |o| {
        write_place(o, place, id);
        o.object("part", |o| part.write(o));
    });
}

/// Of which item and part an event speaks.
pub(super) fn write_place(o: &mut Object<'_>, [item, part]: [usize; 2], id: &str) {
    o.text("item_id", id);
    o.number("output_index", item as u64);
    o.number("content_index", part as u64);
}

pub(super) fn write_summary_place(o: &mut Object<'_>, item: usize, id: &str) {
    o.text("item_id", id);
    o.number("output_index", item as u64);
    o.number("summary_index", 0);
}

/// What was written as JSON.
pub(super) fn text(json: &[u8]) -> &str {
    std::str::from_utf8(json).expect("only text was written")
}
