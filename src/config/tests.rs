//! The layers, their order, and what is refused.

use secrecy::ExposeSecret;

use super::*;

fn load(yaml: &str, vars: &[(&str, &str)], flags: Flags) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    if !yaml.is_empty() {
        fs::write(dir.path().join("tollgate.yaml"), yaml).unwrap();
    }
    load_in(dir.path(), vars, flags)
}

fn load_in(dir: &Path, vars: &[(&str, &str)], flags: Flags) -> Result<Config, String> {
    let vars = vars.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Config::from_sources(flags, vars, dir)
        .map_err(|faults| faults.to_string().replace(&format!("{}/", dir.display()), ""))
}

fn flag(path: &'static str, name: &'static str, value: &str) -> Flags {
    Flags { file: None, settings: vec![(path, name, value.into())] }
}

#[test]
fn with_no_file_at_all_there_is_a_whole_configuration() {
    let config = load("", &[], Flags::default()).unwrap();
    assert_eq!(config.proxy.addr, "0.0.0.0:8080".parse().unwrap());
    assert_eq!(config.management.addr, "127.0.0.1:9090".parse().unwrap());
    assert!(config.enable_proxy && config.enable_management);
    assert_eq!(config.database.url.expose_secret(), "sqlite://data/tollgate.db");
    assert_eq!(config.database.file.as_deref(), Some(Path::new("data/tollgate.db")));
    assert!(
        matches!(config.master_key, MasterKeySource::DataDir(path) if path.ends_with("data/master.key"))
    );
    assert_eq!(config.proxy.limits.body, 32 << 20);
    assert!(config.outbound_allow.is_empty());
}

#[test]
fn flags_win_over_variables_and_those_over_the_file() {
    let yaml = "proxy:\n  addr: 127.0.0.1:1\n  mask_ip: network\nlog:\n  level: debug\n";
    let vars = [("TOLLGATE_PROXY__ADDR", "127.0.0.1:2"), ("TOLLGATE_LOG__LEVEL", "warn")];
    let config = load(yaml, &vars, flag("proxy.addr", "--proxy-addr", "127.0.0.1:3")).unwrap();
    assert_eq!(config.proxy.addr.port(), 3);
    assert_eq!(config.log.proxy.level, "warn");
    assert_eq!(config.proxy.mask_ip, "network");
}

#[test]
fn an_overlay_of_the_profile_lies_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tollgate.yaml"), "data_dir: a\nproxy_port: 1000\n").unwrap();
    fs::write(dir.path().join("tollgate.prod.yaml"), "data_dir: b\n").unwrap();
    let vars = [("TOLLGATE_PROFILE", "prod")];
    let config = load_in(dir.path(), &vars, Flags::default()).unwrap();
    assert_eq!(config.data_dir, Path::new("b"));
    assert_eq!(config.proxy.addr.port(), 1000);
    let wrong = load_in(dir.path(), &[("TOLLGATE_PROFILE", "live")], Flags::default());
    assert!(wrong.unwrap_err().contains("TOLLGATE_PROFILE: must be one of dev, test, prod"));
}

#[test]
fn all_faults_are_told_at_once_each_with_its_place() {
    let yaml = "proxy:\n  adr: 1.2.3.4:80\n  limits:\n    body: heavy\nlog:\n  level: loud\ncolour: red\nmanagement: 7\n";
    let vars = [("TOLLGATE_JOURNAL__CAP", "none"), ("TOLLGATE_REDIS_URL", "redis://x")];
    let faults = load(yaml, &vars, flag("data_dir", "--data-dir", "")).unwrap_err();
    insta::assert_snapshot!(faults);
}

#[test]
fn a_faulty_value_that_is_overruled_is_told_all_the_same() {
    let yaml = "proxy:\n  addr: nowhere\n  threads: many\n";
    let vars = [("TOLLGATE_PROXY__THREADS", "2"), ("TOLLGATE_LOG__LEVEL", "loud")];
    let flags = Flags {
        file: None,
        settings: vec![
            ("proxy.addr", "--proxy-addr", "127.0.0.1:1".into()),
            ("log.level", "--log-level", "info".into()),
        ],
    };
    let faults = load(yaml, &vars, flags).unwrap_err();
    for told in ["tollgate.yaml:2:9", "tollgate.yaml:3:12", "TOLLGATE_LOG__LEVEL"] {
        assert!(faults.contains(told), "{told}: {faults}");
    }
}

#[test]
fn text_that_is_no_yaml_is_a_fault_with_its_line() {
    let faults = load("proxy:\n  addr: [1\n", &[], Flags::default()).unwrap_err();
    assert!(faults.contains("tollgate.yaml:"), "{faults}");
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let flags = Flags { file: Some("other.yaml".into()), settings: Vec::new() };
    let faults = load("", &[], flags).unwrap_err();
    assert!(faults.contains("other.yaml:1:1: cannot be read"), "{faults}");
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    let cases = [
        ("enable_proxy: false\nenable_management: false\n", "nothing would run"),
        ("proxy_port: 9090\n", "has the port of proxy.addr"),
        ("proxy: {buffers: {total: 2MiB}}\n", "proxy.limits.body is more than"),
        ("redis: {url: 'http://x'}\n", "must begin with redis://"),
        ("database: {url: 'mysql://x'}\n", "must begin with postgres:// or sqlite:"),
        ("master_key: abc\n", "use master_key_file or TOLLGATE_MASTER_KEY"),
    ];
    for (yaml, message) in cases {
        let faults = load(yaml, &[], Flags::default()).unwrap_err();
        assert!(faults.contains(message), "{yaml}: {faults}");
    }
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("password");
    fs::write(&secret, "correct horse\n").unwrap();
    let vars = [
        ("TOLLGATE_ADMIN_PASSWORD_FILE", secret.to_str().unwrap()),
        ("TOLLGATE_DATABASE__URL", "postgres://me:hunter2@db/tollgate"),
    ];
    let config = load_in(dir.path(), &vars, Flags::default()).unwrap();
    assert_eq!(config.admin_password.as_ref().unwrap().expose_secret(), "correct horse");
    assert_eq!(config.database.file, None);
    assert!(config.effective().contains("# TOLLGATE_DATABASE__URL"));
    let all = format!("{config:?}{}", config.effective());
    assert!(!all.contains("hunter2") && !all.contains("correct horse"), "{all}");
}

#[test]
fn one_secret_said_in_two_ways_is_a_fault() {
    let vars = [("TOLLGATE_MASTER_KEY", "a"), ("TOLLGATE_MASTER_KEY_FILE", "b")];
    let faults = load("", &vars, Flags::default()).unwrap_err();
    assert!(faults.contains("is also said by TOLLGATE_MASTER_KEY"), "{faults}");
}

#[test]
fn what_kubernetes_puts_into_the_environment_is_not_ours() {
    let vars = [
        ("TOLLGATE_PORT", "tcp://10.0.0.1:8080"),
        ("TOLLGATE_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("TOLLGATE_SERVICE_HOST", "10.0.0.1"),
        ("TOLLGATE_PROXY_SERVICE_PORT_HTTP", "8080"),
        ("TOLLGATE_PROXY_PORT", "tcp://10.0.0.1:8080"),
        ("TOLLGATE_MANAGEMENT_PORT", "tcp://10.0.0.1:9090"),
    ];
    let config = load("", &vars, Flags::default()).unwrap();
    assert_eq!((config.proxy.addr.port(), config.management.addr.port()), (8080, 9090));
    assert_eq!(config.notes.len(), 1, "{:?}", config.notes);
    assert!(config.notes[0].starts_with("ignored 6 variables"), "{:?}", config.notes);
    let ours = [("TOLLGATE_PROXY_PORT", "7000")];
    let config = load("", &ours, Flags::default()).unwrap();
    assert_eq!((config.proxy.addr.port(), config.notes.len()), (7000, 0));
}

#[test]
fn text_is_taken_as_it_is_written() {
    for (written, read) in [
        ("0123", "0123"),
        ("1e3", "1e3"),
        ("1.10", "1.10"),
        ("yes", "yes"),
        ("off", "off"),
        ("0x1F", "0x1F"),
        ("007 # a comment", "007"),
        ("'0123'", "0123"),
        ("\"a\\tb\"", "a\tb"),
        (">-\n  folded\n  text", "folded text"),
    ] {
        let config = load(&format!("# é\ndata_dir: {written}\n"), &[], Flags::default()).unwrap();
        assert_eq!(config.data_dir, Path::new(read), "{written}");
    }
    let yaml = "proxy:\n  mask_ip: off\n  addr: [::]:8080 # everywhere\n  threads: 2\n\
                enable_management: off\noutbound:\n  allow: [10.0.0.0/8, \"::1\"]\n";
    let config = load(yaml, &[], Flags::default()).unwrap();
    assert_eq!(config.proxy.mask_ip, "off");
    assert_eq!(config.proxy.addr, "[::]:8080".parse().unwrap());
    assert_eq!((config.proxy.threads, config.enable_management), (2, false));
    assert_eq!(config.outbound_allow.len(), 2);
}

#[test]
fn a_proxy_that_is_not_used_is_told_without_its_address() {
    let vars = [("https_proxy", "http://me:secret@proxy:3128"), ("HTTP_PROXY", "")];
    let config = load("", &vars, Flags::default()).unwrap();
    assert_eq!(
        config.notes,
        ["https_proxy is set and not used yet: providers are called directly"]
    );
}

#[test]
fn lists_stand_as_lists_or_with_commas() {
    let yaml = "outbound:\n  allow: [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n";
    assert_eq!(load(yaml, &[], Flags::default()).unwrap().outbound_allow.len(), 2);
    let vars = [("TOLLGATE_OUTBOUND__ALLOW", "127.0.0.0/8,::1")];
    assert_eq!(load("", &vars, Flags::default()).unwrap().outbound_allow.len(), 2);
}

#[test]
fn a_command_gives_the_master_key() {
    assert_eq!(output_of("echo abc").unwrap().expose_secret(), "abc");
    assert!(output_of("exit 3").unwrap_err().to_string().contains("3"));
    let vars = [("TOLLGATE_MASTER_KEY_COMMAND", "pass x")];
    let config = load("", &vars, Flags::default()).unwrap();
    assert!(matches!(config.master_key, MasterKeySource::Command(c) if c == "pass x"));
}
