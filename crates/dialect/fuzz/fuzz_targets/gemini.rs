//! Everything that comes in this dialect.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::decode(dialect::codec::GEMINI, data));
