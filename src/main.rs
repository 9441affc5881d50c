//! The front door: reads the command line and the configuration, and hands over to the command.
//! It is the only crate that knows both planes, and it knows no business rule.

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

/// The command did what it should.
const DONE: u8 = 0;
/// It could not.
const FAILED: u8 = 1;
/// The command line or the configuration cannot be used.
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
