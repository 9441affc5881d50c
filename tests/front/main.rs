//! The binary as people meet it: its commands and exit codes, the walk-through of the manual, the
//! providers' own clients, the golden cases, the demo. What it keeps when things go wrong is in
//! `tests/whole`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer")]

mod agents;
mod commands;
mod demo;
mod matrix;
mod sdks;
mod walk;
mod wire;

/// The binary under test.
const TOLLGATE: &str = env!("CARGO_BIN_EXE_tollgate");

/// A client that speaks to loopback only.
fn client() -> reqwest::Client {
    // Whoever was first has installed the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}
