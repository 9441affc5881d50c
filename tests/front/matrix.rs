//! Every client before every dialect: a gateway whose models live at pretended providers that are
//! as strict as the real ones. Which models there are says `tests/targets.json`; what the
//! clients try is theirs.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use mock::{Ending, Mock, Received, Script};
use serde_json::{Value, json};
use testkit::{Admin, Gateway, until};

use crate::{TOLLGATE, client};

const TARGETS: &str = include_str!("../targets.json");

/// A gateway with a route to each of the targets.
pub(crate) struct Matrix {
    pub(crate) gateway: Gateway,
    pub(crate) key: String,
}

impl Matrix {
    /// The providers are at `base_url`.
    pub(crate) async fn start(base_url: &str) -> Matrix {
        let mut gateway = Gateway::new(TOLLGATE);
        gateway.start().await;
        let admin = gateway.admin().await;
        let mut last = String::new();
        for (name, target) in targets() {
            route(&admin, base_url, &name, &target).await;
            last = name;
        }
        let (_, key) = admin.service_key("everybody").await;
        let url = format!("http://{}/v1/models/{last}", gateway.proxy());
        let model = client().get(url).bearer_auth(&key);
        until("all targets are served", || {
            let answer = model.try_clone().unwrap().send();
            async { answer.await.ok().filter(|answer| answer.status() == 200) }
        })
        .await;
        Matrix { gateway, key }
    }

    /// What a program of somebody else needs to know, and nothing of what is around it.
    pub(crate) fn tell(&self, program: &mut Command) {
        program
            .env("TOLLGATE_PROXY", format!("http://{}", self.gateway.proxy()))
            .env("TOLLGATE_KEY", &self.key)
            .env("NO_PROXY", "127.0.0.1");
    }

    /// Runs a program off the runtime, because a mock may live on it; it must end well.
    pub(crate) async fn run(&self, mut program: Command) -> Output {
        self.tell(&mut program);
        let done = tokio::task::spawn_blocking(move || program.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
        done
    }
}

/// All targets with their names: those that are well, those that want their seals back, those that
/// fail.
fn targets() -> Vec<(String, Value)> {
    let told: Value = serde_json::from_str(TARGETS).unwrap();
    let keyed = |name: &str, how: &str| {
        let mut target = told["targets"][name].clone();
        let own = target["key"].as_str().unwrap_or("well").to_owned();
        target["key"] = format!("{own}.{how}").into();
        target
    };
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let mut all = Vec::new();
    for name in told["targets"].as_object().unwrap().keys() {
        all.push((name.clone(), keyed(name, "strict")));
    }
    for name in texts(&told["sealed"]) {
        all.push((format!("{name}.sealed"), keyed(&name, "sealed")));
    }
    for name in texts(&told["failing"]) {
        for (fault, how) in told["faults"].as_object().unwrap() {
            all.push((format!("{name}.{fault}"), keyed(&name, how.as_str().unwrap())));
        }
    }
    all
}

async fn route(admin: &Admin, base_url: &str, name: &str, target: &Value) {
    let upstream = json!({
        "name": name.replace('.', "-"), "base_url": base_url, "provider": target["provider"],
        "dialects": [target["dialect"]], "retry_count": 0, "models": [target["model"]],
        // Some of these targets fail on purpose, and each client is to hear how.
        "policy": {"breaker": {"enabled": false}},
    });
    let upstream = admin.post("/api/admin/upstreams", upstream).await;
    let key = json!({"upstream_id": upstream["id"], "name": "Key", "key_value": target["key"]});
    admin.post("/api/admin/keys", key).await;
    let target = json!({
        "upstream_id": upstream["id"], "model": target["model"], "profile": target["profile"],
    });
    admin.post("/api/admin/routes", json!({"name": name, "targets": [target]})).await;
}

/// A program that `scripts/setup test` has installed.
pub(crate) fn installed(path: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(path.exists(), "{} is missing: run scripts/setup test", path.display());
    Command::new(path)
}

/// Every dialect was spoken, whole and streamed: what was tried did not all go one way.
fn all_were_asked(providers: &Mock) {
    let received = providers.received();
    for path in ["/v1/chat/completions", "/v1/responses", "/v1/messages", ":generateContent"] {
        let streams = |call: &&Received| call.json()["stream"] == true;
        let all: Vec<&Received> =
            received.iter().filter(|call| call.path().ends_with(path)).collect();
        let streamed = if path == ":generateContent" {
            received.iter().filter(|call| call.path().ends_with(":streamGenerateContent")).count()
        } else {
            all.iter().copied().filter(streams).count()
        };
        assert!(all.len() > 50 && streamed > 50, "{path}: {} and {streamed}", all.len());
    }
}

/// Who has left in the middle of an answer was told so to the provider as well.
async fn all_have_left(providers: &Mock, at_least: usize) {
    let slow = |call: &&Received| call.key.as_deref().is_some_and(|key| key.contains("events=500"));
    let gone = |all: &[Received]| {
        let mut ends = all.iter().filter(slow).map(|call| call.ending.map(|(ending, _)| ending));
        ends.all(|ending| ending == Some(Ending::ClientGone))
    };
    let all = tokio::time::timeout(testkit::PATIENCE, providers.wait_until(gone)).await;
    let left = all.expect("every provider is let go").iter().filter(slow).count();
    assert!(left >= at_least, "{left} have left instead of {at_least}");
}

#[tokio::test]
async fn python_clients_converse_with_every_dialect() {
    let providers = Mock::start(Script::default()).await.unwrap();
    let matrix = Matrix::start(&providers.base_url()).await;
    let mut pytest = installed(".venv/bin/python");
    pytest.args(["-B", "-m", "pytest", "-q", "tests/sdk/matrix"]);
    matrix.run(pytest).await;
    all_were_asked(&providers);
    all_have_left(&providers, 16).await;
}

#[tokio::test]
async fn node_clients_converse_with_every_dialect() {
    let providers = Mock::start(Script::default()).await.unwrap();
    let matrix = Matrix::start(&providers.base_url()).await;
    matrix.run(node("tests/sdk-node/matrix.test.mjs")).await;
    all_were_asked(&providers);
    all_have_left(&providers, 32).await;
}

#[tokio::test]
async fn all_clients_converse_with_a_mock_that_others_wrote() {
    let mut aimock = node("tests/sdk-node/aimock.mjs");
    let mut aimock = aimock.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(aimock.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let matrix = Matrix::start(address.trim()).await;
    let mut pytest = installed(".venv/bin/python");
    pytest.args(["-B", "-m", "pytest", "-q", "tests/sdk/matrix/test_matrix.py"]);
    let mut tests = node("tests/sdk-node/matrix.test.mjs");
    for program in [&mut pytest, &mut tests] {
        program.env("TOLLGATE_ONLY", "chat-compatible responses anthropic gemini");
    }
    matrix.run(pytest).await;
    matrix.run(tests).await;
    drop(aimock.stdin.take());
    assert!(aimock.wait().unwrap().success());
}

fn node(tests: &str) -> Command {
    installed("tests/sdk-node/node_modules");
    let mut node = Command::new("node");
    if tests.ends_with(".test.mjs") {
        node.arg("--test");
    }
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(tests));
    node
}
