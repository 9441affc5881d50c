//! The parts of a policy, each as the API spells it.

use domain::policy as of;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    api::{
        money::{Dollars, PerMillion},
        values::Seconds,
    },
    words::{ErrorClass, Period, ScriptError, Sharing, Unit, Window},
};

/// What an answer must be like, and the class of failure that it is then. All that is named must
/// hold.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorRule {
    /// The status of the answer.
    status: Option<u16>,
    /// The provider's code or type of error, whole.
    code: Option<String>,
    /// A part of the body, in any case of letters.
    contains: Option<String>,
    /// How the provider's message begins, in any case of letters.
    message: Option<String>,
    /// The class of the failure.
    class: ErrorClass,
    /// Whether it concerns the key only where this model is asked for.
    #[serde(default)]
    of_model: bool,
    /// The period whose end is to be waited for, whatever sooner time the provider names.
    period: Option<Period>,
}

/// What is done with a key that is not accepted: `"ban"`, or it is out for so many seconds.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum AuthFailure {
    Ban(Ban),
    Disable {
        /// For so many seconds it is out.
        disable_seconds: Seconds,
    },
}

/// The word `ban`.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ban {
    Ban,
}

/// What a provider allows each key or group, at once or in a minute or a day.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyLimit {
    /// A model's name, or its beginning and one `*` last; all together where none is named.
    model: Option<String>,
    /// Whose calls count together; `key` when not given.
    #[serde(default = "each")]
    per: Sharing,
    /// What is counted.
    unit: Unit,
    /// None for `concurrency`.
    window: Option<Window>,
    /// How much of it, at least 1.
    limit: u64,
}

const fn each() -> Sharing {
    Sharing::Key
}

/// When a circuit breaker opens. What is not given has its default.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = BreakerPolicy)]
pub(super) struct Breaker {
    /// Whether the circuit breaker is used.
    enabled: bool,
    /// Seconds over which calls are looked at.
    window: Seconds,
    /// With fewer calls than this in the window it never opens.
    min_calls: u32,
    /// It opens when so many of a hundred failed.
    failure_percent: u32,
    /// It opens when so many failed one after the other.
    failures_in_a_row: u32,
    /// Seconds that it stays open before one call tries.
    open_for: Seconds,
}

/// How suspended keys are asked whether they are well again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Probe {
    /// Whether suspended keys are asked.
    enabled: bool,
    /// The path of a question that costs nothing; the list of models where none is named. Only
    /// visible ASCII, without `#`.
    path: Option<String>,
}

/// Whether the gateway fetches images and PDFs that a client names by address, where the target's
/// dialect takes only the data. It goes where `outbound.allow` lets upstreams be, sends neither
/// credentials nor anything of the client, and follows up to three redirects.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FetchMedia {
    /// Whether they are fetched; where they are not, a call that needs it is refused with 400.
    enabled: bool,
    /// Largest file, in bytes.
    max_bytes: u64,
    /// Most different addresses in one call.
    max_files: u32,
    /// Longest time, in seconds, for all files of a call together: more than 0 and at most 120.
    timeout: Seconds,
}

/// What calls of a model cost, in dollars. At least one price must be given; what is not given
/// costs nothing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"model": "gpt-5*", "input_per_million": "1.25", "output_per_million": "10"}))]
pub(super) struct Price {
    /// The model at this upstream, or its beginning and one `*` last; the longest that fits counts.
    model: String,
    /// Dollars for a million tokens that go in.
    input_per_million: Option<PerMillion>,
    /// Dollars for a million tokens that come out.
    output_per_million: Option<PerMillion>,
    /// Tokens read from the prompt cache; as input where nothing is said.
    cached_per_million: Option<PerMillion>,
    /// Tokens written to the prompt cache; as input where nothing is said.
    cache_written_per_million: Option<PerMillion>,
    /// Audio tokens that go in; as input where nothing is said.
    audio_input_per_million: Option<PerMillion>,
    /// Audio tokens that come out; as output where nothing is said.
    audio_output_per_million: Option<PerMillion>,
    /// Characters of text that are spoken.
    characters_per_million: Option<PerMillion>,
    /// Each image that is made.
    per_image: Option<Dollars>,
    /// Each second of audio that is listened to, or of video that is made.
    per_second: Option<Dollars>,
    /// Each minute of the same.
    per_minute: Option<Dollars>,
    /// Each call.
    per_request: Option<Dollars>,
}

/// Reads prices, each of which must say what something costs: a row without a price would make
/// its model free.
pub(super) fn prices<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Price>>, D::Error> {
    let prices = Vec::<Price>::deserialize(deserializer)?;
    match prices.iter().position(Price::is_empty) {
        None => Ok(Some(prices)),
        Some(at) => {
            let model = &prices[at].model;
            Err(D::Error::custom(format!("the price of `{model}` must name an amount, 0 if free")))
        }
    }
}

impl Price {
    fn is_empty(&self) -> bool {
        let tokens = [
            self.input_per_million,
            self.output_per_million,
            self.cached_per_million,
            self.cache_written_per_million,
            self.audio_input_per_million,
            self.audio_output_per_million,
            self.characters_per_million,
        ];
        let others = [self.per_image, self.per_second, self.per_minute, self.per_request];
        tokens.iter().all(Option::is_none) && others.iter().all(Option::is_none)
    }
}

/// A script that says which headers a request gets.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderScript {
    /// JavaScript that defines a function `headers(request)`.
    #[schema(
        example = "function headers(request) { return {set: {\"x-key\": request.key.name}} }"
    )]
    source: String,
    /// What happens to a call whose script fails.
    #[serde(default = "refuse")]
    on_error: ScriptError,
}

const fn refuse() -> ScriptError {
    ScriptError::Refuse
}

impl<'de> Deserialize<'de> for AuthFailure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let done = match &Value::deserialize(deserializer)? {
            Value::String(word) if word == "ban" => Some(Self::Ban(Ban::Ban)),
            Value::Object(fields) if fields.len() == 1 => fields
                .get("disable_seconds")
                .and_then(|seconds| Seconds::deserialize(seconds).ok())
                .map(|disable_seconds| Self::Disable { disable_seconds }),
            _ => None,
        };
        let words = "must be \"ban\" or {\"disable_seconds\": 3600}";
        done.ok_or_else(|| D::Error::custom(words))
    }
}

impl Default for Breaker {
    fn default() -> Self {
        of::Breaker::default().into()
    }
}

impl Default for FetchMedia {
    fn default() -> Self {
        of::FetchMedia::default().into()
    }
}

impl Default for Probe {
    fn default() -> Self {
        of::Probe::default().into()
    }
}

/// Converts both ways, field by field.
macro_rules! both_ways {
    ($($ours:ident = $theirs:path { $($field:ident $(: $how:tt)?),+ $(,)? })+) => {$(
        impl From<$theirs> for $ours {
            fn from(from: $theirs) -> Self {
                Self { $($field: both_ways!(@out from $field $($how)?)),+ }
            }
        }

        impl From<$ours> for $theirs {
            fn from(from: $ours) -> Self {
                Self { $($field: both_ways!(@in from $field $($how)?)),+ }
            }
        }
    )+};
    (@out $from:ident $field:ident) => { $from.$field };
    (@in $from:ident $field:ident) => { $from.$field };
    (@out $from:ident $field:ident word) => { $from.$field.into() };
    (@in $from:ident $field:ident word) => { $from.$field.into() };
    (@out $from:ident $field:ident seconds) => { Seconds($from.$field) };
    (@in $from:ident $field:ident seconds) => { $from.$field.0 };
    (@out $from:ident $field:ident maybe) => { $from.$field.map(Into::into) };
    (@in $from:ident $field:ident maybe) => { $from.$field.map(Into::into) };
}

both_ways! {
    ErrorRule = domain::ErrorRule {
        status, code, contains, message, class: word, of_model, period: maybe,
    }
    KeyLimit = domain::KeyLimit { model, per: word, unit: word, window: maybe, limit }
    Breaker = of::Breaker {
        enabled, window: seconds, min_calls, failure_percent, failures_in_a_row, open_for: seconds,
    }
    Probe = of::Probe { enabled, path }
    FetchMedia = of::FetchMedia { enabled, max_bytes, max_files, timeout: seconds }
    HeaderScript = of::HeaderScript { source, on_error: word }
}

impl From<of::AuthFailure> for AuthFailure {
    fn from(done: of::AuthFailure) -> Self {
        match done {
            of::AuthFailure::Ban => Self::Ban(Ban::Ban),
            of::AuthFailure::Disable(time) => Self::Disable { disable_seconds: Seconds(time) },
        }
    }
}

impl From<AuthFailure> for of::AuthFailure {
    fn from(done: AuthFailure) -> Self {
        match done {
            AuthFailure::Ban(Ban::Ban) => Self::Ban,
            AuthFailure::Disable { disable_seconds } => Self::Disable(disable_seconds.0),
        }
    }
}

impl From<domain::Price> for Price {
    fn from(price: domain::Price) -> Self {
        Self {
            model: price.model,
            input_per_million: Some(PerMillion(price.input)),
            output_per_million: Some(PerMillion(price.output)),
            cached_per_million: price.cached.map(PerMillion),
            cache_written_per_million: price.cache_written.map(PerMillion),
            audio_input_per_million: price.input_audio.map(PerMillion),
            audio_output_per_million: price.output_audio.map(PerMillion),
            characters_per_million: price.character.map(PerMillion),
            per_image: price.image.map(Dollars),
            per_second: price.second.map(Dollars),
            per_minute: price.minute.map(Dollars),
            per_request: Some(Dollars(price.request)),
        }
    }
}

impl From<Price> for domain::Price {
    fn from(price: Price) -> Self {
        let of = |price: Option<PerMillion>| price.map(|price| price.0);
        let each = |price: Option<Dollars>| price.map(|price| price.0);
        Self {
            model: price.model,
            input: of(price.input_per_million).unwrap_or(0),
            output: of(price.output_per_million).unwrap_or(0),
            cached: of(price.cached_per_million),
            cache_written: of(price.cache_written_per_million),
            input_audio: of(price.audio_input_per_million),
            output_audio: of(price.audio_output_per_million),
            request: each(price.per_request).unwrap_or(0),
            character: of(price.characters_per_million),
            image: each(price.per_image),
            second: each(price.per_second),
            minute: each(price.per_minute),
        }
    }
}
