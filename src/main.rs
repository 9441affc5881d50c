//! The front door: reads the command line and the configuration, and hands over.
mod config;

fn main() {}
