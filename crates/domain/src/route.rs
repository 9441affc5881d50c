//! Routes: model names and their targets.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Dialect, Fault, Faults, Matching, ModelProfile, RouteId, Strategy, UpstreamId, UserId,
    policy::Sticky,
};

/// A model name and its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its id.
    pub id: RouteId,
    /// The owner.
    pub owner: UserId,
    /// The model name that callers request; unique.
    pub name: String,
    /// Whether the route is enabled.
    pub enabled: bool,
    /// The conversion that calls of a route allow.
    pub conversion: Conversion,
    /// The strategy among targets of equal priority.
    pub strategy: Strategy,
    /// The affinity of related calls to one target.
    pub sticky: Option<Sticky>,
    /// The calls that the route takes in addition to those that request its name.
    pub matching: Option<Matching>,
    /// The targets.
    pub targets: Vec<Target>,
}

/// A target of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The upstream.
    pub upstream: UpstreamId,
    /// The model at the upstream; the requested name if `None`.
    pub model: Option<String>,
    /// The share among targets of equal priority, 1 to 1000.
    pub weight: u32,
    /// The priority: the lower number is tried first, the others after failures.
    pub priority: u32,
    /// The dialect of the upstream to use; if `None`, the client's own if the upstream has it.
    pub dialect: Option<Dialect>,
    /// The profile of the target's model; it takes precedence over that of the upstream.
    pub profile: Option<ModelProfile>,
}

impl Target {
    /// Creates a target with default weight, without a profile and with the requested model name.
    pub fn of(upstream: UpstreamId) -> Self {
        Self { upstream, model: None, weight: 1, priority: 0, dialect: None, profile: None }
    }
}

/// The conversion that calls of a route allow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conversion {
    /// Calls are converted; fields that the target cannot express are dropped and named in a
    /// header.
    #[default]
    Allow,
    /// Calls are converted only without loss, and otherwise refused.
    Strict,
    /// Only targets with the client's dialect are used.
    Never,
}

impl Conversion {
    /// All of them, in the order in which they are listed to people.
    pub const ALL: [Conversion; 3] = [Conversion::Allow, Conversion::Strict, Conversion::Never];

    /// The name in configuration and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Conversion::Allow => "allow",
            Conversion::Strict => "strict",
            Conversion::Never => "never",
        }
    }
}

impl fmt::Display for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Conversion {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        Conversion::ALL
            .into_iter()
            .find(|c| c.as_str() == text)
            .ok_or_else(|| Fault::new("conversion", "must be allow, strict or never"))
    }
}

impl Route {
    /// A route with everything else as usual.
    pub fn new(id: RouteId, owner: UserId, name: impl Into<String>, targets: Vec<Target>) -> Self {
        Self {
            id,
            owner,
            name: name.into(),
            enabled: true,
            conversion: Conversion::Allow,
            strategy: Strategy::Weighted,
            sticky: None,
            matching: None,
            targets,
        }
    }

    /// Most targets of one route.
    pub const TARGETS_MAX: usize = 64;
    /// Largest weight of a target.
    pub const WEIGHT_MAX: u32 = 1000;
    /// Highest priority of a target.
    pub const PRIORITY_MAX: u32 = 1_000_000_000;

    /// Returns every invalid field, except for targets that do not exist.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if self.name.is_empty()
            || self.name.len() > 256
            || self.name.bytes().any(|b| !(0x21..=0x7e).contains(&b))
        {
            faults.add("name", "must be 1 to 256 visible ASCII characters without spaces");
        }
        if let Some(sticky) = &self.sticky {
            sticky.faults(&mut faults);
        }
        if self.targets.is_empty() || self.targets.len() > Self::TARGETS_MAX {
            faults.add("targets", format!("must be 1 to {}", Self::TARGETS_MAX));
        }
        for (i, target) in self.targets.iter().enumerate() {
            if !(1..=Self::WEIGHT_MAX).contains(&target.weight) {
                faults.add(format!("targets[{i}].weight"), "must be 1 to 1000");
            }
            if target.priority > Self::PRIORITY_MAX {
                let most = Self::PRIORITY_MAX;
                faults.add(format!("targets[{i}].priority"), format!("must be at most {most}"));
            }
            if target.model.as_ref().is_some_and(|m| m.is_empty() || m.len() > 256) {
                faults.add(format!("targets[{i}].model"), "must be 1 to 256 bytes");
            }
            for fault in target.profile.map(|profile| profile.faults().0).unwrap_or_default() {
                faults.add(format!("targets[{i}].profile.{}", fault.field), fault.message);
            }
        }
        faults
    }
}
