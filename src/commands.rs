//! The commands. Longer ones have a file of their own.

mod admin;
mod audit;
mod demo;
mod healthcheck;

use std::{net::SocketAddr, time::Duration};

use clap::CommandFactory;

use crate::{
    cli::{CheckArgs, Cli, Command, MigrateCommand},
    config::{Config, Fault, Faults, Flags, Origin},
    master_key, serve,
    words::{remark, tell},
};

/// Runs the command.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    if cli.version {
        tell(&format!("tollgate {}", env!("CARGO_PKG_VERSION")));
        return Ok(());
    }
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::serve(Flags::from(args)),
        Command::Check(args) => check(args),
        Command::Mock(args) => mock_providers(args.addr, args.pace),
        Command::Demo(args) => demo::run(args.keep),
        Command::Admin(command) => admin::run(command),
        Command::Audit(command) => audit::run(command),
        Command::Migrate(command) => migrate(command),
        Command::Healthcheck(args) => healthcheck::run(&Config::load(Flags::from(args.serve))?),
        Command::Openapi => {
            tell(&openapi()?);
            Ok(())
        }
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tollgate", &mut out);
            tell(&String::from_utf8(out)?);
            Ok(())
        }
        Command::Version { json } => {
            let version = env!("CARGO_PKG_VERSION");
            let words = if json {
                serde_json::json!({"name": "tollgate", "version": version}).to_string()
            } else {
                format!("tollgate {version}")
            };
            tell(&words);
            Ok(())
        }
    }
}

fn check(args: CheckArgs) -> anyhow::Result<()> {
    let config = Config::load(Flags::from(args.serve))?;
    if let Err(error) = master_key::look(&config) {
        let message = format!("the master key cannot be used: {error:#}");
        let origin = Origin::Default;
        return Err(Faults(vec![Fault { origin, path: String::new(), message }]).into());
    }
    config.notes.iter().for_each(|note| remark(note));
    if args.print {
        tell(config.effective());
    } else {
        remark("the configuration is sound");
    }
    Ok(())
}

fn mock_providers(addr: SocketAddr, pace: Duration) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(addr).await?;
        tell(&format!("http://{}", listener.local_addr()?));
        tokio::select! {
            () = mock::serve(listener, mock::Script::default().pace(pace)) => {}
            stopped = tokio::signal::ctrl_c() => stopped?,
        }
        Ok(())
    })
}

fn migrate(command: MigrateCommand) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    match command {
        MigrateCommand::Up(args) => runtime.block_on(async {
            let config = Config::load(Flags::from(args))?;
            serve::opened(&config).await?.0.close().await;
            remark("the database is up to date");
            Ok(())
        }),
        MigrateCommand::Status(args) => runtime.block_on(async {
            let config = Config::load(Flags::from(args))?;
            let known = store::migrations(&serve::store_settings(&config)).await?;
            for step in &known {
                let word = match (step.known, step.applied) {
                    (true, true) => "applied",
                    (true, false) => "waiting",
                    (false, _) => "newer  ",
                };
                tell(&format!("{word}  {}", step.name));
            }
            let newer = known.iter().filter(|step| !step.known).count();
            anyhow::ensure!(
                newer == 0,
                "a newer version of this program has changed the database: {newer} steps are not known here"
            );
            let waiting = known.iter().filter(|step| !step.applied).count();
            anyhow::ensure!(waiting == 0, "{waiting} migrations wait: tollgate migrate up");
            Ok(())
        }),
    }
}

fn openapi() -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&management::document())?)
}
