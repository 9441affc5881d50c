//! The bytes of an event stream as a client's library reads them, with the strictness of the
//! strictest one.

use crate::json::Json;

/// One event: the JSON of its data, or `[DONE]` as a string.
pub(crate) type Step = Json;

/// What the stream says, and what is wrong with how it says it.
pub(crate) fn read(dialect: &str, stream: &[u8]) -> (Vec<Step>, Vec<String>) {
    let Ok(text) = std::str::from_utf8(stream) else {
        return (Vec::new(), vec!["the stream is not UTF-8".to_owned()]);
    };
    let mut faults = Vec::new();
    let mut steps = Vec::new();
    if !text.is_empty() && !text.ends_with("\n\n") {
        faults.push("the last event is not ended by an empty line".to_owned());
    }
    if text.contains('\r') {
        faults.push("there are carriage returns".to_owned());
    }
    if dialect == "gemini" && text.lines().any(|line| line.starts_with(':')) {
        faults.push("comments make a Gemini client fail".to_owned());
    }
    for (n, event) in text.split("\n\n").filter(|event| !event.trim().is_empty()).enumerate() {
        let lines: Vec<&str> = event.lines().filter(|line| !line.starts_with(':')).collect();
        if lines.is_empty() {
            continue;
        }
        match one(dialect, &lines) {
            Ok(Some(step)) => steps.push(step),
            Ok(None) => {}
            Err(fault) => faults.push(format!("event {n}: {fault}: {event:.120}")),
        }
    }
    (steps, faults)
}

fn one(dialect: &str, lines: &[&str]) -> Result<Option<Step>, String> {
    let named = matches!(dialect, "anthropic" | "openai-responses");
    let (name, data) = match (named, lines) {
        (true, [name, data]) => {
            (name.strip_prefix("event: ").ok_or("it does not begin with its name")?, data)
        }
        (true, _) => return Err("it is not a name and a line of data".to_owned()),
        (false, [data]) => ("", data),
        (false, _) => return Err("it is not one line of data".to_owned()),
    };
    let data = data.strip_prefix("data: ").ok_or("its data does not begin with `data: `")?;
    if data == "[DONE]" {
        return Ok(Some(Json::text(data)));
    }
    let step = Json::read(data.as_bytes())?;
    if named && step.get("type").str() != name {
        return Err("its name is not its type".to_owned());
    }
    Ok((name != "ping").then_some(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of events and of faults.
    fn check(dialect: &str, stream: &str, steps: usize, faults: usize) {
        let found = read(dialect, stream.as_bytes());
        assert_eq!((found.0.len(), found.1.len()), (steps, faults), "{stream}: {found:?}");
    }

    #[test]
    fn every_dialect_has_its_own_way_to_frame_events() {
        check("openai-chat", "data: {}\n\n: quiet\n\ndata: [DONE]\n\n", 2, 0);
        check("openai-chat", "data: {}\n\nevent: x\ndata: {}\n\n", 1, 1);
        check("openai-chat", "data: {}\n\ndata:{}\n\n", 1, 1);
        check("openai-chat", "id: 7\ndata: {}\n\n", 0, 1);
        check("openai-chat", "data: {}\n", 1, 1);
        check("openai-chat", "data: {}\r\n\r\n", 0, 3);
        check("gemini", "data: {}\n\n", 1, 0);
        check("gemini", ": quiet\n\ndata: {}\n\n", 1, 1);
        check("anthropic", "event: a\ndata: {\"type\": \"a\"}\n\n", 1, 0);
        check("anthropic", "event: ping\ndata: {\"type\": \"ping\"}\n\n", 0, 0);
        check("anthropic", "event: a\ndata: {\"type\": \"b\"}\n\n", 0, 1);
        check("openai-responses", "data: {\"type\": \"b\"}\n\n", 0, 1);
        check("openai-responses", "event: b\ndata: {\"type\": \"b\"\n\n", 0, 1);
    }
}
