//! Segments as files: how they are named and listed, and the little that the writer asks of a
//! disk, so that tests can give it a failing one.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a segment lies.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.seg"))
}

/// The segments in a directory with their lengths.
pub(super) fn list(dir: &Path) -> io::Result<BTreeMap<u64, u64>> {
    let mut segments = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            segments.insert(number, entry.metadata()?.len());
        }
    }
    Ok(segments)
}

/// Makes a directory, and those above it, that only its owner may enter.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// What the writer asks of a disk.
pub(super) trait Disk: Debug + Send + Sync {
    /// Makes a new, empty segment.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>>;
    /// Brings the names in a directory to the disk.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A segment that is being written.
pub(super) trait Segment: Debug + Send + Sync {
    /// Appends some of `bytes` and says how many.
    fn append(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts off what lies behind `length`.
    fn cut(&self, length: u64) -> io::Result<()>;
    /// Brings the contents to the disk.
    fn sync(&self) -> io::Result<()>;
}

/// The file system.
#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>> {
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(0o600);
        Ok(Arc::new(options.open(path)?))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl Segment for File {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self;
        file.write(bytes)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Appends all of `bytes`, or says why not; some of them may be there then.
pub(super) fn append_all(segment: &dyn Segment, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match segment.append(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

/// Whether the disk is full, rather than broken.
pub(super) fn is_full(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
