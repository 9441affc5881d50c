//! The usage of a call, in the units that providers bill, and its source.

use serde::{Deserialize, Serialize};

/// The usage of one call. `cached`, `cache_written` and `input_audio` are parts of `input`;
/// `reasoning` and `output_audio` are parts of `output`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All input tokens.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input: u64,
    /// Input tokens read from the provider's prompt cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// Input tokens written to the provider's prompt cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_written: u64,
    /// Those that were audio.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input_audio: u64,
    /// All output tokens.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output: u64,
    /// Output tokens used for reasoning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning: u64,
    /// Those that were audio.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output_audio: u64,
    /// Characters of text converted to speech.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub characters: u64,
    /// Generated images.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Transcribed audio or generated video, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub duration_ms: u64,
}

impl Usage {
    /// The largest plausible amount: higher reports of a provider are capped.
    pub const MAX: u64 = 1 << 40;

    /// Returns the usage with every number capped at [`Usage::MAX`].
    #[must_use]
    pub fn believed(self) -> Usage {
        self.plus(&Usage::default())
    }

    /// Returns the sum, with every number capped at [`Usage::MAX`].
    #[must_use]
    pub fn plus(self, other: &Usage) -> Usage {
        let sum = |a: u64, b: u64| a.saturating_add(b).min(Self::MAX);
        Usage {
            input: sum(self.input, other.input),
            cached: sum(self.cached, other.cached),
            cache_written: sum(self.cache_written, other.cache_written),
            input_audio: sum(self.input_audio, other.input_audio),
            output: sum(self.output, other.output),
            reasoning: sum(self.reasoning, other.reasoning),
            output_audio: sum(self.output_audio, other.output_audio),
            characters: sum(self.characters, other.characters),
            images: sum(self.images, other.images),
            duration_ms: sum(self.duration_ms, other.duration_ms),
        }
    }

    /// Returns the difference to a part that was added.
    #[must_use]
    pub fn minus(self, part: &Usage) -> Usage {
        Usage {
            input: self.input.saturating_sub(part.input),
            cached: self.cached.saturating_sub(part.cached),
            cache_written: self.cache_written.saturating_sub(part.cache_written),
            input_audio: self.input_audio.saturating_sub(part.input_audio),
            output: self.output.saturating_sub(part.output),
            reasoning: self.reasoning.saturating_sub(part.reasoning),
            output_audio: self.output_audio.saturating_sub(part.output_audio),
            characters: self.characters.saturating_sub(part.characters),
            images: self.images.saturating_sub(part.images),
            duration_ms: self.duration_ms.saturating_sub(part.duration_ms),
        }
    }

    /// Whether all numbers are zero.
    pub fn is_nothing(&self) -> bool {
        *self == Usage::default()
    }
}

/// Whether the number is zero and need not be written.
pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The source of a usage, the most reliable first.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// No usage: no provider was asked, it refused, or the request is free.
    #[default]
    #[serde(rename = "none")]
    Nothing,
    /// The provider reported it.
    #[serde(alias = "provider")]
    Reported,
    /// The gateway counted the bytes that passed.
    Counted,
    /// The gateway estimated it from the request, because the answer did not pass.
    Estimated,
    /// Unknown.
    Unknown,
}

impl UsageSource {
    /// All of them, in the order in which they are listed to people.
    pub const ALL: [UsageSource; 5] = [
        UsageSource::Reported,
        UsageSource::Counted,
        UsageSource::Estimated,
        UsageSource::Unknown,
        UsageSource::Nothing,
    ];

    /// The name in the API and in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            UsageSource::Nothing => "none",
            UsageSource::Reported => "reported",
            UsageSource::Counted => "counted",
            UsageSource::Estimated => "estimated",
            UsageSource::Unknown => "unknown",
        }
    }

    /// Returns the source with this name; earlier versions wrote `provider` for `reported`.
    pub fn named(name: &str) -> Option<UsageSource> {
        let name = if name == "provider" { "reported" } else { name };
        UsageSource::ALL.into_iter().find(|source| source.as_str() == name)
    }

    /// Whether nothing was used.
    pub fn is_nothing(&self) -> bool {
        *self == UsageSource::Nothing
    }

    /// Returns the source of a sum: that of its least reliable part. An unknown part adds nothing
    /// to the sum, so it decides only if there is no other.
    #[must_use]
    pub fn and(self, other: UsageSource) -> UsageSource {
        match (self, other) {
            (UsageSource::Unknown, known) | (known, UsageSource::Unknown)
                if !known.is_nothing() =>
            {
                known
            }
            _ => self.max(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_as_sure_as_its_least_sure_part() {
        use UsageSource::{Counted, Estimated, Nothing, Reported, Unknown};
        for (one, other, sum) in [
            (Nothing, Nothing, Nothing),
            (Nothing, Reported, Reported),
            (Reported, Estimated, Estimated),
            (Counted, Reported, Counted),
            (Unknown, Reported, Reported),
            (Unknown, Nothing, Unknown),
        ] {
            assert_eq!((one.and(other), other.and(one)), (sum, sum), "{one:?} {other:?}");
        }
    }

    #[test]
    fn every_source_is_found_by_its_name() {
        for source in UsageSource::ALL {
            assert_eq!(UsageSource::named(source.as_str()), Some(source));
        }
        assert_eq!(UsageSource::named("provider"), Some(UsageSource::Reported));
        assert_eq!(UsageSource::named("guessed"), None);
    }
}
