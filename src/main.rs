//! The front door: reads the command line and the configuration, and hands over.
mod cli;
mod config;
mod telemetry;

fn main() {}
