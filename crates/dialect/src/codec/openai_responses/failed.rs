//! Errors as this dialect tells them: with a code and the field at fault.

use crate::{Failure, FailureKind, ProviderError, Value};

/// The failure that an error answer with this status tells.
pub(super) fn of_answer(status: u16, body: &[u8]) -> Failure {
    let failure = Failure::read(status, body);
    match Value::read(body) {
        Ok(body) => detailed(failure, body.get("error")),
        Err(_) => failure,
    }
}

/// The failure that the data of an event tells, or an answer with an error under status 200; none
/// where there is no error in it.
pub(super) fn of_data(data: &[u8], value: &Value<'_>) -> Option<Failure> {
    let failure = Failure::from(ProviderError::read(data)?);
    let inner = [value.get("error"), value.get("response").get("error")];
    let error = inner.into_iter().find(|error| error.is_object()).unwrap_or(value);
    Some(detailed(failure, error))
}

/// The provider gave no sense.
pub(super) fn nonsense(message: &str) -> Failure {
    Failure::new(FailureKind::BadGateway, message)
}

fn detailed(failure: Failure, error: &Value<'_>) -> Failure {
    let text = |name: &str| error.get(name).text().filter(|t| !t.is_empty()).map(str::to_owned);
    Failure { code: text("code"), param: text("param"), ..failure }
}
