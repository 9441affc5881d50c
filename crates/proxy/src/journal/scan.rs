//! The start: which journals lie in the directory, which of them nobody owns any more, and what
//! is in those.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::record::{Kind, Next, Reader, Record};
use super::segment;

/// The lock on a journal; released when it is dropped. A process that was forked meanwhile holds a
/// copy of the descriptor until it runs its own program, so closing the file alone would not release it.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Where that fails, the lock ends with the last descriptor.
        let _ = self.0.unlock();
    }
}

/// A journal whose instance is gone, and which is now ours.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) dir: PathBuf,
    pub(super) lock: Lock,
    /// The segments with the length up to which they are good.
    pub(super) segments: BTreeMap<u64, u64>,
    /// How many settle records they hold.
    pub(super) settles: u64,
    /// The intents without a settle record.
    pub(super) open: HashMap<Uuid, Vec<u8>>,
}

impl Found {
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().sum()
    }
}

/// Takes over every journal below `root` that no process holds.
pub(super) fn claim_all(root: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let dir = entry?.path();
        let name = dir.file_name().and_then(|name| name.to_str());
        if name.and_then(|name| name.parse::<Uuid>().ok()).is_none() {
            continue;
        }
        match claim(&dir).and_then(|lock| lock.map(|lock| scan(dir.clone(), lock)).transpose()) {
            Ok(Some(journal)) if journal.segments.is_empty() => remove(&journal.dir),
            Ok(Some(journal)) => found.push(journal),
            Ok(None) => {}
            Err(cause) => {
                tracing::error!(dir = %dir.display(), %cause, "a journal cannot be taken over");
            }
        }
    }
    Ok(found)
}

/// Makes a new, empty journal below `root`.
pub(super) fn make(root: &Path) -> io::Result<Found> {
    loop {
        let dir = root.join(Uuid::now_v7().to_string());
        segment::make_dir(&dir)?;
        // None when another process came between and took it for an abandoned one.
        if let Some(lock) = claim(&dir)? {
            return scan(dir, lock);
        }
    }
}

/// Locks a journal; none when another process holds it or has just removed it.
fn claim(dir: &Path) -> io::Result<Option<Lock>> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let lock = match options.open(&path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match lock.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(None),
        Err(fs::TryLockError::Error(cause)) => return Err(cause),
    }
    let same = fs::metadata(&path).is_ok_and(|now| {
        lock.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (now.dev(), now.ino()))
    });
    Ok(same.then_some(Lock(lock)))
}

/// Removes a journal that holds nothing any more.
pub(super) fn remove(dir: &Path) {
    let removed = fs::remove_file(dir.join("lock")).and_then(|()| fs::remove_dir(dir));
    if let Err(cause) = removed {
        tracing::warn!(dir = %dir.display(), %cause, "an empty journal cannot be removed");
    }
}

fn scan(dir: PathBuf, lock: Lock) -> io::Result<Found> {
    let mut found =
        Found { segments: segment::list(&dir)?, dir, lock, settles: 0, open: HashMap::new() };
    let last = found.segments.last_key_value().map(|(number, _)| *number);
    for (number, length) in found.segments.clone() {
        let good = found.scan_segment(number, length)?;
        if good < length {
            found.cut(number, good, length, last == Some(number));
        }
    }
    Ok(found)
}

impl Found {
    /// Reads a segment and says up to where it is good.
    fn scan_segment(&mut self, number: u64, length: u64) -> io::Result<u64> {
        let file = File::open(segment::path(&self.dir, number))?;
        let mut reader = Reader::new(file, 0);
        loop {
            match reader.next(length)? {
                Next::Record(record) => self.note(&record),
                // The drain meets it again and says so.
                Next::Damaged(_) => {}
                Next::End => return Ok(reader.offset()),
            }
        }
    }

    fn note(&mut self, record: &Record<'_>) {
        match record.kind {
            Some(Kind::Intent | Kind::Carried) => {
                self.open.insert(record.id, record.payload.to_vec());
            }
            Some(Kind::Settle) => {
                self.settles += 1;
                self.open.remove(&record.id);
            }
            Some(Kind::Void) => {
                self.open.remove(&record.id);
            }
            None => {}
        }
    }

    /// Cuts off the half record at the end of a segment: whoever wrote it was not told that it
    /// was written.
    fn cut(&mut self, number: u64, good: u64, length: u64, last: bool) {
        let path = segment::path(&self.dir, number);
        let torn = length - good;
        if last {
            tracing::info!(path = %path.display(), torn, "a half record was cut off");
        } else {
            tracing::error!(path = %path.display(), torn, "a segment ends in damaged bytes");
        }
        let cut = OpenOptions::new().write(true).open(&path);
        if let Err(cause) = cut.and_then(|file| file.set_len(good)) {
            tracing::warn!(path = %path.display(), %cause, "a half record cannot be cut off");
        }
        self.segments.insert(number, good);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_given_back_although_a_copy_of_its_descriptor_is_open() {
        let root = tempfile::tempdir().unwrap();
        let found = make(root.path()).unwrap();
        let copy = found.lock.0.try_clone().unwrap();
        assert!(claim(&found.dir).unwrap().is_none());

        drop(found.lock);

        assert!(claim(&found.dir).unwrap().is_some());
        drop(copy);
    }
}
