//! Routes as they are entered, changed and read.

use chrono::{DateTime, Utc};
use domain::{Conversion, Route, Target, UserId};

/// A route to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRoute {
    /// The model name that callers ask for; unique.
    pub name: String,
    /// Whether it is served; it is when nothing is said.
    pub enabled: Option<bool>,
    /// Whether its calls may be converted; they may when nothing is said.
    pub conversion: Option<Conversion>,
    /// Who could answer, in order.
    pub targets: Vec<Target>,
    /// Who owns it; whoever makes it when not given.
    pub owner: Option<UserId>,
}

/// What to change of a route; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteEdit {
    /// A new name.
    pub name: Option<String>,
    /// Whether it is served.
    pub enabled: Option<bool>,
    /// Whether its calls may be converted.
    pub conversion: Option<Conversion>,
    /// All targets anew.
    pub targets: Option<Vec<Target>>,
}

/// A route as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRow {
    /// The route and its targets.
    pub route: Route,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}
