//! The providers' own Python clients, with only the base URL and the key changed. What they try is
//! in `tests/sdk`; pretended providers stand behind the gateway.

use std::{path::PathBuf, process::Command};

use mock::{Mock, Script};
use serde_json::json;
use testkit::{Gateway, until};

use crate::{TOLLGATE, client};

#[expect(clippy::disallowed_methods, reason = "`make test` says which Python has the clients")]
fn python() -> PathBuf {
    let venv = || concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python").into();
    std::env::var_os("TOLLGATE_TEST_PYTHON").unwrap_or_else(venv).into()
}

#[tokio::test]
async fn the_official_clients_work_with_only_base_url_and_key_changed() {
    let providers = Mock::start(Script::default()).await.unwrap();
    let mut gateway = Gateway::new(TOLLGATE).with("TOLLGATE_OUTBOUND__ALLOW", "127.0.0.0/8");
    gateway.start().await;
    let admin = gateway.admin().await;
    let mut behaviours = vec![("openai", "openai", "sk-1"), ("anthropic", "anthropic", "sk-ant-1")];
    behaviours.extend([
        ("gemini", "gemini", "AIza-1"),
        ("limited", "openai", "sk-2.429=7"),
        ("broken", "openai", "sk-3.500"),
        ("claude-limited", "anthropic", "sk-ant-2.429=7"),
        ("gemini-limited", "gemini", "AIza-2.429=7"),
    ]);
    for (name, provider, key) in behaviours {
        let upstream = json!({"name": name, "provider": provider, "base_url": providers.base_url(), "retry_count": 0});
        let upstream = admin.post("/api/admin/upstreams", upstream).await;
        let key = json!({"upstream_id": upstream["id"], "name": "1", "key_value": key});
        admin.post("/api/admin/keys", key).await;
    }
    let (_, key) = admin.service_key("sdks").await;
    let url = format!("http://{}", gateway.proxy());
    let models = client().get(format!("{url}/v1/models")).bearer_auth(&key);
    until("the data plane knows the key", || {
        let asked = models.try_clone().unwrap().send();
        async { (asked.await.unwrap().status() == 200).then_some(()) }
    })
    .await;

    let python = python();
    assert!(python.exists(), "no Python with the clients: run scripts/setup test");
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk");
    let mut pytest = Command::new(python);
    pytest.args(["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", tests]);
    pytest.env("TOLLGATE_URL", url).env("TOLLGATE_KEY", key);
    let done = tokio::task::spawn_blocking(move || pytest.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
}
