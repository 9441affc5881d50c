//! SIGHUP: the configuration is read again. How much is logged is taken over at once; of the rest
//! it is told what waits for a restart.

use std::path::Path;

use super::{Config, Flags};
use crate::telemetry::Logs;

/// What can be taken over without a restart.
const TAKEN: [&str; 3] = ["log.level", "proxy.log_level", "management.log_level"];

/// The configuration that is in force, and how to read it again.
#[derive(Debug)]
pub(crate) struct Reload {
    flags: Flags,
    in_force: String,
}

impl Reload {
    /// For a process that was started with these flags and came to this configuration.
    pub(crate) fn of(config: &Config, flags: Flags) -> Self {
        Self { flags, in_force: config.effective().to_owned() }
    }

    /// Reads the configuration again and takes over what can be.
    pub(crate) fn run(&self, logs: &Logs) {
        if self.flags.file.as_deref() == Some(Path::new("-")) {
            tracing::warn!("SIGHUP: the configuration came from the standard input; it stays");
            return;
        }
        match Config::load(self.flags.clone()) {
            Ok(config) => {
                logs.set_levels(&config.log);
                let waiting = self.differs(config.effective());
                if waiting.is_empty() {
                    tracing::info!("SIGHUP: took over how much is logged");
                } else {
                    let settings = waiting.join(", ");
                    tracing::warn!(
                        "SIGHUP: took over how much is logged; a restart takes over {settings}"
                    );
                }
            }
            Err(faults) => tracing::error!("SIGHUP: everything stays as it is: {faults}"),
        }
    }

    /// The settings that have another value now and need a restart. Secrets are not compared.
    fn differs<'a>(&self, now: &'a str) -> Vec<&'a str> {
        let value = |line: &str| line.rsplit_once(" # ").map(|(value, _)| value.trim().to_owned());
        let name = |line: &'a str| line.split_whitespace().next().unwrap_or_default();
        let lines = now.lines().zip(self.in_force.lines());
        let changed = lines.filter(|(new, old)| value(new) != value(old));
        changed.map(|(new, _)| name(new)).filter(|name| !TAKEN.contains(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_restart_would_change_is_told_and_who_said_it_does_not_matter() {
        let before =
            "log.level  info  # default\nproxy.addr  1.2.3.4:1  # default\ndata_dir  a  # x:1:1\n";
        let now =
            "log.level  debug  # default\nproxy.addr  1.2.3.4:2  # file\ndata_dir  a  # y:2:2\n";
        let reload = Reload { flags: Flags::default(), in_force: before.to_owned() };
        assert_eq!(reload.differs(now), ["proxy.addr"]);
    }
}
