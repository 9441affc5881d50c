//! The gateway and the simulated providers of the demo, each a process of its own, on free ports
//! and in a folder that goes when they go.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// Two processes and a folder. Dropping it ends them.
pub(super) struct House {
    /// Where callers reach the gateway.
    pub(super) gateway: String,
    /// Where people reach it.
    pub(super) management: String,
    /// Where the simulated providers are.
    pub(super) providers: String,
    password: SecretString,
    folder: Option<TempDir>,
    processes: Vec<Child>,
}

impl House {
    /// Starts everything and waits until it is ready.
    pub(super) async fn build() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("tollgate-demo-").tempdir()?;
        // Random, and strong enough for the rules of passwords.
        let password = auth::MasterKey::generate().to_text();
        let mut house = Self {
            gateway: String::new(),
            management: String::new(),
            providers: String::new(),
            password,
            folder: Some(folder),
            processes: Vec::new(),
        };
        let log =
            house.start("providers", &["mock", "--addr", "127.0.0.1:0", "--pace", "2ms"], &[])?;
        house.providers = house.first(&log, |line| Some(line.trim().to_owned())).await?;

        let password = house.path().join("password");
        crate::process::write_private(&password, house.password.expose_secret())?;
        let (data, password) = (house.path().join("data"), password.display().to_string());
        let data = data.display().to_string();
        let serve = [
            "serve",
            "--data-dir",
            &data,
            "--proxy-addr",
            "127.0.0.1:0",
            "--management-addr",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ];
        let settings = [
            ("TOLLGATE_OUTBOUND__ALLOW", "127.0.0.0/8"),
            ("TOLLGATE_ADMIN_PASSWORD_FILE", &password),
        ];
        let log = house.start("gateway", &serve, &settings)?;
        house.gateway = house.first(&log, |line| started(line, "data plane")).await?;
        house.management = house.first(&log, |line| started(line, "management plane")).await?;
        for plane in [&house.gateway, &house.management] {
            house.ready(plane).await?;
        }
        Ok(house)
    }

    /// The administrator's password.
    pub(super) fn password(&self) -> &SecretString {
        &self.password
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.as_ref().expect("the folder goes last").path()
    }

    /// The processes by number, as people end them.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Child::id).collect()
    }

    fn start(
        &mut self,
        name: &str,
        args: &[&str],
        vars: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let log = self.path().join(format!("{name}.log"));
        let out = fs::File::create(&log)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).envs(vars.iter().copied()).current_dir(self.path());
        // No balancer has to hear of the end.
        command.env("TOLLGATE_SHUTDOWN_DELAY", "0s");
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        self.processes.push(command.spawn().context("cannot start another process")?);
        Ok(log.display().to_string())
    }

    /// What the first fitting line of a log says.
    async fn first(
        &mut self,
        log: &str,
        fitting: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = fs::read_to_string(log)?;
            if let Some(found) =
                said.split_inclusive('\n').filter(|l| l.ends_with('\n')).find_map(&fitting)
            {
                return Ok(found);
            }
            let newest = self.processes.last_mut().expect("it was started before");
            if newest.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("it did not start:\n{said}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ready(&self, plane: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match reqwest::get(format!("{plane}/readyz")).await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                _ if Instant::now() > deadline => bail!("{plane} did not become ready"),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Ends both processes and removes the folder.
    pub(super) fn take_down(mut self) -> anyhow::Result<()> {
        self.end();
        self.folder.take().map_or(Ok(()), |folder| folder.close().map_err(Into::into))
    }

    /// Leaves everything where it is.
    pub(super) fn keep(mut self) {
        self.processes.clear();
        self.folder.take().map(TempDir::keep);
    }

    fn end(&mut self) {
        for process in self.processes.iter_mut().rev() {
            // It may have ended by itself; then there is nobody to tell.
            let _ = kill(Pid::from_raw(process.id() as i32), Signal::SIGTERM);
            let deadline = Instant::now() + Duration::from_secs(5);
            while matches!(process.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        self.processes.clear();
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.end();
    }
}

/// The address in the line that a plane logs when it starts.
fn started(line: &str, plane: &str) -> Option<String> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    (line["plane"] == plane)
        .then(|| format!("http://{}", line["addr"].as_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_line_that_tells_it() {
        let line = r#"{"level":"INFO","message":"…","plane":"data plane","addr":"127.0.0.1:7"}"#;
        assert_eq!(started(line, "data plane").as_deref(), Some("http://127.0.0.1:7"));
        assert_eq!(started(line, "management plane"), None);
        assert_eq!(started("no JSON", "data plane"), None);
    }
}
