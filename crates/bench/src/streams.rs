//! Many streams at once: opens them all, reads each to its end, tells how long first and last byte took.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// Which streams to open.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    to: SocketAddr,
    /// How many at once.
    #[arg(long, default_value_t = 2000)]
    streams: usize,
    /// Events in each.
    #[arg(long, default_value_t = 40)]
    events: u64,
    /// Milliseconds between two events.
    #[arg(long, default_value_t = 250)]
    pace: u64,
    #[arg(long, default_value = "bench/gpt-bench")]
    model: String,
    #[arg(long, default_value = "none")]
    key: String,
}

struct Read {
    first: Duration,
    whole: Duration,
    bytes: usize,
    complete: bool,
}

/// Runs them all and prints one line of JSON.
#[expect(clippy::print_stdout, reason = "the line of JSON is what this process is for")]
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    println!("{}", measure(arguments).await?);
    Ok(())
}

async fn measure(arguments: Arguments) -> anyhow::Result<String> {
    let body = format!(
        r#"{{"model":"{}","user":"events={} pace={}","stream":true,"stream_options":{{"include_usage":true}},"messages":[{{"role":"user","content":"Tell me."}}]}}"#,
        arguments.model, arguments.events, arguments.pace
    );
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        arguments.key,
        body.len()
    );
    let mut set = JoinSet::new();
    for number in 0..arguments.streams {
        set.spawn(read_one(arguments.to, request.clone()));
        if number % 50 == 49 {
            // A listener's backlog is short; the streams shall overlap, not the handshakes.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let (mut done, mut failed) = (Vec::new(), 0);
    while let Some(one) = set.join_next().await {
        match one? {
            Ok(one) if one.complete => done.push(one),
            _ => failed += 1,
        }
    }
    let wholes = sorted(done.iter().map(|one| one.whole));
    let firsts = sorted(done.iter().map(|one| one.first));
    Ok(format!(
        r#"{{"complete":{},"failed":{failed},"bytes":{},"first_p50_ms":{:.2},"first_p99_ms":{:.2},"p50_ms":{:.2},"p99_ms":{:.2}}}"#,
        done.len(),
        done.iter().map(|one| one.bytes).sum::<usize>(),
        quantile(&firsts, 0.5),
        quantile(&firsts, 0.99),
        quantile(&wholes, 0.5),
        quantile(&wholes, 0.99),
    ))
}

async fn read_one(to: SocketAddr, request: String) -> anyhow::Result<Read> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let begin = Instant::now();
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = [0; 8192];
    let mut tail = Vec::new();
    let mut read = Read { first: Duration::ZERO, whole: Duration::ZERO, bytes: 0, complete: false };
    loop {
        let n = stream.read(&mut buffer).await?;
        if read.bytes == 0 {
            read.first = begin.elapsed();
            anyhow::ensure!(buffer[..n].starts_with(b"HTTP/1.1 200"), "refused");
        }
        read.bytes += n;
        tail.extend_from_slice(&buffer[..n]);
        read.complete = memmem::find(&tail, b"[DONE]").is_some();
        if n == 0 || tail.ends_with(b"0\r\n\r\n") {
            read.whole = begin.elapsed();
            return Ok(read);
        }
        let keep = tail.len().saturating_sub(64);
        tail.drain(..keep);
    }
}

fn sorted(times: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times
}

fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::{bare_hyper, origin};

    #[tokio::test]
    async fn every_stream_is_read_to_its_end_through_a_gateway() {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (behind, to) = (upstream.local_addr().unwrap(), gateway.local_addr().unwrap());
        tokio::spawn(origin::serve(upstream));
        tokio::spawn(bare_hyper::serve(gateway, behind));
        let (model, key) = (String::from("bench/gpt-bench"), String::from("none"));
        let arguments = Arguments { to, streams: 5, events: 4, pace: 1, model, key };

        let told = measure(arguments).await.unwrap();

        assert!(told.starts_with(r#"{"complete":5,"failed":0,"#), "{told}");
    }
}
