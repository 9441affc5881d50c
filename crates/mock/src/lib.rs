//! Scripted providers on loopback, for the demo, the tests and the bench.
//!
//! One port answers as OpenAI, Anthropic and Gemini do: chats with streams, tools, reasoning and
//! structured output, embeddings, images, audio, files and model lists. It speaks HTTP/1.1 by
//! hand, because its job is to misbehave on the wire.
//!
//! # Behaviours
//! A call behaves as its `x-mock` header says (names parted by commas), else as the [`Script`]
//! says for its key, else as the key's own text says: whatever stands in it between dots and is a
//! behaviour's name, as in `sk-anything.429=7.calls=3`. Several may be combined.
//!
//! | name | what happens |
//! |---|---|
//! | `400` … `599` | that status, with an error in the path's dialect |
//! | `429=S` | 429 with `Retry-After: S` (1 without a number) |
//! | `quota` | 429 for want of money |
//! | `html` | 502 with a page of HTML |
//! | `slow=MS` | the head of the answer comes after so many milliseconds (2000) |
//! | `hang` | the request is read and never answered |
//! | `drop` | the request is read and the connection closed |
//! | `pace=MS` | time between two events or pieces |
//! | `events=N` | the answer's text has so many pieces |
//! | `size=BYTES` | each piece of the text has so many bytes |
//! | `stall=N` | after N pieces (3) nothing more comes |
//! | `reset=N` | after N pieces (3) the connection is reset |
//! | `close=N` | after N pieces (3) the connection is closed in the middle of the body |
//! | `end=N` | after N pieces (3) the body ends in good order, but too early |
//! | `error-event=N` | after N events (0) comes an error event, with status 200 |
//! | `garbage` | 200 with something that is not JSON |
//! | `empty` | 200 with an empty body |
//! | `gzip` | the answer is compressed although nobody asked |
//! | `split=N` | the body comes in writes of N bytes (1), through the middle of UTF-8 |
//! | `crlf` | events end with CR LF |
//! | `comments` | comments stand between the events |
//! | `no-usage`, `no-done` | the stream does not tell usage, or has no end marker |
//! | `interim` | a 103 comes before the answer |
//! | `strict` | 400 to all that the vendor would refuse: unknown fields, wrong types, bad order |
//! | `sealed` | strict, and earlier thinking must come back with its own proof |
//! | `reasoning` | a chat tells its reasoning as `reasoning_content`, and wants it back |
//! | `calls=N` | only the first N calls with this key behave so; those after are well |
//!
//! # Orders
//! A user's text may order calls of tools (`call NAME {…} and NAME {…} then NAME {…}`, see
//! `orders.rs`), so that a test can script any client through its own prompt.
//!
//! # Other paths
//! `/echo/…` answers with what came (see `echo.rs`), `/bytes/N` with N bytes, and an upgrade to
//! WebSocket on any path echoes every frame.

mod ask;
mod behaviour;
mod delivery;
mod echo;
mod http;
mod orders;
mod provider;
mod received;
mod script;
mod server;
mod synth;
mod websocket;

pub use behaviour::Behaviour;
pub use received::{Ending, Received};
pub use script::Script;
pub use server::{Mock, serve};
