//! The hall as its neighbours see it: a real listener, scripted providers on raw sockets, and the
//! journal read back. Nothing in here knows the inside of the data plane.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod browsers;
mod budgets;
mod conversion;
mod converted_streams;
mod failover;
mod failures;
mod framing;
mod harness;
mod hostile;
mod journal;
mod keys;
mod leaving;
mod limits;
mod media;
mod memory;
mod metering;
mod model_routes;
mod models_asked;
mod pool_rules;
mod pools;
mod redirects;
mod relay;
mod responses_socket;
mod revocation;
mod routing;
mod rules;
mod uploads;
mod vendor;
mod websocket;
