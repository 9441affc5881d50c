//! Signatures of reasoning, and their wrapping for other dialects.
//!
//! A provider requires its signature (`signature`, `encrypted_content`, `thoughtSignature`) back
//! unchanged. A client of another dialect can keep it only in a field of its own dialect, so it is
//! sent there wrapped: as base64 text that begins with [`OWN_MARK`]. Wrapped signatures are only
//! sent back to the provider that made them, so they need no authentication.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};

/// The beginning of every wrapped signature: the base64 of `tollgate:`. It fills whole base64
/// groups, so it is the same whatever follows, in both alphabets.
pub const OWN_MARK: &str = "dG9sbGdhdGU6";

/// The provider that made a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// OpenAI: `encrypted_content`.
    Openai,
    /// Anthropic: `signature`.
    Anthropic,
    /// Google: `thoughtSignature`.
    Gemini,
    /// An OpenAI-compatible server's, as JSON: `reasoning_details`.
    Compatible,
    /// No provider: the reasoning came without a signature (`reasoning_content` of compatible
    /// servers).
    Unsigned,
}

/// An opaque signature of reasoning that only its provider can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The provider that made it.
    pub vendor: Vendor,
    /// The signature as the provider wrote it.
    pub data: Cow<'a, str>,
    /// The id of the item if the provider requires it (OpenAI), or the origin of the signature
    /// ([`Via`]).
    pub id: Option<Cow<'a, str>>,
    /// Whether the signature contains the reasoning itself (Anthropic's `redacted_thinking`).
    pub redacted: bool,
}

/// The origin of a signature from a server that serves another provider's models in OpenAI's
/// dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Via<'s> {
    /// The member that held it, if there are several.
    pub(crate) place: &'s str,
    /// The call that it belongs to, if it came too late to precede it.
    pub(crate) call: Option<&'s str>,
    /// The model that sent it, by its name at the upstream.
    pub(crate) model: &'s str,
}

impl<'a> Signature<'a> {
    /// Creates the signature `data` of `vendor`.
    pub fn new(vendor: Vendor, data: impl Into<Cow<'a, str>>) -> Self {
        Self { vendor, data: data.into(), id: None, redacted: false }
    }

    /// Creates the mark of reasoning without a signature.
    pub fn unsigned() -> Self {
        Self::new(Vendor::Unsigned, "")
    }

    /// Returns an owned copy.
    pub fn into_owned(self) -> Signature<'static> {
        Signature {
            vendor: self.vendor,
            data: Cow::Owned(self.data.into_owned()),
            id: self.id.map(|id| Cow::Owned(id.into_owned())),
            redacted: self.redacted,
        }
    }

    /// Sets the origin at a compatible server.
    pub(crate) fn sent_by(self, via: Via<'_>) -> Self {
        let id = format!("{}\n{}\n{}", via.place, via.call.unwrap_or_default(), via.model);
        Self { id: Some(Cow::Owned(id)), ..self }
    }

    /// Returns the origin at a compatible server; `None` if the provider itself sent it.
    pub(crate) fn via(&self) -> Option<Via<'_>> {
        if !matches!(self.vendor, Vendor::Gemini | Vendor::Compatible) {
            return None;
        }
        let (place, rest) = self.id.as_deref()?.split_once('\n')?;
        let (call, model) = rest.split_once('\n')?;
        Some(Via { place, call: (!call.is_empty()).then_some(call), model })
    }

    /// Whether it signs the following call, for clients whose dialect cannot sign calls.
    pub(crate) fn is_of_next_call(&self) -> bool {
        matches!(self.vendor, Vendor::Gemini | Vendor::Compatible)
            && self.via().is_none_or(|via| via.call.is_none())
    }

    /// Returns the wrapped form for a field of another provider: standard base64.
    pub fn wrapped(&self) -> String {
        let vendor = match (self.vendor, self.redacted) {
            (Vendor::Openai, _) => 'o',
            (Vendor::Anthropic, false) => 'a',
            (Vendor::Anthropic, true) => 'r',
            (Vendor::Gemini, _) => 'g',
            (Vendor::Compatible, _) => 'c',
            (Vendor::Unsigned, _) => 'u',
        };
        let id = self.id.as_deref().unwrap_or_default();
        wrap(&format!("{vendor}{}:{id}{}", id.len(), self.data))
    }

    /// Reads a field of `native`: a wrapped signature or the provider's own one. `None` if it has
    /// the mark but is incomplete.
    pub fn read(field: &'a str, native: Vendor) -> Option<Signature<'a>> {
        if !field.starts_with(OWN_MARK) {
            return Some(Signature::new(native, field));
        }
        let rest = &*unwrap(field)?;
        let (vendor, redacted) = match rest.chars().next()? {
            'o' => (Vendor::Openai, false),
            'a' => (Vendor::Anthropic, false),
            'r' => (Vendor::Anthropic, true),
            'g' => (Vendor::Gemini, false),
            'c' => (Vendor::Compatible, false),
            'u' => (Vendor::Unsigned, false),
            _ => return None,
        };
        let (length, rest) = rest[1..].split_once(':')?;
        let (id, data) = rest.split_at_checked(length.parse().ok()?)?;
        let id = (!id.is_empty()).then(|| Cow::Owned(id.to_owned()));
        Some(Signature { vendor, data: Cow::Owned(data.to_owned()), id, redacted })
    }

    /// Whether `field` contains a wrapped signature.
    pub fn is_own(field: &str) -> bool {
        field.starts_with(OWN_MARK)
    }
}

/// Wraps `text` as standard base64 that begins with [`OWN_MARK`]; [`unwrap`] reverses it.
pub(crate) fn wrap(text: &str) -> String {
    BASE64_STANDARD.encode(format!("tollgate:1{text}"))
}

/// Reverses [`wrap`], in both base64 alphabets; `None` if `field` is incomplete.
pub(crate) fn unwrap(field: &str) -> Option<String> {
    let standard: String = field
        .chars()
        .filter(|c| *c != '=')
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    let decoded = base64::prelude::BASE64_STANDARD_NO_PAD.decode(standard).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.strip_prefix("tollgate:1").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_comes_back_as_it_was() {
        for vendor in [Vendor::Openai, Vendor::Anthropic, Vendor::Gemini, Vendor::Unsigned] {
            for data in ["", "EqQBCgIYAg==", "gAAAAABenc+/==", "é:1:2"] {
                let id = (vendor == Vendor::Openai).then_some(Cow::Borrowed("rs_6:8"));
                let redacted = vendor == Vendor::Anthropic;
                let signature = Signature { vendor, data: data.into(), id, redacted };
                let wrapped = signature.wrapped();
                assert!(Signature::is_own(&wrapped), "{wrapped}");
                assert_eq!(Signature::read(&wrapped, Vendor::Gemini), Some(signature.clone()));
                let url_safe = wrapped.replace('+', "-").replace('/', "_");
                assert_eq!(
                    Signature::read(url_safe.trim_end_matches('='), Vendor::Gemini),
                    Some(signature)
                );
            }
        }
    }

    #[test]
    fn a_proof_knows_which_server_sent_it() {
        for call in [None, Some("call_1")] {
            let via = Via { place: "vertex", call, model: "google/gemini-3" };
            let wrapped = Signature::new(Vendor::Gemini, "c2ln").sent_by(via).wrapped();
            let signature = Signature::read(&wrapped, Vendor::Anthropic).unwrap();
            assert_eq!((signature.via(), &*signature.data), (Some(via), "c2ln"));
            assert_eq!(signature.is_of_next_call(), call.is_none());
        }
        assert_eq!(Signature::new(Vendor::Gemini, "c2ln").via(), None);
        let item = Signature { id: Some("a\nb\nc".into()), ..Signature::new(Vendor::Openai, "x") };
        assert!(item.via().is_none() && !item.is_of_next_call());
    }

    #[test]
    fn a_vendors_own_is_taken_as_it_is() {
        let signature = Signature::read("EqQBCgIYAg==", Vendor::Anthropic).unwrap();
        assert_eq!((signature.vendor, &*signature.data), (Vendor::Anthropic, "EqQBCgIYAg=="));
        assert_eq!(Signature::read("dG9sbGdhdGU6!", Vendor::Anthropic), None);
        assert_eq!(Signature::read("dG9sbGdhdGU6", Vendor::Anthropic), None);
    }
}
