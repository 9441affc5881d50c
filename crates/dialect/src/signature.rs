//! Signatures of reasoning, and how one vendor's travels through another's dialect.
//!
//! A vendor wants its signature (`signature`, `encrypted_content`, `thoughtSignature`) back unchanged.
//! A client of another dialect has only its own field to keep it in, so it goes there wrapped:
//! base64 text that begins with [`OWN_MARK`], by which it is known again. What is wrapped is only
//! ever sent back to where it came from, so it needs no authentication.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};

/// What every wrapped signature begins with: the base64 of `tollgate:`. It fills whole groups, so that
/// it stands at the start whatever follows, in either alphabet.
pub const OWN_MARK: &str = "dG9sbGdhdGU6";

/// Whose signature it is.
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
    /// Nobody's: the thoughts came without one (`reasoning_content` of compatible servers).
    Unsigned,
}

/// An opaque signature that only its vendor can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Whose it is.
    pub vendor: Vendor,
    /// The signature as the vendor wrote it.
    pub data: Cow<'a, str>,
    /// The id of the item, where the vendor wants it back (OpenAI), or how it was sent ([`Via`]).
    pub id: Option<Cow<'a, str>>,
    /// Whether the thoughts themselves are hidden in it (Anthropic's `redacted_thinking`).
    pub redacted: bool,
}

/// How a signature came from a server that serves another vendor's models in OpenAI's dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Via<'s> {
    /// The name under which it stood, where the place has several.
    pub(crate) place: &'s str,
    /// The call that it is of, where it came too late to stand in front of it.
    pub(crate) call: Option<&'s str>,
    /// The model that sent it, as its upstream calls it.
    pub(crate) model: &'s str,
}

impl<'a> Signature<'a> {
    /// The signature `data` of `vendor`.
    pub fn new(vendor: Vendor, data: impl Into<Cow<'a, str>>) -> Self {
        Self { vendor, data: data.into(), id: None, redacted: false }
    }

    /// The mark of thoughts that came without a signature.
    pub fn unsigned() -> Self {
        Self::new(Vendor::Unsigned, "")
    }

    /// The same, with a life of its own.
    pub fn into_owned(self) -> Signature<'static> {
        Signature {
            vendor: self.vendor,
            data: Cow::Owned(self.data.into_owned()),
            id: self.id.map(|id| Cow::Owned(id.into_owned())),
            redacted: self.redacted,
        }
    }

    /// The same, as a compatible server sent it.
    pub(crate) fn sent_by(self, via: Via<'_>) -> Self {
        let id = format!("{}\n{}\n{}", via.place, via.call.unwrap_or_default(), via.model);
        Self { id: Some(Cow::Owned(id)), ..self }
    }

    /// How a compatible server sent it; none where its vendor did itself.
    pub(crate) fn via(&self) -> Option<Via<'_>> {
        if !matches!(self.vendor, Vendor::Gemini | Vendor::Compatible) {
            return None;
        }
        let (place, rest) = self.id.as_deref()?.split_once('\n')?;
        let (call, model) = rest.split_once('\n')?;
        Some(Via { place, call: (!call.is_empty()).then_some(call), model })
    }

    /// Whether it is a signature of the call behind it, for clients whose dialect signs no calls.
    pub(crate) fn is_of_next_call(&self) -> bool {
        matches!(self.vendor, Vendor::Gemini | Vendor::Compatible)
            && self.via().is_none_or(|via| via.call.is_none())
    }

    /// How it travels in another vendor's field: standard base64.
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

    /// What a field of `native` holds: a wrapped signature, or the vendor's own. None where it is
    /// marked as ours and is not whole.
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

    /// Whether `field` holds something that the gateway wrapped.
    pub fn is_own(field: &str) -> bool {
        field.starts_with(OWN_MARK)
    }
}

/// Wraps `text`, which [`unwrap`] gives back: standard base64 that begins with [`OWN_MARK`].
pub(crate) fn wrap(text: &str) -> String {
    BASE64_STANDARD.encode(format!("tollgate:1{text}"))
}

/// What [`wrap`] wrapped, in either alphabet of base64; none where `field` is not whole.
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
