//! The domain of the gateway: its resources and their own rules.
//!
//! The crate contains values only: it opens no socket, reads no clock and never waits. The stored
//! configuration is a [`Catalog`]; the served one is the [`Snapshot`] compiled from it. `store`,
//! `management` and `dialect` define how values are written in SQL, JSON and the formats of
//! providers.

pub mod access;
pub mod amount;
pub mod catalog;
pub mod client_program;
pub mod error_class;
pub mod event;
pub mod fault;
pub mod file_address;
pub mod ids;
pub mod key_status;
pub mod limit;
pub mod live;
pub mod log;
pub mod matching;
pub mod model_pattern;
pub mod model_profile;
pub mod outbound;
pub mod policy;
pub mod preset;
pub mod price;
pub mod provider;
pub mod provider_key;
pub mod quota;
pub mod refused_key;
pub mod route;
pub mod rule;
pub mod seed;
pub mod service_key;
pub mod snapshot;
pub mod tags;
pub mod upstream;
pub mod work;

pub use access::{Access, Hours};
pub use amount::{Period, Span, Unit};
pub use catalog::{Catalog, Owner, UpstreamEntry};
pub use client_program::ClientProgram;
pub use error_class::{ErrorClass, ErrorRule, Said, Verdict};
pub use event::{
    BreakerState, BreakerStep, Event, Guarded, KeptStanding, Raised, Severity, StoredObject,
    Trigger,
};
pub use fault::{Fault, Faults};
pub use file_address::FileAddress;
pub use ids::{
    AlertId, LimitId, ProviderKeyId, Revision, RoleId, RouteId, RuleId, ServiceKeyId, UpstreamId,
    UserId,
};
pub use key_status::{Evidence, KeyStatus, Standing, Transition};
pub use limit::{Algorithm, Limit, Scope};
pub use matching::{CompiledMatching, HeaderMatch, Matched, Matching};
pub use model_profile::{MaxTokensField, ModelProfile, ProfileRule, SystemRole, ThinkingForm};
pub use outbound::{BaseUrl, Denied, OutboundPolicy};
pub use policy::PoolPolicy;
pub use preset::Preset;
pub use price::Price;
pub use provider::{Dialect, KeyPlacement, Provider};
pub use provider_key::{KeyState, ProviderKey};
pub use quota::{KeyLimit, Quota, Sharing, Window};
pub use refused_key::{KeyFault, RefusedKey};
pub use route::{Conversion, Route, Target};
pub use rule::{CompiledRule, Condition, HeaderLines, Observation, Reading, Rule, Ruleset};
pub use seed::{Seed, SeedQuestion, Whose};
pub use service_key::{Caller, PreviousKey, ServiceKey};
pub use snapshot::Snapshot;
pub use upstream::{HeaderPolicy, HeaderRule, PathStyle, QueryField, Strategy, Timeouts, Upstream};
pub use work::{EndpointRule, Work};
