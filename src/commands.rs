//! What each command does. Those that need more than a screen have a file of their own.

mod admin;
mod demo;
mod healthcheck;

use std::{net::SocketAddr, time::Duration};

use clap::CommandFactory;

use crate::{
    cli::{Cli, Command, MigrateCommand},
    config::{Config, Flags},
    serve,
    words::{remark, tell},
};

/// Does what the command line asks.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    if cli.version {
        tell(&format!("tollgate {}", env!("CARGO_PKG_VERSION")));
        return Ok(());
    }
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::serve(Config::load(Flags::from(args))?),
        Command::Check(args) => {
            let config = Config::load(Flags::from(args.serve))?;
            if args.print {
                tell(config.effective());
            } else {
                remark("the configuration is sound");
            }
            Ok(())
        }
        Command::Mock(args) => mock_providers(args.addr, args.pace),
        Command::Demo(args) => demo::run(args.keep),
        Command::Admin(command) => admin::run(command),
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
                tell(&format!(
                    "{}  {}",
                    if step.applied { "applied" } else { "waiting" },
                    step.name
                ));
            }
            let waiting = known.iter().filter(|step| !step.applied).count();
            anyhow::ensure!(waiting == 0, "{waiting} migrations wait: tollgate migrate up");
            Ok(())
        }),
    }
}

fn openapi() -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&management::document())?)
}
