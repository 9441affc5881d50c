//! Pages of lists. Paging is by key, never by offset: the last page costs what the first does.

use domain::UserId;

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where the page before ended, as its `next_cursor` said; none for the first.
    pub cursor: Option<String>,
    /// At most this many items; held between 1 and [`Page::LIMIT_MAX`].
    pub limit: u32,
    /// Only what has these characters in its name (for logs: in model, path or request id),
    /// whatever their case.
    pub search: Option<String>,
    /// Only what this user owns: for whoever may not see the things of others.
    pub owner: Option<UserId>,
    /// In which order. Log entries and audit entries come newest first, whatever is said here.
    pub sort: Sort,
}

impl Page {
    /// Most items of one page.
    pub const LIMIT_MAX: u32 = 500;

    /// The first `limit` items in the usual order.
    pub fn first(limit: u32) -> Self {
        Self { cursor: None, limit, search: None, owner: None, sort: Sort::default() }
    }

    /// The page after one that ended at `cursor`.
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    pub(crate) fn rows(&self) -> u64 {
        u64::from(self.limit.clamp(1, Self::LIMIT_MAX))
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::first(100)
    }
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sort {
    /// By which column.
    pub by: SortBy,
    /// Whether the greatest comes first.
    pub descending: bool,
}

/// What a list can be sorted by. Equal values are in the order of ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortBy {
    /// The order in which things were made.
    #[default]
    Id,
    /// The name.
    Name,
    /// When it was last changed.
    UpdatedAt,
}

/// One page.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// What to ask for next; none on the last page.
    pub next_cursor: Option<String>,
}

impl<T> Listed<T> {
    /// The same page with every item converted.
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Listed<U> {
        Listed {
            items: self.items.into_iter().map(convert).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

/// What lists are confined to of which only tags say more than names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagFilter {
    /// Only those with this tag.
    pub tag: Option<String>,
}
