//! What the gateway itself says on a socket: errors, with the lane they belong to.

use serde_json::{Map, Value, json};

/// An error, as it is told.
#[derive(Debug)]
pub(super) struct Error<'a> {
    pub(super) status: u16,
    pub(super) kind: &'a str,
    pub(super) code: &'a str,
    pub(super) message: &'a str,
}

/// The socket is as old as it may become.
pub(super) const LIMIT_REACHED: Error<'static> = Error {
    status: 400,
    kind: "invalid_request_error",
    code: "websocket_connection_limit_reached",
    message: "this WebSocket is 60 minutes old, which is the most; connect again to go on",
};

/// The gateway is about to leave.
pub(super) const LEAVING: Error<'static> = Error {
    status: 503,
    kind: "server_error",
    code: "gateway_restarts",
    message: "the gateway restarts; connect again",
};

/// Too much waits on this socket.
pub(super) const TOO_MANY: Error<'static> = Error {
    status: 429,
    kind: "invalid_request_error",
    code: "too_many_pending_responses",
    message: "too many responses run or wait on this WebSocket; let some of them end first",
};

/// There is no memory for the request.
pub(super) const BUSY: Error<'static> = Error {
    status: 503,
    kind: "server_error",
    code: "gateway_busy",
    message: "the gateway holds as many request bodies as it may; try again shortly",
};

/// The answer ended before it was whole.
pub(super) const BROKE_OFF: Error<'static> = Error {
    status: 502,
    kind: "server_error",
    code: "upstream_broke_off",
    message: "the answer ended before it was whole",
};

/// An error event of `lane`.
pub(super) fn error(lane: Option<&str>, error: &Error<'_>) -> String {
    let Error { status, kind, code, message } = error;
    let body = json!({ "type": kind, "code": code, "message": message, "param": null });
    wrapped(lane, *status, body, Map::new())
}

/// An error event around an error object, with header lines of the answer that it came with.
pub(super) fn wrapped(
    lane: Option<&str>,
    status: u16,
    error: Value,
    headers: Map<String, Value>,
) -> String {
    let mut event = json!({ "type": "error", "status": status, "error": error });
    if !headers.is_empty() {
        event["headers"] = headers.into();
    }
    of_lane(lane, event.to_string())
}

/// The answer to a `response.steer`, which the gateway cannot do for any upstream.
pub(super) fn not_steered(steer: &Value) -> String {
    json!({
        "type": "response.steer.failed",
        "error": {
            "type": "invalid_request_error",
            "code": "steering_not_supported",
            "message": "a running response cannot be steered through this gateway; send a new `response.create`",
        },
        "steer": { "input": steer["input"], "previous_response_id": steer["previous_response_id"] },
    })
    .to_string()
}

/// The event with the lane that it belongs to.
pub(super) fn of_lane(lane: Option<&str>, event: String) -> String {
    let (Some(lane), Some(rest)) = (lane, event.strip_prefix('{')) else { return event };
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    format!("{{\"stream_id\":{}{comma}{rest}", Value::from(lane))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_lane_and_is_otherwise_as_it_came() {
        let check = |lane, event: &str, wanted: &str| {
            assert_eq!(of_lane(lane, event.to_owned()), wanted);
        };
        check(None, "{\"a\":1}", "{\"a\":1}");
        check(Some("m\"x"), "{\"a\":1e3}", "{\"stream_id\":\"m\\\"x\",\"a\":1e3}");
        check(Some("m"), "{ }", "{\"stream_id\":\"m\" }");
    }

    #[test]
    fn an_error_has_its_status_and_an_object_of_its_own() {
        let event: Value = serde_json::from_str(&error(Some("main"), &LIMIT_REACHED)).unwrap();
        assert_eq!((&event["type"], &event["status"]), (&json!("error"), &json!(400)));
        assert_eq!(event["stream_id"], "main");
        assert_eq!(event["error"]["code"], "websocket_connection_limit_reached");
        assert_eq!(event["error"]["type"], "invalid_request_error");
    }
}
