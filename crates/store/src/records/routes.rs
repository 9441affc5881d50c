//! Routes as they are entered, changed and read.

use chrono::{DateTime, Utc};
use domain::{Conversion, Matching, Route, Strategy, Target, UserId, policy::Sticky};

/// A route to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRoute {
    /// The model name that callers ask for; unique.
    pub name: String,
    /// Whether it is served; it is when nothing is said.
    pub enabled: Option<bool>,
    /// Whether its calls may be converted; they may when nothing is said.
    pub conversion: Option<Conversion>,
    /// How one of the targets of equal priority is chosen; by weight when nothing is said.
    pub strategy: Option<Strategy>,
    /// What keeps calls that belong together with one target.
    pub sticky: Option<Sticky>,
    /// Which calls it takes besides those that ask for its name.
    pub matching: Option<Matching>,
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
    /// How one of the targets of equal priority is chosen.
    pub strategy: Option<Strategy>,
    /// What keeps calls that belong together with one target; `Some(None)` lets go of it.
    pub sticky: Option<Option<Sticky>>,
    /// Which calls it takes besides those that ask for its name; `Some(None)` leaves only these.
    pub matching: Option<Option<Matching>>,
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
