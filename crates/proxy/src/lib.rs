//! The data plane, on Pingora.
//!
//! A connection comes in at [`server`](service), a call passes the steps of `pipeline`, and an
//! answer leaves by `relay`. Nothing here waits for a database: configuration comes as a
//! [`Snapshot`](domain::Snapshot), log entries leave by the [`journal`].

mod admission;
mod attempt;
mod client;
mod clock;
mod cors;
mod door;
mod events;
mod gateway;
mod headers;
mod http1;
pub mod journal;
mod limits;
mod live;
mod memory;
mod models;
mod pipeline;
mod pool;
mod refusal;
mod request;
mod response;
mod routing;
mod server;
mod settings;
mod usage;
mod websocket;

pub use clock::Clock;
pub use cors::CorsOrigins;
pub use events::recording::{Recorded, Sample};
pub use gateway::Gateway;
pub use gateway::script::{Scripts, check_script};
pub use server::front::{Front, service};
pub use settings::{Buffers, ClientIp, Limits, Settings};
