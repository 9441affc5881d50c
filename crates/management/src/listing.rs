//! Lists: which part is asked for, and how a page is answered.

use domain::Faults;
use serde::{Deserialize, Serialize};
use store::{Listed, Page, Sort, SortBy, TagFilter};
use utoipa::{IntoParams, ToSchema};

use crate::error::ApiError;

const LIMIT_MAX: u32 = 100;
const LIMIT: u32 = 50;

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Where the page before ended: its `next_cursor`.
    pub(crate) cursor: Option<String>,
    /// At most this many items.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub(crate) limit: Option<u32>,
    /// Only items with these characters in their name.
    pub(crate) search: Option<String>,
    /// The order; `-` in front turns it round.
    #[param(inline)]
    pub(crate) sort: Option<Order>,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
pub(crate) enum Order {
    /// As they were made.
    #[serde(rename = "id")]
    Id,
    /// The newest first.
    #[serde(rename = "-id")]
    IdDown,
    /// By name.
    #[serde(rename = "name")]
    Name,
    /// By name, backwards.
    #[serde(rename = "-name")]
    NameDown,
    /// By their last change.
    #[serde(rename = "updated_at")]
    UpdatedAt,
    /// The last changed first.
    #[serde(rename = "-updated_at")]
    UpdatedAtDown,
}

impl From<Order> for Sort {
    fn from(order: Order) -> Self {
        let (by, descending) = match order {
            Order::Id => (SortBy::Id, false),
            Order::IdDown => (SortBy::Id, true),
            Order::Name => (SortBy::Name, false),
            Order::NameDown => (SortBy::Name, true),
            Order::UpdatedAt => (SortBy::UpdatedAt, false),
            Order::UpdatedAtDown => (SortBy::UpdatedAt, true),
        };
        Sort { by, descending }
    }
}

/// Which part of a list is wanted whose items have tags.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaggedQuery {
    /// Only items with this tag.
    tag: Option<String>,
    /// Where the page before ended: its `next_cursor`.
    cursor: Option<String>,
    /// At most this many items.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// Only items with these characters in their name.
    search: Option<String>,
    /// The order; `-` in front turns it round.
    #[param(inline)]
    sort: Option<Order>,
}

impl TaggedQuery {
    /// What the list is confined to, and the page it means.
    pub(crate) fn split(self) -> Result<(TagFilter, Page), ApiError> {
        let Self { tag, cursor, limit, search, sort } = self;
        Ok((TagFilter { tag }, ListQuery { cursor, limit, search, sort }.page()?))
    }
}

impl ListQuery {
    /// The page it means.
    pub(crate) fn page(self) -> Result<Page, ApiError> {
        let mut faults = Faults::default();
        let limit = self.limit.unwrap_or(LIMIT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            faults.add("limit", format!("must be 1 to {LIMIT_MAX}"));
        }
        if self.search.as_ref().is_some_and(|search| search.len() > 128) {
            faults.add("search", "must be at most 128 bytes");
        }
        let search = self.search.filter(|search| !search.trim().is_empty());
        let sort = self.sort.map(Sort::from).unwrap_or_default();
        faults
            .none_or(Page { cursor: self.cursor, limit, search, sort, owner: None })
            .map_err(ApiError::Invalid)
    }
}

/// Which part of a list is wanted that is the newest first.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// Where the page before ended: its `next_cursor`.
    pub(crate) cursor: Option<String>,
    /// At most this many items.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub(crate) limit: Option<u32>,
}

impl PageQuery {
    /// The page it means.
    pub(crate) fn page(self) -> Result<Page, ApiError> {
        ListQuery { cursor: self.cursor, limit: self.limit, ..ListQuery::default() }.page()
    }
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListOf<T> {
    /// The items, in order.
    pub(crate) items: Vec<T>,
    /// What to ask for next; `null` on the last page.
    pub(crate) next_cursor: Option<String>,
}

impl<T> ListOf<T> {
    /// The stored page with every item as the API shows it.
    pub(crate) fn of<R>(page: Listed<R>, convert: impl FnMut(R) -> T) -> Self {
        let items = page.items.into_iter().map(convert).collect();
        Self { items, next_cursor: page.next_cursor }
    }
}
