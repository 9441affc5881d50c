//! Where the master key is kept. What is derived from it is in `auth`.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use anyhow::{Context, bail};
use auth::MasterKey;
use secrecy::ExposeSecret;

use crate::{
    config::{self, MasterKeySource},
    process,
};

/// Brings the master key, making one where none was ever given.
pub(crate) fn bring(source: &MasterKeySource) -> anyhow::Result<MasterKey> {
    match source {
        MasterKeySource::Given(text) => {
            MasterKey::parse(text.expose_secret()).context("the given master key cannot be used")
        }
        MasterKeySource::Command(command) => {
            let text = config::output_of(command).context("master_key_command failed")?;
            MasterKey::parse(text.expose_secret())
                .context("what master_key_command prints is no master key")
        }
        MasterKeySource::DataDir(path) => match fs::read_to_string(path) {
            Ok(text) => {
                look_at_owner(path)?;
                let key = MasterKey::parse(&text);
                key.with_context(|| format!("{} holds no master key", path.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        },
    }
}

fn make(path: &Path) -> anyhow::Result<MasterKey> {
    let key = MasterKey::generate();
    match process::write_private(path, key.to_text().expose_secret()) {
        Ok(()) => tracing::warn!(
            "made a new master key in {}; back it up together with the database: without it the \
             stored provider keys cannot be read",
            path.display()
        ),
        // The other plane was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return MasterKey::parse(&fs::read_to_string(path)?)
                .with_context(|| format!("{} holds no master key", path.display()));
        }
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be written", path.display()));
        }
    }
    Ok(key)
}

/// A key that others can read or that others own is not taken.
fn look_at_owner(path: &Path) -> anyhow::Result<()> {
    let about = fs::metadata(path)?;
    let me = nix::unistd::geteuid().as_raw();
    if about.uid() != me && me != 0 {
        bail!("{} belongs to another user", path.display());
    }
    if about.mode() & 0o077 != 0 {
        bail!("{} can be read by others; use chmod 600", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let source = MasterKeySource::DataDir(path.clone());
        let made = bring(&source).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let found = bring(&source).unwrap();
        assert_eq!(made.to_text().expose_secret(), found.to_text().expose_secret());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(bring(&source).unwrap_err().to_string().contains("chmod 600"));
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
