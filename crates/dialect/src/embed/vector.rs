//! A vector in either of its forms.

use std::{borrow::Cow, fmt::Write};

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{Failure, FailureKind, Value};

/// A vector as its provider wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vector<'a> {
    /// A JSON list of numbers.
    Numbers(&'a str),
    /// Base64 of little-endian 32-bit floats.
    Packed(Cow<'a, str>),
}

impl<'a> Vector<'a> {
    /// Reads a vector in either form.
    pub(super) fn read(value: &Value<'a>) -> Result<Vector<'a>, Failure> {
        if let Some(packed) = value.cow() {
            return Ok(Vector::Packed(packed));
        }
        let numbers = value.is_array() && value.items().iter().all(|n| n.number().is_some());
        numbers.then(|| Vector::Numbers(value.raw())).ok_or_else(broken)
    }

    /// Returns the vector as a JSON list of numbers.
    ///
    /// # Errors
    ///
    /// Returns a failure if the base64 is invalid.
    pub fn numbers(&self) -> Result<Cow<'_, str>, Failure> {
        let packed = match self {
            Vector::Numbers(text) => return Ok(Cow::Borrowed(text)),
            Vector::Packed(packed) => BASE64_STANDARD.decode(&**packed).map_err(|_| broken())?,
        };
        let (floats, rest) = packed.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(broken());
        }
        let mut text = String::with_capacity(floats.len() * 12);
        for float in floats {
            let float = f32::from_le_bytes(*float);
            if !float.is_finite() {
                return Err(broken());
            }
            text.push(if text.is_empty() { '[' } else { ',' });
            // The shortest digits that parse to this float.
            write!(text, "{float:?}").map_err(|_| broken())?;
        }
        text.push_str(if text.is_empty() { "[]" } else { "]" });
        Ok(Cow::Owned(text))
    }

    /// Returns the vector as base64 of 32-bit floats.
    ///
    /// # Errors
    ///
    /// Returns a failure if an item is not a number.
    pub fn packed(&self) -> Result<Cow<'_, str>, Failure> {
        let text = match self {
            Vector::Packed(packed) => return Ok(Cow::Borrowed(packed)),
            Vector::Numbers(text) => text,
        };
        let inner = text.trim_ascii().trim_start_matches('[').trim_end_matches(']').trim_ascii();
        let mut bytes = Vec::new();
        for number in inner.split(',').filter(|_| !inner.is_empty()) {
            let float: f32 = number.trim_ascii().parse().map_err(|_| broken())?;
            bytes.extend_from_slice(&float.to_le_bytes());
        }
        Ok(Cow::Owned(BASE64_STANDARD.encode(bytes)))
    }
}

pub(super) fn broken() -> Failure {
    Failure::new(FailureKind::BadGateway, "the provider's answer has no vectors in it")
}
