//! The nouns of the gateway and the rules they obey on their own.
//!
//! Values only: nothing here opens a socket, reads a clock or waits. What is stored is a
//! [`Catalog`]; what is served is the [`Snapshot`] compiled from it. How a noun is spelled in SQL,
//! in JSON or on a provider's wire is the business of `store`, `management` and `dialect`.

pub mod catalog;
pub mod fault;
pub mod ids;
pub mod live;
pub mod log;
pub mod model_profile;
pub mod outbound;
pub mod preset;
pub mod provider;
pub mod provider_key;
pub mod route;
pub mod service_key;
pub mod snapshot;
pub mod upstream;

pub use catalog::{Catalog, Owner, UpstreamEntry};
pub use fault::{Fault, Faults};
pub use ids::{ProviderKeyId, Revision, RouteId, ServiceKeyId, UpstreamId, UserId};
pub use model_profile::{MaxTokensField, ModelProfile, ProfileRule, SystemRole, ThinkingForm};
pub use outbound::{BaseUrl, Denied, OutboundPolicy};
pub use preset::Preset;
pub use provider::{Dialect, KeyPlacement, Provider};
pub use provider_key::{KeyState, ProviderKey};
pub use route::{Conversion, Route, Target};
pub use service_key::{Caller, ServiceKey};
pub use snapshot::Snapshot;
pub use upstream::{HeaderPolicy, HeaderRule, PathStyle, QueryField, Strategy, Timeouts, Upstream};
