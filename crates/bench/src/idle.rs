//! Many idle connections: opens them, lets each ask one chat if wished, says `ready`, and keeps them
//! until standard input ends.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, stdin},
    net::TcpStream,
};

/// Which connections to open.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    to: SocketAddr,
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Ask one chat on each before it idles.
    #[arg(long)]
    ask: bool,
    #[arg(long, default_value = "bench/gpt-bench")]
    model: String,
    #[arg(long, default_value = "none")]
    key: String,
}

/// Opens them all and holds them.
#[expect(clippy::print_stdout, reason = "`ready` is what the script waits for")]
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let body = format!(
        r#"{{"model":"{}","messages":[{{"role":"user","content":"Hello."}}]}}"#,
        arguments.model
    );
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        arguments.key,
        body.len()
    );
    let mut held = Vec::with_capacity(arguments.connections);
    let mut buffer = vec![0; 8192];
    for number in 0..arguments.connections {
        let mut stream = TcpStream::connect(arguments.to).await?;
        if arguments.ask {
            stream.write_all(request.as_bytes()).await?;
            let mut read = 0;
            // The origin's chat is a little over 1 KiB with its head and arrives whole or in two.
            while read == 0 || !buffer[..read].ends_with(b"}") {
                let n = stream.read(&mut buffer[read..]).await?;
                anyhow::ensure!(n > 0, "closed before the answer");
                read += n;
            }
            anyhow::ensure!(
                buffer.starts_with(b"HTTP/1.1 200"),
                "refused: {}",
                String::from_utf8_lossy(&buffer[..read])
            );
        }
        held.push(stream);
        if number % 100 == 99 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    println!("ready {}", held.len());
    // What comes is of no interest, only that it ends.
    while stdin().read(&mut buffer).await? > 0 {}
    Ok(())
}
