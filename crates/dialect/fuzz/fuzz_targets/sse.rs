//! Streams cut into events: whatever the pieces, the events are the same, and no byte is lost.
#![no_main]

use bytes::Bytes;
use dialect::{Block, Fields, Splitter};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&size, data)) = data.split_first() else { return };
    let whole = events(data, data.len().max(1));
    assert_eq!(whole, events(data, usize::from(size).max(1)), "the pieces made a difference");
    assert_eq!(whole.concat(), data, "bytes were lost");
    for event in &whole {
        let _ = Fields::read(event);
    }
});

fn events(data: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::new(1 << 20);
    let mut events = Vec::new();
    let mut take = |block| match block {
        Block::Event(bytes) | Block::Oversized(bytes) => events.push(bytes.to_vec()),
    };
    for piece in data.chunks(piece) {
        splitter.push(Bytes::copy_from_slice(piece), &mut take);
    }
    splitter.finish().into_iter().for_each(take);
    events
}
