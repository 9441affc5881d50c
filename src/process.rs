//! Operating system set-up before serving: many open files, no core dumps, a private data
//! directory.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use nix::sys::{
    prctl,
    resource::{Resource, getrlimit, setrlimit},
};

/// Disables core dumps, which would contain provider keys, and raises the limit of open files; each
/// call needs two.
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

/// Creates the data directory if it is missing, and checks who else can write there. Clusters mount
/// volumes that a group of ours or everybody in the container may write.
pub(crate) fn data_dir(path: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("the data directory {} cannot be made", path.display()))?;
    let about = fs::metadata(path)?;
    let mode = about.mode() & 0o7777;
    let shown = path.display();
    if mode & 0o020 != 0 {
        let group = about.gid();
        if !is_own_group(group) {
            bail!(
                "the data directory {shown} can be written by the group {group}, which is not ours \
                 (mode {mode:o}); use chmod 700"
            );
        }
        tracing::warn!("the data directory {shown} can be written by its group (mode {mode:o})");
    }
    if mode & 0o002 != 0 {
        for_everybody(path, &about)?;
    }
    Ok(())
}

/// Handles a world-writable directory: others could replace our files, unless it is sticky, or it
/// is ours and can be closed, or only this container has it.
fn for_everybody(path: &Path, about: &Metadata) -> anyhow::Result<()> {
    let (mode, shown) = (about.mode() & 0o7777, path.display());
    if let Some(foreign) = foreign_file(path)? {
        bail!(
            "everybody can write in the data directory {shown} (mode {mode:o}), and {foreign} in it \
             belongs to somebody else"
        );
    }
    let sticky = mode & 0o1000 != 0;
    let closed = mode & !0o002;
    if sticky || is_mount(path, about) {
        tracing::warn!("everybody can write in the data directory {shown} (mode {mode:o})");
    } else if fs::set_permissions(path, Permissions::from_mode(closed)).is_ok() {
        tracing::warn!("took the right to write in the data directory {shown} from everybody else");
    } else {
        bail!(
            "the data directory {shown} can be written by others (mode {mode:o}), who could replace \
             what lies in it; use chmod 700, or a directory of our own in it"
        );
    }
    Ok(())
}

/// Returns a file with one of our names and a foreign owner.
fn foreign_file(dir: &Path) -> io::Result<Option<&'static str>> {
    let me = nix::unistd::geteuid().as_raw();
    for name in ["master.key", "tollgate.db", "tollgate.db-wal", "journal"] {
        match fs::symlink_metadata(dir.join(name)) {
            Ok(about) if about.uid() != me => return Ok(Some(name)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether this is a mount point.
fn is_mount(path: &Path, about: &Metadata) -> bool {
    fs::metadata(path.join("..")).is_ok_and(|above| above.dev() != about.dev())
}

/// Whether we are a member of this group.
pub(crate) fn is_own_group(group: u32) -> bool {
    let mine = nix::unistd::getgroups().unwrap_or_default();
    nix::unistd::getegid().as_raw() == group || mine.iter().any(|gid| gid.as_raw() == group)
}

/// A lock held while this process is the data plane of an embedded database.
#[derive(Debug)]
pub(crate) struct DataPlaneLock {
    held: File,
}

/// The lock belongs to the open file, which a child process inherits until it starts its own
/// program: closing the file alone would free the lock only then.
impl Drop for DataPlaneLock {
    fn drop(&mut self) {
        if let Err(error) = self.held.unlock() {
            tracing::warn!(%error, "the lock of the data plane is freed only when the process ends");
        }
    }
}

impl DataPlaneLock {
    /// Takes the lock beside the database file.
    ///
    /// # Errors
    ///
    /// Fails if another data plane holds it.
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

/// Writes a new file, atomically and readable by its owner only; an existing file is an error.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use io::Write;
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            // Some volumes have no links.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                let mut file = OpenOptions::new();
                let mut file = file.create_new(true).write(true).mode(0o600).open(path)?;
                file.write_all(text.as_bytes())?;
                file.sync_all()
            }
            linked => linked,
        }
    })();
    // One that stays lies beside the key and is as private.
    let _ = fs::remove_file(&draft);
    written
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
        assert_eq!(mode(&path), 0o700);
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn directories_as_clusters_mount_them_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        // Our own group may write, whether new files get it or not; so it stays.
        for given in [0o775, 0o2775, 0o770, 0o1777] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(given)).unwrap();
            data_dir(dir.path()).unwrap();
            assert_eq!(mode(dir.path()), given);
        }
        // What everybody may write, and is ours, is closed to the others.
        for (given, closed) in [(0o777, 0o775), (0o2777, 0o2775), (0o707, 0o705)] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(given)).unwrap();
            data_dir(dir.path()).unwrap();
            assert_eq!(mode(dir.path()), closed);
        }
    }

    #[test]
    fn a_directory_that_strangers_write_is_refused_where_they_could_replace_our_files() {
        let root = nix::unistd::geteuid().is_root();
        let dir = tempfile::tempdir().unwrap();
        let stranger = 54_321;
        let give = |path: &Path| std::os::unix::fs::chown(path, Some(stranger), Some(stranger));
        if !root || give(dir.path()).is_err() {
            // Only root can give a directory away.
            return;
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let refused = data_dir(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("the group 54321, which is not ours"), "{refused}");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1757)).unwrap();
        fs::write(dir.path().join("master.key"), "").unwrap();
        give(&dir.path().join("master.key")).unwrap();
        let refused = data_dir(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("master.key in it belongs to somebody else"), "{refused}");
    }

    #[test]
    fn more_files_may_be_open_and_no_memory_image_is_written() {
        harden();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
    }
}
