//! The command line. The commands are in the files of their names.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Flags;

/// Self-hosted AI gateway: one address for every provider.
#[derive(Debug, Parser)]
#[command(name = "tollgate", disable_version_flag = true, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    /// Print the version
    #[arg(short = 'V', long)]
    pub(crate) version: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the planes (this is also what happens without a command)
    Serve(ServeArgs),
    /// Check the configuration and report every error; exits with 2 if there is one
    Check(CheckArgs),
    /// Run simulated providers on loopback
    Mock(MockArgs),
    /// Walk through the main job against simulated providers and show what happened
    Demo(DemoArgs),
    /// Create an administrator or reset a password; works while nothing else runs
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Check the audit trail
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Show or migrate the database
    #[command(subcommand)]
    Migrate(MigrateCommand),
    /// Ask the running gateway whether it is ready; exits with 0 or 1, for containers
    Healthcheck(HealthcheckArgs),
    /// Print the management API as OpenAPI
    Openapi,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Flags of every command that reads the configuration.
#[derive(Debug, Default, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file; `-` is the standard input [default: tollgate.yaml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory of the database, the journal and the master key
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The log level: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// The format of log lines
    #[arg(long)]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The address of the data plane
    #[arg(long, value_name = "ADDR")]
    proxy_addr: Option<String>,
    /// The address of the management plane
    #[arg(long, value_name = "ADDR")]
    management_addr: Option<String>,
    /// Run without the data plane
    #[arg(long)]
    no_proxy: bool,
    /// Run without the management plane
    #[arg(long)]
    no_management: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    /// Print the effective values and their sources
    #[arg(long)]
    pub(crate) print: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MockArgs {
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8099")]
    pub(crate) addr: std::net::SocketAddr,
    /// The pause between two events of a stream
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = humantime::parse_duration)]
    pub(crate) pace: std::time::Duration,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave the gateway and the simulated providers running
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Create an administrator; the password is read from standard input
    Create(AdminArgs),
    /// Set a new password for a user, read from standard input, and end the user's sessions
    ResetPassword(AdminArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    /// The user's name
    #[arg(default_value = "admin")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Follow the chain of the audit trail and print the first line that was changed or removed;
    /// exits with 1 if there is one
    Verify(ConfigArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum MigrateCommand {
    /// Migrate the database to this version
    Up(ConfigArgs),
    /// Show applied and pending migrations
    Status(ConfigArgs),
}

#[derive(Debug, Args)]
pub(crate) struct HealthcheckArgs {
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

impl From<ConfigArgs> for Flags {
    fn from(args: ConfigArgs) -> Self {
        let format = args.log_format.map(|format| match format {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        });
        let settings = [
            ("data_dir", "--data-dir", args.data_dir),
            ("log.level", "--log-level", args.log_level),
            ("log.format", "--log-format", format),
        ];
        let said = |(path, flag, value): (_, _, Option<String>)| Some((path, flag, value?));
        Flags { file: args.config, settings: settings.into_iter().filter_map(said).collect() }
    }
}

impl From<ServeArgs> for Flags {
    fn from(args: ServeArgs) -> Self {
        let mut flags = Flags::from(args.config);
        let off = |set: bool| set.then(|| "false".to_owned());
        let addresses = [
            // A whole address includes the port and overrides an earlier port.
            ("proxy_port", "--proxy-addr", args.proxy_addr.as_deref().and_then(port)),
            (
                "management_port",
                "--management-addr",
                args.management_addr.as_deref().and_then(port),
            ),
            ("proxy.addr", "--proxy-addr", args.proxy_addr.clone()),
            ("management.addr", "--management-addr", args.management_addr.clone()),
            ("enable_proxy", "--no-proxy", off(args.no_proxy)),
            ("enable_management", "--no-management", off(args.no_management)),
        ];
        let said = |(path, flag, value): (_, _, Option<String>)| Some((path, flag, value?));
        flags.settings.extend(addresses.into_iter().filter_map(said));
        flags
    }
}

fn port(addr: &str) -> Option<String> {
    addr.parse::<std::net::SocketAddr>().ok().map(|addr| addr.port().to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_what_happens_without_a_command() {
        let cli = Cli::parse_from(["tollgate", "--no-proxy", "--management-addr", "127.0.0.1:7"]);
        assert!(cli.command.is_none());
        let flags = Flags::from(cli.serve);
        assert!(flags.settings.contains(&("enable_proxy", "--no-proxy", "false".into())));
        assert!(flags.settings.contains(&("management_port", "--management-addr", "7".into())));
    }
}
