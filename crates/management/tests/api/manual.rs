//! What the owner's manual tells people to send is taken as it stands there.

use axum::http::Method;
use serde_json::{Value, json};

use crate::app::App;

const KEYS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/KEYS.md"));
const ACCOUNTING: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ACCOUNTING.md"));
const RULES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/RULES.md"));

/// A request of a page: the method, the path, and the body where there is one.
type Example = (Method, String, Option<String>);

/// The requests in the code of a page, in blocks and within lines.
fn examples(page: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    for (i, block) in page.split("\n```").enumerate() {
        let codes: Vec<&str> = match i % 2 {
            1 => vec![block],
            _ => block.split('`').skip(1).step_by(2).collect(),
        };
        for code in codes {
            let mut open = None::<Example>;
            for line in code.lines() {
                match request(line.trim()) {
                    Some(next) => examples.extend(open.replace(next)),
                    None => {
                        if let Some((.., body)) = &mut open {
                            *body.get_or_insert_default() += line;
                        }
                    }
                }
            }
            examples.extend(open);
        }
    }
    examples
}

/// The first line of a request.
fn request(line: &str) -> Option<Example> {
    let (method, rest) = line.split_once(' ')?;
    let method = ["GET", "POST", "PATCH", "DELETE"].contains(&method).then_some(method)?;
    let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
    let body = (!body.is_empty()).then(|| body.to_owned());
    Some((method.parse().ok()?, path.replace("{id}", "1"), body))
}

async fn check(page: &str, expected: usize) {
    let app = App::start().await;
    let admin = app.admin().await;
    let id = app.upstream(&admin, "openai").await;
    let key = json!({"upstream_id": id, "name": "first", "key_value": "sk-first"});
    admin.post("/api/admin/keys", key).await.expect(201);
    admin.post("/api/admin/service-keys", json!({"name": "my app"})).await.expect(201);
    let mut sent = 0;
    for (method, path, body) in examples(page) {
        // Without a body or a query it says where something is, and not how it is asked for.
        if body.is_none() && (method != Method::GET || !path.contains('?')) {
            continue;
        }
        if let Some(body) = &body {
            let read = serde_json::from_str::<Value>(body);
            assert!(read.is_ok_and(|body| body.is_object()), "{method} {path}: {body}");
        }
        let answer = admin.send(method.clone(), &path, body.clone()).await;
        assert!(answer.status.is_success(), "{method} {path} {body:?}: {}", answer.text);
        sent += 1;
    }
    assert_eq!(sent, expected, "examples that were found");
}

#[tokio::test]
async fn what_the_page_of_keys_tells_to_send_is_taken() {
    check(KEYS, 15).await;
}

#[tokio::test]
async fn what_the_page_of_rules_tells_to_send_is_taken() {
    check(RULES, 3).await;
}

#[tokio::test]
async fn what_the_page_of_accounting_tells_to_send_is_taken() {
    check(ACCOUNTING, 1).await;
}
