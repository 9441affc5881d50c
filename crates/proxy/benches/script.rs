//! What a header script costs a call: `cargo bench -p tollgate-proxy --bench script`.

use divan::{Bencher, black_box};
use domain::{live::ScriptAsk, policy::HeaderScript};
use proxy::Scripts;

fn main() {
    divan::main();
}

fn ask() -> ScriptAsk {
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    ScriptAsk {
        method: "POST".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        headers: vec![
            field("accept", "*/*"),
            field("content-type", "application/json"),
            field("user-agent", "OpenAI/Python 1.99.0"),
        ],
        key_id: Some(1),
        key_name: Some("first".to_owned()),
        key_group: None,
        now_ms: 1_700_000_000_000,
    }
}

/// A trivial script, that sets one header.
#[divan::bench]
fn trivial(bencher: Bencher<'_, '_>) {
    let source = "function headers(request) { return {'x-key': request.key.name} }".to_owned();
    let (script, ask) = (HeaderScript { source, on_error: Default::default() }, ask());
    bencher.bench_local(|| Scripts.run(black_box(&script), black_box(&ask)));
}
