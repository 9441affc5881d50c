//! Errors as this dialect tells them: with a code and the field at fault.

use crate::{Failure, FailureKind, ProviderError, Value, codec::openai::detailed};

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
