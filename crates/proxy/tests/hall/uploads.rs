//! Large bodies on their way up, and down again while they still go up.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    harness::{Setup, chunked, soon, until},
    vendor::{Vendor, answer, chunk, json},
};

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n % 253) as u8).collect()
}

#[tokio::test]
async fn twenty_mebibytes_go_up_as_they_come() {
    let vendor = Vendor::answering(|seen| {
        json(200, &format!("[{},{}]", seen.body.len(), seen.body == pattern(seen.body.len())))
    })
    .await;
    let mut setup = Setup::with(vendor.addr);
    setup.settings.buffers.total = 1 << 20;
    let hall = setup.start().await;
    let body = pattern(20 << 20);
    let reply = hall.ask(hall.request("POST", "/proxy/up/x", &[], &body)).await;
    assert_eq!(reply.text(), "[20971520,true]");
    let seen = vendor.seen().remove(0);
    assert_eq!(seen.header("content-length"), Some("20971520"));
    let mut bytes = hall.request("PUT", "/proxy/up/x", &["transfer-encoding: chunked"], "");
    bytes.extend(chunked(&body, 100_003));
    let reply = hall.ask(bytes).await;
    assert_eq!(reply.text(), "[20971520,true]");
    let seen = vendor.seen().remove(1);
    assert_eq!(
        (seen.header("transfer-encoding"), seen.header("content-length")),
        (Some("chunked"), None)
    );
    assert_eq!(vendor.connections(), 1, "a body sent whole leaves the connection");
    for entry in hall.entries().await {
        assert_eq!(entry.bytes_in, 20 << 20);
    }
}

#[tokio::test]
async fn an_echo_that_begins_before_the_upload_ends_does_not_lock_up() {
    let vendor = Vendor::talking(|mut talk| async move {
        while let Some(seen) = talk.head().await {
            talk.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            let mut left = seen.header("content-length").map_or(usize::MAX, |l| l.parse().unwrap());
            if left == usize::MAX {
                while let Some(Some(piece)) = talk.chunk().await {
                    talk.send(chunk(piece)).await;
                }
                left = 0;
            }
            while left > 0 {
                if talk.buf.is_empty() && talk.fill().await.is_none() {
                    return;
                }
                let piece: Vec<u8> = std::mem::take(&mut talk.buf);
                left -= piece.len();
                talk.send(chunk(piece)).await;
            }
            talk.send("0\r\n\r\n").await;
        }
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    // One that is held, one that is not, and one in chunks.
    for (size, in_chunks) in [(1 << 20, false), (20 << 20, false), (20 << 20, true)] {
        let body = pattern(size);
        let bytes = if in_chunks {
            let mut bytes =
                hall.request("POST", "/proxy/up/x", &["transfer-encoding: chunked"], "");
            bytes.extend(chunked(&body, 70_000));
            bytes
        } else {
            hall.request("POST", "/proxy/up/x", &[], &body)
        };
        let mut peer = hall.connect().await;
        let (mut read, mut write) = peer.stream.split();
        let sending = async { write.write_all(&bytes).await.unwrap() };
        let reading = async {
            let mut got = Vec::new();
            let mut scratch = vec![0; 1 << 16];
            while !got.ends_with(b"\r\n0\r\n\r\n") {
                let n = read.read(&mut scratch).await.unwrap();
                assert!(n > 0, "ended after {} bytes", got.len());
                got.extend_from_slice(&scratch[..n]);
            }
            got
        };
        let ((), got) = soon("an echo", async { tokio::join!(sending, reading) }).await;
        let mut peer = hall.connect().await;
        peer.buf = got;
        let reply = peer.reply().await;
        assert!(reply.body == body, "{size} in chunks: {in_chunks}, got {}", reply.body.len());
    }
    for entry in hall.entries().await {
        assert_eq!(entry.bytes_in, entry.bytes_out);
    }
}

#[tokio::test]
async fn a_provider_that_has_enough_is_heard() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.head().await;
        talk.send(answer(413, &["connection: close"], "\"enough\"")).await;
        talk.until_gone().await;
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    for size in [100_000, 4 << 20] {
        let mut peer = hall.connect().await;
        let bytes = hall.request("POST", "/proxy/up/x", &["connection: close"], pattern(size));
        let (mut read, mut write) = peer.stream.split();
        let sending = async { drop(write.write_all(&bytes).await) };
        let reading = async {
            let mut got = vec![0; 9];
            read.read_exact(&mut got).await.unwrap();
            let mut rest = Vec::new();
            drop(read.read_to_end(&mut rest).await);
            got.extend(rest);
            got
        };
        let ((), got) = soon("an early no", async { tokio::join!(sending, reading) }).await;
        let got = String::from_utf8(got).unwrap();
        assert!(got.starts_with("HTTP/1.1 413") && got.ends_with("\"enough\""), "{size}: {got}");
    }
    assert!(hall.entries().await.iter().all(|e| e.status == 413));
}

#[tokio::test]
async fn a_large_upload_gets_one_attempt() {
    let vendor = Vendor::saying(json(500, "\"no\"")).await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1", "sk-2"], |up| up.retry_count = 5);
    let hall = setup.start().await;
    let reply = hall.ask(hall.request("POST", "/proxy/up/x", &[], pattern(2 << 20))).await;
    assert_eq!((reply.status, reply.text()), (500, "\"no\""));
    assert_eq!(vendor.seen().len(), 1);
    let reply = hall.ask(hall.request("POST", "/proxy/up/x", &[], pattern(1000))).await;
    assert_eq!(reply.status, 500);
    assert_eq!(vendor.seen().len(), 1 + 6, "a small one is held and tried again");
}

#[tokio::test]
async fn an_upload_may_take_longer_than_the_first_byte() {
    let vendor = Vendor::answering(|seen| json(200, &seen.body.len().to_string())).await;
    let mut setup = Setup::new();
    setup.upstream("up", vendor.addr, &["sk-1"], |up| {
        up.timeouts.first_byte = Duration::from_secs(3);
    });
    let hall = setup.start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.request("POST", "/proxy/up/x", &["transfer-encoding: chunked"], "")).await;
    for _ in 0..7 {
        peer.send(chunk("0123456789")).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    peer.send("0\r\n\r\n").await;
    let reply = peer.reply().await;
    assert_eq!((reply.status, reply.text()), (200, "70"));
}

#[tokio::test]
async fn when_the_client_breaks_off_an_upload_so_do_we() {
    let vendor = Vendor::talking(|mut talk| async move {
        talk.head().await;
        talk.until_gone().await;
    })
    .await;
    let hall = Setup::with(vendor.addr).start().await;
    let mut peer = hall.connect().await;
    peer.send(hall.request("POST", "/proxy/up/x", &["content-length: 5000000"], "")).await;
    peer.send(pattern(100_000)).await;
    until("the provider hears of it", || vendor.connections() == 1).await;
    drop(peer);
    until("the provider is left", || vendor.gone() == 1).await;
    let entry = hall.entry().await;
    assert_eq!(entry.outcome.as_str(), "client_gone");
    assert!(entry.bytes_in <= 100_000);
}
