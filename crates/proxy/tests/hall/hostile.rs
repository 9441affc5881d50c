//! Whatever bytes come in, what goes out is an answer that refuses them, or the end.

use proptest::{prelude::*, test_runner::Config};

use crate::{
    harness::{PATIENCE, Setup},
    vendor::{Vendor, said},
};

/// Bytes that nearly are a request.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"POST /v1/chat/completions HTTP/1.1\r\n".to_vec()),
        Just(b"GET /proxy/up/x HTTP/1.1\r\n".to_vec()),
        Just(b"host: h\r\n".to_vec()),
        Just(b"content-length: 5\r\n".to_vec()),
        Just(b"transfer-encoding: chunked\r\n".to_vec()),
        Just(b"expect: 100-continue\r\n".to_vec()),
        Just(b"connection: upgrade\r\nupgrade: websocket\r\n".to_vec()),
        Just(b"authorization: Bearer tg-x\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        Just(b"5\r\nhello\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

#[test]
fn no_bytes_are_taken_for_a_call_of_somebody() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (hall, vendor) = runtime.block_on(async {
        let vendor = Vendor::saying(said("x")).await;
        (Setup::with(vendor.addr).start().await, vendor)
    });
    proptest!(Config { cases: 300, ..Config::default() }, |(bytes in nearly())| {
        let answer = runtime.block_on(async {
            let mut peer = hall.connect().await;
            peer.send(&bytes).await;
            tokio::io::AsyncWriteExt::shutdown(&mut peer.stream).await.ok();
            tokio::time::timeout(PATIENCE, async { while peer.fill().await {} }).await.unwrap();
            peer.buf
        });
        let text = String::from_utf8_lossy(&answer);
        for line in text.split("\r\n").filter(|line| line.starts_with("HTTP/1.1 ")) {
            prop_assert!(line[9..].starts_with('4'), "{line} to {:?}", String::from_utf8_lossy(&bytes));
        }
        prop_assert!(answer.is_empty() || text.starts_with("HTTP/1.1 4"));
    });
    assert!(vendor.seen().is_empty());
    assert_eq!(runtime.block_on(hall.entries()).len(), 0);
}
