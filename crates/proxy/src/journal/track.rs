//! How far one journal has been read: from segment to segment, over damage and over what is
//! missing.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use domain::log::{JournalPosition, LogEntry};
use uuid::Uuid;

use super::record::{Kind, Next, Reader};
use super::scan::Lock;
use super::writer::Writer;
use super::{JournalError, segment};

/// How far one journal has been read.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    /// Held while the journal is ours; the writer holds that of its own.
    _lock: Option<Lock>,
    /// The segments of a journal that nobody writes any more.
    pub(super) segments: BTreeMap<u64, u64>,
    segment: u64,
    offset: u64,
    reader: Option<Reader>,
    /// Calls of this process that had begun and not ended where we stand, with the segment that
    /// holds their intent.
    pub(super) open: HashMap<Uuid, (u64, Vec<u8>)>,
    /// Whether everything was read that there was.
    pub(super) finished: bool,
}

impl Track {
    pub(super) fn new(dir: PathBuf, segments: BTreeMap<u64, u64>, lock: Option<Lock>) -> Track {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Track {
            name,
            dir,
            _lock: lock,
            segments,
            segment: 0,
            offset: 0,
            reader: None,
            open: HashMap::new(),
            finished: false,
        }
    }

    pub(super) fn position(&self) -> JournalPosition {
        JournalPosition { journal: self.name.clone(), segment: self.segment, offset: self.offset }
    }

    /// Reads on in `segments` until there are `max` entries or no more records.
    /// Calls that began in the segment `first` or later may still go on.
    pub(super) fn fill(
        &mut self,
        segments: &BTreeMap<u64, u64>,
        first: u64,
        max: usize,
        entries: &mut Vec<LogEntry>,
        writer: &Writer,
    ) -> Result<(), JournalError> {
        while entries.len() < max {
            let read = self.step(segments, first).map_err(|cause| self.unreadable(cause))?;
            match read {
                Step::Entry(Some(entry)) => entries.push(*entry),
                Step::Entry(None) => {
                    tracing::error!(at = ?self.position(), "a log entry cannot be read: it is lost");
                    writer.waiting.fetch_sub(1, Ordering::Relaxed);
                }
                Step::Other => {}
                Step::End => {
                    self.finished = true;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads up to `position`, and says how many entries there were before it.
    pub(super) fn skip_to(
        &mut self,
        position: &JournalPosition,
        segments: &BTreeMap<u64, u64>,
    ) -> Result<u64, JournalError> {
        let until: BTreeMap<u64, u64> = segments
            .range(..=position.segment)
            .map(|(number, length)| match *number == position.segment {
                true => (*number, position.offset.min(*length)),
                false => (*number, *length),
            })
            .collect();
        let mut skipped = 0;
        loop {
            let step = self.step(&until, u64::MAX);
            match step.map_err(|cause| self.unreadable(cause))? {
                Step::Entry(_) => skipped += 1,
                Step::Other => {}
                Step::End => return Ok(skipped),
            }
        }
    }

    fn unreadable(&self, cause: io::Error) -> JournalError {
        let path = segment::path(&self.dir, self.segment);
        JournalError::io(format!("cannot read {}", path.display()), cause)
    }

    fn step(&mut self, segments: &BTreeMap<u64, u64>, first: u64) -> io::Result<Step> {
        let Some((&number, &end)) = segments.range(self.segment..).next() else {
            return Ok(Step::End);
        };
        if number != self.segment {
            (self.segment, self.offset, self.reader) = (number, 0, None);
        }
        if self.reader.is_none() {
            let path = segment::path(&self.dir, number);
            match File::open(&path) {
                Ok(file) => self.reader = Some(Reader::new(file, self.offset)),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                    tracing::error!(path = %path.display(), "a segment is missing");
                    self.segment = number + 1;
                    return Ok(Step::Other);
                }
                Err(cause) => return Err(cause),
            }
        }
        let reader = self.reader.as_mut().expect("it was opened above");
        let step = match reader.next(end)? {
            Next::Record(record) => match record.kind {
                Some(Kind::Settle) => {
                    self.open.remove(&record.id);
                    Step::Entry(entry(record.payload).map(Box::new))
                }
                Some(Kind::Intent) if number >= first => {
                    let kept = (number, record.payload.to_vec());
                    self.open.insert(record.id, kept);
                    Step::Other
                }
                Some(Kind::Void) => {
                    self.open.remove(&record.id);
                    Step::Other
                }
                _ => Step::Other,
            },
            Next::Damaged(until) => {
                let path = segment::path(&self.dir, number);
                tracing::error!(path = %path.display(), until, "damaged records are passed over");
                Step::Other
            }
            Next::End => Step::End,
        };
        self.offset = reader.offset();
        if matches!(step, Step::End) && segments.range(number + 1..).next().is_some() {
            (self.segment, self.offset, self.reader) = (number + 1, 0, None);
            return Ok(Step::Other);
        }
        Ok(step)
    }
}

/// What was read.
enum Step {
    /// A log entry; none when it could not be understood.
    Entry(Option<Box<LogEntry>>),
    /// Something else.
    Other,
    /// Nothing: this is the end.
    End,
}

pub(super) fn entry(payload: &[u8]) -> Option<LogEntry> {
    serde_json::from_slice(payload).ok()
}
