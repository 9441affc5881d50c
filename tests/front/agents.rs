//! Command-line agents that people run, before models of other vendors than they were made for: each
//! writes a file with its own tool, reads it and tells what was in it. Which tools an agent has is
//! its own business: the prompt orders the mock to call them by name.
//!
//! Whatever an agent wants from the world outside goes to a proxy that answers nobody and counts.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use mock::{Mock, Script};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::matrix::{Matrix, installed};

const SAID: &str = "hello from 東京";
const CLAUDE_CODE: &str = "@anthropic-ai/claude-code/cli-wrapper.cjs";
const CODEX: &str = "@openai/codex/bin/codex.js";
const GEMINI_CLI: &str = "@google/gemini-cli/bundle/gemini.js";

/// Where an agent lives and works, and who asked for the world outside.
struct Desk {
    home: TempDir,
    work: TempDir,
    outside: String,
    asked_outside: Arc<AtomicUsize>,
}

impl Desk {
    fn new() -> Desk {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let outside = format!("http://{}", listener.local_addr().unwrap());
        let asked_outside = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked_outside);
        thread::spawn(move || {
            for connection in listener.incoming() {
                drop(connection);
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        let (home, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Desk { home, work, outside, asked_outside }
    }

    /// Runs an agent that knows nothing of who started it but where programs are, and gives what it
    /// said last.
    async fn run(&self, agent: &str, variables: &[(&str, &str)], args: &[&str]) -> String {
        let script = installed(&format!("tests/agents/node_modules/{agent}"));
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec env -i "PATH=$PATH" "$@""#, "sh"]);
        command.arg(format!("HOME={}", self.home.path().display()));
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            command.arg(format!("{name}={}", self.outside));
        }
        command.args(["NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1"]);
        command.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
        command.arg("node").arg(script.get_program()).args(args);
        command.current_dir(&self.work).stdin(Stdio::null());
        let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(self.asked_outside.load(Ordering::Relaxed), 0, "it phones home");
        said
    }

    fn file(&self) -> PathBuf {
        self.work.path().join("hello.txt")
    }
}

async fn claude_code(matrix: &Matrix, model: &str) {
    let desk = Desk::new();
    let file = desk.file().display().to_string();
    let prompt = format!(
        r#"call Write {{"file_path": "{file}", "content": "{SAID}"}} then Read {{"file_path": "{file}"}}"#
    );
    let proxy = format!("http://{}", matrix.gateway.proxy());
    let variables = [
        ("ANTHROPIC_BASE_URL", proxy.as_str()),
        ("ANTHROPIC_API_KEY", &matrix.key),
        // What it asks beside its main work goes to the same model.
        ("ANTHROPIC_DEFAULT_HAIKU_MODEL", model),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
        ("DISABLE_ERROR_REPORTING", "1"),
        ("DISABLE_TELEMETRY", "1"),
    ];
    let args = [
        "-p",
        &prompt,
        "--model",
        model,
        "--allowedTools",
        "Write,Read",
        "--output-format",
        "json",
    ];
    let said = desk.run(CLAUDE_CODE, &variables, &args).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    let result = said["result"].as_str().unwrap_or_default();
    assert!(result.starts_with("The tool says: ") && result.contains(SAID), "{model}: {said}");
    assert_eq!((&said["is_error"], &said["num_turns"]), (&false.into(), &3.into()), "{said}");
    assert_eq!(fs::read_to_string(desk.file()).unwrap(), SAID);
}

/// Passes connections on to `to`, and keeps the first line of each.
fn listening_in(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, lines) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let kept = Arc::clone(&lines);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            thread::spawn(move || {
                let gateway = TcpStream::connect(to).unwrap();
                let mut up = BufReader::new(client.try_clone().unwrap());
                let mut line = String::new();
                up.read_line(&mut line).unwrap();
                kept.lock().unwrap().push(line.trim_end().to_owned());
                let (mut to_gateway, mut down) = (gateway.try_clone().unwrap(), client);
                let upwards = thread::spawn(move || {
                    let sent = to_gateway.write_all(line.as_bytes());
                    let _ = sent.and_then(|()| io::copy(&mut up, &mut to_gateway));
                    let _ = to_gateway.shutdown(Shutdown::Write);
                });
                let _ = io::copy(&mut &gateway, &mut down);
                let _ = down.shutdown(Shutdown::Both);
                let _ = upwards.join();
            });
        }
    });
    (addr, lines)
}

async fn codex(matrix: &Matrix, model: &str, sockets: bool) {
    let (gateway, lines) = listening_in(matrix.gateway.proxy());
    let desk = Desk::new();
    let home = desk.home.path().join("codex");
    fs::create_dir(&home).unwrap();
    let config = format!(
        r#"
model = "{model}"
model_provider = "tollgate"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false
[analytics]
enabled = false
[feedback]
enabled = false
[features]
apps = false
plugins = false
remote_plugin = false
[model_providers.tollgate]
name = "Tollgate"
base_url = "http://{gateway}/v1"
env_key = "TOLLGATE_KEY"
wire_api = "responses"
supports_websockets = {sockets}
request_max_retries = 0
stream_max_retries = 0
"#
    );
    fs::write(home.join("config.toml"), config).unwrap();
    let prompt = format!(
        r#"call exec_command {{"cmd": "printf '{SAID}' > hello.txt"}} then exec_command {{"cmd": "cat hello.txt"}}"#
    );
    let home = home.display().to_string();
    let variables = [("CODEX_HOME", home.as_str()), ("TOLLGATE_KEY", &matrix.key)];
    let args = ["exec", "--skip-git-repo-check", "--json", &prompt];
    let said = desk.run(CODEX, &variables, &args).await;
    let events = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let items: Vec<Value> = events.map(|event| event["item"].clone()).collect();
    let last = items.iter().rfind(|item| item["type"] == "agent_message");
    let last = last.and_then(|item| item["text"].as_str()).unwrap_or_default();
    assert!(last.starts_with("The tool says: ") && last.contains(SAID), "{model}: {said}");
    assert_eq!(fs::read_to_string(desk.file()).unwrap(), SAID);
    let lines = lines.lock().unwrap();
    let method = if sockets { "GET" } else { "POST" };
    let wanted = format!("{method} /v1/responses HTTP/1.1");
    assert!(!lines.is_empty() && lines.iter().all(|line| *line == wanted), "{lines:?}");
}

async fn gemini_cli(matrix: &Matrix, model: &str) {
    let desk = Desk::new();
    let home = desk.home.path().join(".gemini");
    fs::create_dir(&home).unwrap();
    let settings = json!({
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": false}},
        "privacy": {"usageStatisticsEnabled": false},
        "telemetry": {"enabled": false},
        "general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false},
    });
    fs::write(home.join("settings.json"), settings.to_string()).unwrap();
    let file = desk.file().display().to_string();
    let prompt = format!(
        r#"call write_file {{"file_path": "{file}", "content": "{SAID}"}} then read_file {{"file_path": "{file}"}}"#
    );
    let proxy = format!("http://{}", matrix.gateway.proxy());
    let variables = [("GOOGLE_GEMINI_BASE_URL", proxy.as_str()), ("GEMINI_API_KEY", &matrix.key)];
    let args = ["-m", model, "--yolo", "-o", "json", "-p", &prompt];
    let said = desk.run(GEMINI_CLI, &variables, &args).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    let result = said["response"].as_str().unwrap_or_default();
    assert!(result.starts_with("The tool says: ") && result.contains(SAID), "{model}: {said}");
    assert_eq!(said["stats"]["tools"]["totalSuccess"], 2, "{said}");
    assert_eq!(fs::read_to_string(desk.file()).unwrap(), SAID);
}

#[tokio::test]
async fn claude_code_works_with_the_models_of_every_vendor() {
    let providers = Mock::start(Script::default()).await.unwrap();
    let matrix = Matrix::start(&providers.base_url()).await;
    tokio::join!(
        claude_code(&matrix, "anthropic"),
        claude_code(&matrix, "chat"),
        claude_code(&matrix, "responses"),
        claude_code(&matrix, "gemini"),
    );
}

#[tokio::test]
async fn codex_works_with_the_models_of_every_vendor() {
    let providers = Mock::start(Script::default()).await.unwrap();
    let matrix = Matrix::start(&providers.base_url()).await;
    tokio::join!(
        codex(&matrix, "responses", false),
        codex(&matrix, "chat", false),
        codex(&matrix, "anthropic", false),
        codex(&matrix, "gemini", false),
    );
}

#[tokio::test]
async fn codex_works_over_a_socket_with_the_models_of_every_vendor() {
    let providers = Mock::start(Script::default()).await.unwrap();
    let matrix = Matrix::start(&providers.base_url()).await;
    tokio::join!(
        codex(&matrix, "responses", true),
        codex(&matrix, "chat", true),
        codex(&matrix, "anthropic", true),
        codex(&matrix, "gemini", true),
    );
}

#[tokio::test]
async fn gemini_cli_works_with_the_models_of_every_vendor() {
    let providers = Mock::start(Script::default()).await.unwrap();
    let matrix = Matrix::start(&providers.base_url()).await;
    tokio::join!(
        gemini_cli(&matrix, "gemini"),
        gemini_cli(&matrix, "chat"),
        gemini_cli(&matrix, "responses"),
        gemini_cli(&matrix, "anthropic"),
    );
}
