//! The data plane, on Pingora.
//!
//! A connection comes in at [`server`](service), a call walks the hall in `pipeline`, and an answer goes
//! out by `relay`. Nothing here waits for a database: configuration comes as a
//! [`Snapshot`](domain::Snapshot), log entries leave by the [`journal`].

mod address;
mod admission;
mod attempt;
mod balancer;
mod belongs;
mod breaker;
mod choice;
mod classify;
mod client;
mod clock;
mod connections;
mod conversion;
mod cors;
mod demand;
mod door;
mod drain;
mod failed;
mod gateway;
mod headers;
mod health;
mod http1;
mod inbound;
pub mod journal;
mod judge;
mod lease;
mod limits;
mod line;
mod live;
mod local;
mod memory;
mod model_list;
mod models;
mod origins;
mod outbound;
mod pace;
mod pipeline;
mod probe;
mod profile;
mod provider_models;
mod race;
mod recording;
mod refusal;
mod refused;
mod refused_keys;
mod relay;
mod resolver;
mod retry;
mod road;
mod routing;
mod rules;
mod script;
mod scripting;
mod server;
mod settings;
mod socket;
mod stake;
mod telling;
mod tunnel;
mod upload;
mod upstream;
mod usage;
mod waiting;
mod websocket;

pub use clock::Clock;
pub use cors::CorsOrigins;
pub use gateway::Gateway;
pub use recording::{Recorded, Sample};
pub use script::{Scripts, check_script};
pub use server::{Front, service};
pub use settings::{Buffers, ClientIp, Limits, Settings};
