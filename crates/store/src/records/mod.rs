//! What goes into the store and comes out of it, as plain values. How they lie in tables is the
//! business of the files beside this folder; how they look in JSON is the management plane's.

mod agent_sessions;
mod arrived;
mod dashboard;
mod keys;
mod limits;
mod logs;
mod paging;
mod running;
mod statistics;
mod tasks;
mod users;

pub use agent_sessions::{AgentPart, AgentSession, SessionFilter, SessionSum, SessionTree};
pub use arrived::ArrivedCall;
pub use dashboard::{Dashboard, Hour, KeyCounts, Share, Totals};
pub use keys::{
    ExportedKey, ImportResult, ImportedKey, KeyBulk, KeySet, KeysChanged, MaskedKey,
    ProviderKeyFilter, RotatedServiceKey, WhichKeys,
};
pub use limits::LimitFilter;
pub use logs::{
    JournalPosition, LogFilter, LogOrder, LogRow, PastCall, RecordedBody, StatusClass, TimeRange,
};
pub use paging::{Listed, Page, Sort, SortBy, TagFilter};
pub use running::{AlertFilter, AlertRow, AlertState, TransitionRow, TriggerFilter, TriggerRow};
pub use statistics::{
    Dimension, Grain, Group, Latencies, Statistics, StatsFilter, StatsQuestion, Value,
};
pub use tasks::{Aged, LogSize, TaskDue, TaskRow, TaskRun};
pub use users::{
    AuditFilter, AuditRow, AuditVerdict, Credentials, LoginFailures, NewUser, OpenSession,
    RefreshToken, RefusedKeyFilter, Renewal, RoleDefinition, Spent, User, UserEdit, UserFilter,
    UserRow,
};
