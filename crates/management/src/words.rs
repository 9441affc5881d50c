//! The API's own spelling of the domain's closed lists.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

// The text is a `tt`: what a macro takes as a `literal` the API's description cannot read.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $domain:path { $($(#[$case_doc:meta])* $case:ident = $text:tt),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        pub(crate) enum $name {$(
            $(#[$case_doc])*
            #[serde(rename = $text)]
            $case,
        )+}

        impl From<$domain> for $name {
            fn from(value: $domain) -> Self {
                use $domain as Domain;
                match value {$(Domain::$case => $name::$case),+}
            }
        }

        impl From<$name> for $domain {
            fn from(value: $name) -> Self {
                use $domain as Domain;
                match value {$($name::$case => Domain::$case),+}
            }
        }
    )+};
}

words! {
    /// Whose API an upstream has.
    Provider = domain::Provider {
        Openai = "openai",
        Anthropic = "anthropic",
        Gemini = "gemini",
        Custom = "custom",
    }
    /// One wire format.
    Dialect = domain::Dialect {
        OpenaiChat = "openai_chat",
        OpenaiResponses = "openai_responses",
        AnthropicMessages = "anthropic_messages",
        Gemini = "gemini",
    }
    /// How a key of a pool is chosen.
    Strategy = domain::Strategy {
        RoundRobin = "round_robin",
        Weighted = "weighted",
        Random = "random",
        RemainingQuota = "remaining_quota",
        ConsistentHash = "consistent_hash",
        LeastLatency = "least_latency",
        BestHealth = "best_health",
    }
    /// Which of a client's headers reach the provider.
    HeaderPolicy = domain::HeaderPolicy {
        Hide = "hide",
        Keep = "keep",
        Strict = "strict",
    }
    /// How the path of a call on a model route is joined to the base URL: behind it (a version
    /// that it ends with is not said twice), without the version because it holds one however
    /// spelled, or as a deployment of older Azure OpenAI resources.
    PathStyle = domain::PathStyle {
        Versioned = "versioned",
        AsBase = "as_base",
        Deployment = "deployment",
    }
    /// Whether a call may reach a target that does not speak the client's dialect: yes, and what
    /// the target cannot say is left out and named in a header; only without such a loss; never.
    Conversion = domain::Conversion {
        Allow = "allow",
        Strict = "strict",
        Never = "never",
    }
    /// How a model is asked to think: not at all, by a number of tokens, by itself guided by an
    /// effort, by a level.
    ThinkingForm = domain::ThinkingForm {
        None = "none",
        Budget = "budget",
        Adaptive = "adaptive",
        Level = "level",
    }
    /// The name of the output limit in Chat Completions.
    MaxTokensField = domain::MaxTokensField {
        MaxTokens = "max_tokens",
        MaxCompletionTokens = "max_completion_tokens",
    }
    /// The role of instructions in Chat Completions.
    SystemRole = domain::SystemRole {
        System = "system",
        Developer = "developer",
    }
    /// Whether a provider key may be used, as far as people decided that.
    KeyState = domain::KeyState {
        Active = "active",
        Disabled = "disabled_manual",
        Banned = "banned",
    }
    /// What a limit or a quota counts; `concurrency` are calls at once.
    Unit = domain::Unit {
        Requests = "requests",
        TokensIn = "tokens_in",
        TokensOut = "tokens_out",
        Tokens = "tokens",
        Cost = "cost",
        Concurrency = "concurrency",
    }
    /// A stretch of the calendar; `total` has no end.
    Period = domain::Period {
        Minute = "minute",
        Hour = "hour",
        Day = "day",
        Week = "week",
        Month = "month",
        Total = "total",
    }
    /// Why a call failed, as far as that decides what is done with the key.
    ErrorClass = domain::ErrorClass {
        ClientFault = "client_fault",
        Auth = "auth",
        RateLimited = "rate_limited",
        QuotaExhausted = "quota_exhausted",
        Overloaded = "overloaded",
        ServerFault = "server_fault",
        Timeout = "timeout",
        Network = "network",
        StreamError = "stream_error",
        Unknown = "unknown",
    }
    /// Whose calls count together: those of one key, or of all keys of one quota group.
    Sharing = domain::quota::Sharing {
        Key = "key",
        Group = "group",
    }
    /// How long the window of a limit of keys is.
    Window = domain::quota::Window {
        Minute = "minute",
        Day = "day",
    }
    /// What happens to a call whose script fails: it is refused, or goes out without what the
    /// script would have set.
    ScriptError = domain::policy::ScriptError {
        Refuse = "refuse",
        Skip = "skip",
    }
    /// How a call ended.
    Outcome = domain::log::Outcome {
        Completed = "completed",
        Refused = "refused",
        Failed = "failed",
        UpstreamBroke = "upstream_broke",
        ClientGone = "client_gone",
        TimedOut = "timed_out",
        Revoked = "revoked",
        Interrupted = "interrupted",
    }
    /// What a call asks for, as far as that decides how it is billed.
    Work = domain::Work {
        Free = "free",
        Text = "text",
        Embedding = "embedding",
        Speech = "speech",
        Transcription = "transcription",
        Image = "image",
        Video = "video",
        Other = "other",
    }
    /// Why a service key is not accepted: nobody has such a key, it or its owner is disabled, it has
    /// expired.
    KeyFault = domain::KeyFault {
        Unknown = "unknown",
        Disabled = "disabled",
        Expired = "expired",
    }
    /// How it is known what a call used: the provider `reported` it, the gateway `counted` what
    /// passed, it is `estimated` from the request, or `unknown`. `none`: nothing was used.
    UsageSource = domain::log::UsageSource {
        Reported = "reported",
        Counted = "counted",
        Estimated = "estimated",
        Unknown = "unknown",
        Nothing = "none",
    }
    /// What a rule does.
    RuleAction = domain::rule::Action {
        DisableKey = "disable_key",
        BanKey = "ban_key",
        CoolKey = "cool_key",
        DisableUpstream = "disable_upstream",
        RetryNext = "retry_next",
        Alert = "alert",
        Log = "log",
        Tag = "tag",
    }
    /// What has become of an alert: nobody has looked at it, somebody has taken it on, it is over.
    AlertState = store::AlertState {
        Firing = "firing",
        Acknowledged = "acknowledged",
        Resolved = "resolved",
    }
    /// How much something matters: good to know, something does not work as it should, calls fail.
    Severity = domain::Severity {
        Info = "info",
        Warning = "warning",
        Critical = "critical",
    }
    /// What a role allows.
    Permission = auth::Permission {
        UserRead = "user.read",
        UserWrite = "user.write",
        RoleAssign = "role.assign",
        UpstreamRead = "upstream.read",
        UpstreamWrite = "upstream.write",
        ProviderKeyRead = "providerkey.read",
        ProviderKeyWrite = "providerkey.write",
        ProviderKeyReveal = "providerkey.reveal",
        ServiceKeyRead = "servicekey.read",
        ServiceKeyWrite = "servicekey.write",
        RuleWrite = "rule.write",
        LogRead = "log.read",
        LogBody = "log.body",
        StatsRead = "stats.read",
        ConfigWrite = "config.write",
        CertWrite = "cert.write",
        AuditRead = "audit.read",
    }
    /// Whose resources the permissions of a role concern: those that its user owns, or those of
    /// everybody.
    DataScope = auth::DataScope {
        Own = "own",
        All = "all",
    }
    /// Whose calls count together towards the threshold of a rule.
    Per = domain::rule::Per {
        Key = "key",
        Upstream = "upstream",
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Display;

    use super::*;

    fn check<D: Copy + Display, W: From<D> + Serialize>(all: &[D]) {
        for value in all {
            let spelled = serde_json::to_value(W::from(*value)).unwrap();
            assert_eq!(spelled, value.to_string());
        }
    }

    #[test]
    fn the_api_spells_as_the_columns_do() {
        check::<_, Provider>(&domain::Provider::ALL);
        check::<_, Dialect>(&domain::Dialect::ALL);
        check::<_, Strategy>(&domain::Strategy::ALL);
        check::<_, HeaderPolicy>(&domain::HeaderPolicy::ALL);
        check::<_, PathStyle>(&domain::PathStyle::ALL);
        check::<_, Conversion>(&domain::Conversion::ALL);
        check::<_, KeyState>(&domain::KeyState::ALL);
        check::<_, Unit>(&domain::Unit::ALL);
        check::<_, Period>(&domain::Period::ALL);
        check::<_, ErrorClass>(&domain::ErrorClass::ALL);
        check::<_, KeyFault>(&domain::KeyFault::ALL);
        check::<_, Permission>(&auth::Permission::ALL);
        check::<_, DataScope>(&auth::DataScope::ALL);
        for action in domain::rule::Action::ALL {
            let spelled = serde_json::to_value(RuleAction::from(action)).unwrap();
            assert_eq!(spelled, action.as_str());
        }
        for state in store::AlertState::ALL {
            let spelled = serde_json::to_value(AlertState::from(state)).unwrap();
            assert_eq!(spelled, state.as_str());
        }
        for severity in domain::Severity::ALL {
            let spelled = serde_json::to_value(Severity::from(severity)).unwrap();
            assert_eq!(spelled, severity.as_str());
        }
        for source in domain::log::UsageSource::ALL {
            let spelled = serde_json::to_value(UsageSource::from(source)).unwrap();
            assert_eq!(spelled, source.as_str());
        }
        for outcome in domain::log::Outcome::ALL {
            let spelled = serde_json::to_value(Outcome::from(outcome)).unwrap();
            assert_eq!(spelled, outcome.as_str());
        }
    }
}
