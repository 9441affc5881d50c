//! `/api/admin/refused-keys`: who tried service keys that are not accepted.

use axum::{Json as Answer, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use store::RefusedKeyFilter;
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::Management,
    error::ApiError,
    input::Query,
    listing::{ListOf, PageQuery},
    permit::{ReadAudit, With},
    words::KeyFault,
};

/// Calls to the data plane from one address with one service key that is not accepted, counted
/// together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefusedKey {
    /// The client's address, masked as configured; `null` where none is kept, and where so many
    /// addresses came at once that those beyond were counted together.
    address: Option<String>,
    /// The public id of the key: the eight characters after `tg-`. `null` where what was shown has
    /// not the form of a service key, and for the keys of an address that showed very many.
    #[schema(example = "k3xQ9ZpL")]
    key_id: Option<String>,
    /// Why the key is not accepted.
    fault: KeyFault,
    /// How many calls there were.
    count: u64,
    /// When the first call came.
    first_at: DateTime<Utc>,
    /// When the last call came.
    last_at: DateTime<Utc>,
}

/// Which refused keys are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefusedKeysQuery {
    /// Only calls from this address, as it is shown.
    address: Option<String>,
    /// Only calls with the key of this public id.
    key_id: Option<String>,
    /// Only keys that are not accepted for this reason.
    #[param(inline)]
    fault: Option<KeyFault>,
    /// Where the page before ended: its `next_cursor`.
    cursor: Option<String>,
    /// At most this many items.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
}

/// Service keys that calls showed and that are not accepted, those with the latest call first. At
/// most 10,000 rows are kept.
#[utoipa::path(get, path = "/api/admin/refused-keys", tag = "logs", params(RefusedKeysQuery),
    responses((status = 200, description = "A page of refused keys", body = ListOf<RefusedKey>)))]
pub(crate) async fn list_refused_keys(
    _: With<ReadAudit>,
    State(app): State<Management>,
    Query(query): Query<RefusedKeysQuery>,
) -> Result<Answer<ListOf<RefusedKey>>, ApiError> {
    let RefusedKeysQuery { address, key_id, fault, cursor, limit } = query;
    let filter = RefusedKeyFilter { address, key_id, fault: fault.map(Into::into) };
    let page = PageQuery { cursor, limit }.page()?;
    Ok(Answer(ListOf::of(app.store.refused_keys(filter, page).await?, RefusedKey::from)))
}

impl From<domain::RefusedKey> for RefusedKey {
    fn from(refused: domain::RefusedKey) -> Self {
        Self {
            address: refused.address,
            key_id: refused.key_id,
            fault: refused.fault.into(),
            count: refused.count,
            first_at: refused.first_at,
            last_at: refused.last_at,
        }
    }
}
