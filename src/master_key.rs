//! Storage of the master key. `auth` derives keys from it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use auth::MasterKey;
use secrecy::ExposeSecret;

use crate::{
    config::{self, Config, MasterKeySource},
    process,
};

/// The master key, and whether it was created just now.
#[derive(Debug)]
pub(crate) struct Brought {
    key: MasterKey,
    made: Option<PathBuf>,
}

impl Brought {
    pub(crate) fn key(&self) -> &MasterKey {
        &self.key
    }

    pub(crate) fn into_key(self) -> MasterKey {
        self.key
    }

    /// Removes a key that was created just now and is useless: another instance was faster.
    pub(crate) fn take_back(self) {
        if let Some(path) = self.made
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(%error, "{} is not the master key and stays", path.display());
        }
    }
}

/// Loads the master key, creating one if none was ever given. `sealed`: the database has a key
/// already, so that no other one is useful and none is created.
pub(crate) async fn bring(
    source: &MasterKeySource,
    sealed: impl Future<Output = store::Result<bool>>,
) -> anyhow::Result<Brought> {
    if let Some(key) = given(source)? {
        return Ok(Brought { key, made: None });
    }
    let MasterKeySource::DataDir(path) = source else { unreachable!("other sources give a key") };
    if sealed.await? {
        bail!(
            "there is no master key in {}, and the database was started with one already; without it \
             its secrets cannot be read. Put that file back, or give this instance the key of the \
             others (TOLLGATE_MASTER_KEY_FILE)",
            path.display()
        );
    }
    make(path)
}

/// Checks that a start would have its master key, without creating one.
pub(crate) fn look(config: &Config) -> anyhow::Result<()> {
    let MasterKeySource::DataDir(path) = &config.master_key else {
        return given(&config.master_key).map(drop);
    };
    let database = config.database.file.as_deref().and_then(|file| fs::metadata(file).ok());
    if given(&config.master_key)?.is_none() && database.is_some_and(|file| file.len() > 0) {
        bail!("there is a database, and no master key in {}", path.display());
    }
    Ok(())
}

/// Returns the key as given or from its file; `None` if it has to be created.
pub(crate) fn given(source: &MasterKeySource) -> anyhow::Result<Option<MasterKey>> {
    let key = match source {
        MasterKeySource::Given(text) => {
            MasterKey::parse(text.expose_secret()).context("the given master key cannot be used")?
        }
        MasterKeySource::Command(command) => {
            let text = config::output_of(command).context("master_key_command failed")?;
            MasterKey::parse(text.expose_secret())
                .context("what master_key_command prints is no master key")?
        }
        MasterKeySource::DataDir(path) => match fs::read_to_string(path) {
            Ok(text) => {
                look_at_owner(path)?;
                let key = MasterKey::parse(&text);
                key.with_context(|| format!("{} holds no master key", path.display()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", path.display()));
            }
        },
    };
    Ok(Some(key))
}

fn make(path: &Path) -> anyhow::Result<Brought> {
    let key = MasterKey::generate();
    match process::write_private(path, key.to_text().expose_secret()) {
        Ok(()) => tracing::warn!(
            "made a new master key in {}; back it up together with the database: without it the \
             stored provider keys cannot be read",
            path.display()
        ),
        // The other plane was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let key = MasterKey::parse(&fs::read_to_string(path)?)
                .with_context(|| format!("{} holds no master key", path.display()))?;
            return Ok(Brought { key, made: None });
        }
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be written", path.display()));
        }
    }
    Ok(Brought { key, made: Some(path.to_owned()) })
}

/// Refuses a key that others can read or own.
fn look_at_owner(path: &Path) -> anyhow::Result<()> {
    let about = fs::metadata(path)?;
    let me = nix::unistd::geteuid().as_raw();
    if about.uid() != me && me != 0 {
        bail!("{} belongs to another user", path.display());
    }
    if about.mode() & 0o007 != 0 {
        bail!("{} can be read by others; use chmod 600", path.display());
    }
    if about.mode() & 0o070 != 0 {
        if !process::is_own_group(about.gid()) {
            let group = about.gid();
            bail!(
                "{} can be read by the group {group}, which is not ours; use chmod 600",
                path.display()
            );
        }
        tracing::warn!("{} can be read by its group; better: chmod 600", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn bring(source: &MasterKeySource) -> anyhow::Result<Brought> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(super::bring(source, async { Ok(false) }))
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let source = MasterKeySource::DataDir(path.clone());
        let made = bring(&source).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let found = bring(&source).unwrap();
        let text = |brought: &Brought| brought.key().to_text().expose_secret().to_owned();
        assert_eq!(text(&made), text(&found));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(bring(&source).unwrap_err().to_string().contains("chmod 600"));
        // A volume that a cluster mounts for our group.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
        bring(&source).unwrap();

        found.take_back();
        assert!(path.exists(), "what was there before stays");
        made.take_back();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn no_key_is_made_for_a_database_that_has_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let source = MasterKeySource::DataDir(path.clone());
        let lost = super::bring(&source, async { Ok(true) }).await.unwrap_err().to_string();
        assert!(lost.contains("master.key") && lost.contains("Put that file back"), "{lost}");
        assert!(!path.exists());
    }

    #[test]
    fn a_given_key_must_be_one() {
        let given = |text: &str| bring(&MasterKeySource::Given(text.into()));
        assert!(given("short").is_err());
        let key = MasterKey::generate().to_text();
        given(key.expose_secret()).unwrap();
        let command = format!("echo {}", key.expose_secret());
        bring(&MasterKeySource::Command(command)).unwrap();
        assert!(bring(&MasterKeySource::Command("exit 1".into())).is_err());
    }
}
