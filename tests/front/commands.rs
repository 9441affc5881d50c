//! Each command does its one thing and says by its exit code how it went: 0, 1 failed, 2 unusable.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use testkit::Gateway;

use crate::TOLLGATE;

fn tollgate(dir: &Path, args: &[&str]) -> Output {
    run(dir, args, "")
}

fn run(dir: &Path, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(TOLLGATE);
    command.args(args).current_dir(dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

#[test]
fn check_tells_every_fault_and_exits_with_2() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tollgate.yaml"), "proxy:\n  adr: x\nlog: {level: loud}\n").unwrap();
    let checked = tollgate(dir.path(), &["check"]);
    assert_eq!(code(&checked), 2);
    let said = err(&checked);
    assert!(said.contains("tollgate.yaml:2:3: proxy.adr is not a setting; did you mean"), "{said}");
    assert!(said.contains("tollgate.yaml:3:14: log.level must be one of"), "{said}");

    let served = tollgate(dir.path(), &["serve"]);
    assert_eq!(code(&served), 2, "{}", err(&served));
}

#[test]
fn check_prints_the_values_in_force_and_who_said_them() {
    let dir = tempfile::tempdir().unwrap();
    let checked = tollgate(dir.path(), &["check", "--print", "--proxy-addr", "127.0.0.1:7"]);
    assert_eq!(code(&checked), 0);
    let line = out(&checked).lines().find(|l| l.starts_with("proxy.addr ")).unwrap().to_owned();
    assert!(line.contains("127.0.0.1:7") && line.ends_with("# --proxy-addr"), "{line}");
    assert_eq!(err(&tollgate(dir.path(), &["check"])).trim(), "the configuration is sound");
}

#[test]
fn a_configuration_may_come_from_the_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    let checked = run(dir.path(), &["check", "--print", "-c", "-"], "data_dir: elsewhere\n");
    assert!(out(&checked).contains("elsewhere"), "{}", err(&checked));
    assert!(out(&checked).contains("# stdin:1:11"), "{}", out(&checked));
}

#[test]
fn a_wrong_flag_is_a_fault_of_usage() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(code(&tollgate(dir.path(), &["serve", "--colour"])), 2);
    assert_eq!(code(&tollgate(dir.path(), &["--help"])), 0);
}

#[test]
fn the_version_is_for_people_and_for_machines() {
    let dir = tempfile::tempdir().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    for args in [&["--version"][..], &["version"]] {
        assert_eq!(out(&tollgate(dir.path(), args)).trim(), format!("tollgate {version}"));
    }
    let json = out(&tollgate(dir.path(), &["version", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["version"], version);
}

#[test]
fn the_api_and_completions_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let api = out(&tollgate(dir.path(), &["openapi"]));
    let api: serde_json::Value = serde_json::from_str(&api).unwrap();
    assert!(api["paths"]["/api/admin/upstreams"]["post"].is_object());
    assert!(out(&tollgate(dir.path(), &["completions", "bash"])).contains("complete"));
}

#[test]
fn a_taken_port_is_one_clear_line_and_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for flag in ["--proxy-addr", "--management-addr"] {
        let other = if flag == "--proxy-addr" { "--management-addr" } else { "--proxy-addr" };
        let served = tollgate(dir.path(), &["serve", flag, &addr, other, "127.0.0.1:0"]);
        assert_eq!(code(&served), 1);
        let said = err(&served);
        assert!(said.starts_with(&format!("tollgate: cannot listen on {addr} (")), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn another_master_key_than_the_databases_own_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(code(&tollgate(dir.path(), &["migrate", "up"])), 0);
    let key = dir.path().join("data/master.key");
    let text = fs::read_to_string(&key).unwrap();
    let other: String = text.chars().rev().collect();
    fs::write(&key, other).unwrap();
    let served = tollgate(dir.path(), &["migrate", "up"]);
    assert_eq!(code(&served), 1);
    assert!(err(&served).contains("master key"), "{}", err(&served));
}

#[test]
fn a_lost_master_key_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(code(&tollgate(dir.path(), &["migrate", "up"])), 0);
    let key = dir.path().join("data/master.key");
    let text = fs::read_to_string(&key).unwrap();
    fs::remove_file(&key).unwrap();
    for args in [&["migrate", "up"][..], &["serve"]] {
        let refused = tollgate(dir.path(), args);
        assert_eq!(code(&refused), 1);
        assert!(err(&refused).contains("Put that file back"), "{}", err(&refused));
        assert!(!key.exists(), "another key was made");
    }
    let checked = tollgate(dir.path(), &["check"]);
    assert_eq!(code(&checked), 2);
    assert!(err(&checked).contains("no master key in data/master.key"), "{}", err(&checked));
    fs::write(&key, "no key").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let checked = tollgate(dir.path(), &["check"]);
    assert_eq!(code(&checked), 2);
    assert!(err(&checked).contains("holds no master key"), "{}", err(&checked));
    fs::write(&key, text).unwrap();
    assert_eq!(code(&tollgate(dir.path(), &["check"])), 0);
    assert_eq!(code(&tollgate(dir.path(), &["migrate", "up"])), 0);
}

#[test]
fn whoever_stops_reading_ends_the_command_quietly() {
    let dir = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(TOLLGATE);
    command.args(["check", "--print"]).current_dir(dir.path()).stdout(writer);
    let ended = command.stderr(Stdio::piped()).output().unwrap();
    assert_eq!((code(&ended), err(&ended).as_str()), (0, ""));
}

#[test]
fn the_database_is_brought_forward_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let before = tollgate(dir.path(), &["migrate", "status"]);
    assert_eq!(code(&before), 1, "{}{}", out(&before), err(&before));
    let up = tollgate(dir.path(), &["migrate", "up"]);
    assert_eq!(code(&up), 0, "{}", err(&up));
    let after = tollgate(dir.path(), &["migrate", "status"]);
    assert_eq!(code(&after), 0, "{}{}", out(&after), err(&after));
}

#[tokio::test]
async fn an_administrator_who_is_locked_out_gets_a_new_password() {
    let mut gateway = Gateway::new(TOLLGATE);
    gateway.start().await;
    let data = gateway.data_dir();
    let data = data.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();

    let weak =
        run(dir.path(), &["admin", "reset-password", "admin", "--data-dir", data], "short\n");
    assert_eq!(code(&weak), 1);
    let nobody = ["admin", "reset-password", "nobody", "--data-dir", data];
    let nobody = run(dir.path(), &nobody, "a long enough phrase 77\n");
    assert!(err(&nobody).contains("there is no user `nobody`"), "{}", err(&nobody));

    assert!(gateway.can_sign_in().await);
    let reset = ["admin", "reset-password", "admin", "--data-dir", data];
    let reset = run(dir.path(), &reset, "a long enough phrase 77\n");
    assert_eq!(code(&reset), 0, "{}", err(&reset));
    assert!(!gateway.can_sign_in().await, "the old password still opens");

    let create = ["admin", "create", "second", "--data-dir", data];
    let create = run(dir.path(), &create, "another long phrase 78\n");
    assert_eq!(code(&create), 0, "{}", err(&create));
}

#[tokio::test]
async fn the_health_check_asks_the_running_gateway() {
    let mut gateway = Gateway::new(TOLLGATE);
    gateway.start().await;
    let (proxy, management) = (gateway.proxy().to_string(), gateway.management().to_string());
    let dir = tempfile::tempdir().unwrap();
    let ask = ["healthcheck", "--proxy-addr", &proxy, "--management-addr", &management];
    let asked = tollgate(dir.path(), &ask);
    assert_eq!(code(&asked), 0, "{}", err(&asked));
    gateway.stop().await;
    assert_eq!(code(&tollgate(dir.path(), &ask)), 1);
}

#[tokio::test]
async fn a_second_data_plane_on_one_database_is_refused() {
    let mut gateway = Gateway::new(TOLLGATE);
    gateway.start().await;
    let data = gateway.data_dir();
    let dir = tempfile::tempdir().unwrap();
    let second = ["serve", "--no-management", "--proxy-addr", "127.0.0.1:0", "--data-dir"];
    let second = tollgate(dir.path(), &[&second[..], &[data.to_str().unwrap()]].concat());
    assert_eq!(code(&second), 1);
    assert!(err(&second).contains("another data plane runs on"), "{}", err(&second));
}

#[tokio::test]
async fn the_audit_trail_is_verified_beside_the_running_gateway() {
    let mut gateway = Gateway::new(TOLLGATE);
    gateway.start().await;
    let data = gateway.data_dir();
    let dir = tempfile::tempdir().unwrap();
    let verify = ["audit", "verify", "--data-dir", data.to_str().unwrap()];
    let verified = tollgate(dir.path(), &verify);
    assert_eq!(code(&verified), 0, "{}", err(&verified));
    assert!(out(&verified).contains("lines are whole"), "{}", out(&verified));
    gateway.stop().await;
}
