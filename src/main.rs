//! The binary: reads the command line and the configuration and runs the command. It is the only
//! crate that knows both planes, and it contains no business rule.

mod cli;
mod commands;
mod config;
mod master_key;
mod process;
mod serve;
mod tasks;
mod telemetry;
mod words;

use std::process::ExitCode;

use clap::Parser;

use crate::{cli::Cli, config::Faults};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit code: success.
const DONE: u8 = 0;
/// Exit code: failure.
const FAILED: u8 = 1;
/// Exit code: the command line or the configuration is invalid.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nobody installed another provider before the first line");
    let code = match commands::run(Cli::parse()) {
        Ok(()) => DONE,
        Err(error) => {
            words::remark(&format!("tollgate: {error:#}"));
            if error.is::<Faults>() { UNUSABLE } else { FAILED }
        }
    };
    ExitCode::from(code)
}
