//! The management plane, on Axum: sign-in, the administration of upstreams, keys and routes, the
//! request log and the dashboard, and the description of all that.
//!
//! What is not here: how things are stored (`store`), what they mean (`domain`), and the data
//! plane, of which only [`domain::live`] is visible.

mod api;
mod app;
mod cookies;
mod error;
mod etags;
mod feed;
mod first_start;
mod gate;
mod hashing;
mod input;
mod listing;
mod openapi;
mod peer;
mod permit;
mod refused;
mod render;
mod resource;
mod router;
mod serve;
mod settings;
mod throttle;
mod words;

pub use app::{Management, Parts, app};
pub use first_start::{FirstStart, FirstStartError, first_start};
pub use router::document;
pub use serve::serve;
pub use settings::Settings;
