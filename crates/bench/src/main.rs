//! What `make bench` measures with: an upstream that is never the bottleneck, bare gateways to
//! compare with, and the clients that `wrk` cannot play. `scripts/bench` starts them and reads the
//! clocks; nothing of the product depends on this crate.

use std::net::SocketAddr;

use clap::{Parser, Subcommand};
use tokio::net::TcpListener;

mod bare_hyper;
mod bare_pingora;
mod idle;
mod origin;
mod streams;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(about = "The parts of `make bench`")]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

/// Which part this process plays.
#[derive(Subcommand)]
enum Role {
    /// Answer chats and streams, as an upstream that costs next to nothing.
    Origin {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// Forward everything with the smallest possible `ProxyHttp`.
    Pingora {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        upstream: SocketAddr,
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// Let idle threads take work from busy ones.
        #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
        work_stealing: bool,
    },
    /// Forward everything with hyper's server and hyper-util's pooled client.
    Hyper {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        upstream: SocketAddr,
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// Open many streams at once and read each to its end.
    Streams(streams::Arguments),
    /// Open many connections and leave them open until standard input ends.
    Idle(idle::Arguments),
}

fn main() -> anyhow::Result<()> {
    raise_open_files()?;
    match Arguments::parse().role {
        Role::Origin { listen, threads } => {
            on_threads(
                threads,
                async move { origin::serve(TcpListener::bind(listen).await?).await },
            )
        }
        Role::Pingora { listen, upstream, threads, work_stealing } => {
            bare_pingora::serve(listen, upstream, threads, work_stealing)
        }
        Role::Hyper { listen, upstream, threads } => on_threads(threads, async move {
            bare_hyper::serve(TcpListener::bind(listen).await?, upstream).await
        }),
        Role::Streams(arguments) => on_threads(1, streams::run(arguments)),
        Role::Idle(arguments) => on_threads(1, idle::run(arguments)),
    }
}

fn on_threads<F: Future<Output = anyhow::Result<()>>>(
    threads: usize,
    work: F,
) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?
        .block_on(work)
}

/// Ten thousand connections need as many open files.
fn raise_open_files() -> anyhow::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(())
}
