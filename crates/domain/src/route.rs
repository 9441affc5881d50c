//! A route: a model name that callers may ask for, and who could answer.

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
    /// Who made it.
    pub owner: UserId,
    /// The model name that callers ask for; unique.
    pub name: String,
    /// Whether it is served.
    pub enabled: bool,
    /// Whether a call may reach a target that does not speak the client's dialect.
    pub conversion: Conversion,
    /// How one of the targets of equal priority is chosen.
    pub strategy: Strategy,
    /// What keeps calls that belong together with one target.
    pub sticky: Option<Sticky>,
    /// Which calls it takes besides those that ask for its name.
    pub matching: Option<Matching>,
    /// Who could answer.
    pub targets: Vec<Target>,
}

/// One place that could answer a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub upstream: UpstreamId,
    /// The model to ask there; `None` keeps the name that was asked for.
    pub model: Option<String>,
    /// Its share among targets of equal priority, 1 to 1000.
    pub weight: u32,
    /// Lower is tried first; the others follow when it fails.
    pub priority: u32,
    /// The one of the upstream's dialects that is spoken to this target, whatever the client
    /// speaks; `None` leaves the choice to the call: the client's own where the upstream has it.
    pub dialect: Option<Dialect>,
    /// What is known of the model behind this target; it wins over what the upstream says.
    pub profile: Option<ModelProfile>,
}

impl Target {
    /// A target that takes an even share of the calls, says nothing about its model and keeps the
    /// model's name.
    pub fn of(upstream: UpstreamId) -> Self {
        Self { upstream, model: None, weight: 1, priority: 0, dialect: None, profile: None }
    }
}

/// Whether a call may reach a target that does not speak the client's dialect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conversion {
    /// It is converted; what the target cannot say is left out and named in a header.
    #[default]
    Allow,
    /// It is converted only without loss: what would be left out refuses the call.
    Strict,
    /// Only targets that speak the client's dialect are asked.
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
    /// Highest priority of a target.
    pub const PRIORITY_MAX: u32 = 1_000_000_000;

    /// Everything about it that could not be served, but for targets that do not exist.
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
            if !(1..=1000).contains(&target.weight) {
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
