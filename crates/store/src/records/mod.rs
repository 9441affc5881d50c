//! What goes into the store and comes out of it, as plain values. How they lie in tables is the
//! business of the files beside this folder; how they look in JSON is the management plane's.

mod dashboard;
mod keys;
mod logs;
mod paging;
mod routes;
mod upstreams;
mod users;

pub use dashboard::{Dashboard, Hour, KeyCounts, Share, Totals};
pub use keys::{
    NewProviderKey, NewServiceKey, ProviderKeyEdit, ProviderKeyRow, ServiceKeyEdit, ServiceKeyRow,
};
pub use logs::{JournalPosition, LogFilter, LogRow, RecordedBody, StatusClass, TimeRange};
pub use paging::{Listed, Page, Sort, SortBy};
pub use routes::{NewRoute, RouteEdit, RouteRow};
pub use upstreams::{NewUpstream, UpstreamEdit, UpstreamRow};
pub use users::{
    AuditRow, AuditVerdict, Credentials, LoginFailures, NewUser, RefreshToken, Spent, UserEdit,
    UserRow,
};
