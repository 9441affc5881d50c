//! What the process asks of the operating system before it serves: many files, no memory image on
//! disk, a data directory that nobody else reads.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use nix::sys::{
    prctl,
    resource::{Resource, getrlimit, setrlimit},
};

/// Forbids memory images: they would hold provider keys. Raises the number of open files to what
/// is allowed; each call needs two.
pub(crate) fn harden() {
    if let Err(error) =
        setrlimit(Resource::RLIMIT_CORE, 0, 0).and_then(|()| prctl::set_dumpable(false))
    {
        tracing::warn!(%error, "memory images cannot be switched off");
    }
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) if soft < hard => {
            if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
                tracing::warn!(%error, "the number of open files stays at {soft}");
            }
        }
        _ => {}
    }
}

/// Makes the data directory where it is missing, and looks that nobody else can write there.
pub(crate) fn data_dir(path: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("the data directory {} cannot be made", path.display()))?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o022 != 0 {
        bail!(
            "the data directory {} can be written by others (mode {:o}); use chmod 700",
            path.display(),
            mode & 0o777
        );
    }
    Ok(())
}

/// Held while this process is the data plane of an embedded database.
#[derive(Debug)]
pub(crate) struct DataPlaneLock {
    held: File,
}

/// The lock belongs to the open file, and a child that was just forked holds that too until it
/// starts its own program: closing the file alone would free the lock only then.
impl Drop for DataPlaneLock {
    fn drop(&mut self) {
        if let Err(error) = self.held.unlock() {
            tracing::warn!(%error, "the lock of the data plane is freed only when the process ends");
        }
    }
}

impl DataPlaneLock {
    /// Takes the lock beside the database file; a second data plane on it is refused.
    pub(crate) fn take(database: &Path) -> anyhow::Result<Self> {
        let path = beside(database);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("{} cannot be opened", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { held: file }),
            Err(fs::TryLockError::WouldBlock) => bail!(
                "another data plane runs on {}: one SQLite file serves one; stop it, or use PostgreSQL",
                database.display()
            ),
            Err(fs::TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} cannot be locked", path.display()))
            }
        }
    }
}

fn beside(database: &Path) -> PathBuf {
    let mut name = database.file_name().unwrap_or_default().to_owned();
    name.push(".data-plane");
    database.with_file_name(name)
}

/// Writes a new file that only its owner may read; one that is there is an error.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use io::Write;
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_data_plane_on_one_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("tollgate.db");
        let first = DataPlaneLock::take(&database).unwrap();
        let second = DataPlaneLock::take(&database).unwrap_err().to_string();
        assert!(second.contains("another data plane runs on"), "{second}");
        drop(first);
        DataPlaneLock::take(&database).unwrap();
    }

    #[test]
    fn the_data_directory_is_made_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        data_dir(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(data_dir(&path).unwrap_err().to_string().contains("written by others"));
    }

    #[test]
    fn more_files_may_be_open_and_no_memory_image_is_written() {
        harden();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
    }
}
