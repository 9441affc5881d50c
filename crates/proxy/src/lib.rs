//! The data plane, on Pingora.
//!
//! A connection comes in at [`server`](service), a call walks the hall in `pipeline`, and an answer goes
//! out by `relay`. Nothing here waits for a database: configuration comes as a
//! [`Snapshot`](domain::Snapshot), log entries leave by the [`journal`].

mod address;
mod admission;
mod attempt;
mod balancer;
mod client;
mod clock;
mod connections;
mod conversion;
mod door;
mod failed;
mod gateway;
mod headers;
mod health;
mod http1;
mod inbound;
pub mod journal;
mod line;
mod local;
mod model_list;
mod models;
mod outbound;
mod pipeline;
mod profile;
mod recording;
mod refusal;
mod refused;
mod relay;
mod road;
mod routing;
mod server;
mod settings;
mod upload;
mod upstream;
mod usage;

pub use clock::Clock;
pub use gateway::Gateway;
pub use recording::{Recorded, Sample};
pub use server::{Front, service};
pub use settings::{Buffers, ClientIp, Limits, Settings};
