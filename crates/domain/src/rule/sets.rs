//! Sets of statuses and classes for which conditions may hold: enough to recognise rules that can
//! never match, and to skip most rules quickly.

use crate::ErrorClass;

/// Statuses have three digits on the wire, whatever they mean.
const STATUSES: u16 = 1000;
/// The position of "no status" in the set.
const NONE: usize = STATUSES as usize;

/// A set of statuses, and of having none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statuses([u64; 16]);

/// The bit of successful calls in a set of classes.
const NO_CLASS: u16 = 1 << ErrorClass::ALL.len();
const EVERY_CLASS: u16 = (NO_CLASS << 1) - 1;

impl Statuses {
    pub(super) const EMPTY: Self = Self([0; 16]);
    pub(super) const EVERY: Self = Self([u64::MAX; 16]);

    /// Those that `holds` of; having none is not among them.
    pub(super) fn of(holds: impl Fn(u16) -> bool) -> Self {
        let mut set = Self::EMPTY;
        for at in (0..STATUSES).filter(|status| holds(*status)).map(usize::from) {
            set.0[at / 64] |= 1 << (at % 64);
        }
        set
    }

    pub(super) fn has(&self, status: Option<u16>) -> bool {
        let at = status.map_or(NONE, |status| usize::from(status.min(STATUSES - 1)));
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    fn and(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    fn or(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    /// Whether it contains no possible answer: statuses are from 100 to 599.
    pub(super) fn is_empty(&self) -> bool {
        (100..600).all(|status| !self.has(Some(status))) && !self.has(None)
    }
}

/// A set of classes of failures, including "no failure".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Classes(u16);

impl Classes {
    const EVERY: Self = Self(EVERY_CLASS);

    /// Those that `holds` of; being no failure is not among them.
    pub(super) fn of(holds: impl Fn(ErrorClass) -> bool) -> Self {
        let bits = ErrorClass::ALL.into_iter().filter(|class| holds(*class));
        Self(bits.fold(0, |set, class| set | 1 << class as u16))
    }

    pub(super) fn has(self, class: Option<ErrorClass>) -> bool {
        self.0 & class.map_or(NO_CLASS, |class| 1 << class as u16) != 0
    }
}

/// The calls for which conditions may hold: a superset of those for which they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct May {
    statuses: Statuses,
    classes: Classes,
}

impl May {
    pub(super) const EVER: Self = Self { statuses: Statuses::EVERY, classes: Classes::EVERY };
    pub(super) const NEVER: Self = Self { statuses: Statuses::EMPTY, classes: Classes(0) };

    pub(super) fn with_status(statuses: Statuses) -> Self {
        Self { statuses, ..Self::EVER }
    }

    pub(super) fn with_class(classes: Classes) -> Self {
        Self { classes, ..Self::EVER }
    }

    pub(super) fn has(&self, status: Option<u16>, class: Option<ErrorClass>) -> bool {
        self.statuses.has(status) && self.classes.has(class)
    }

    pub(super) fn is_never(&self) -> bool {
        self.statuses.is_empty() || self.classes.0 == 0
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        let classes = Classes(self.classes.0 & other.classes.0);
        Self { statuses: self.statuses.and(&other.statuses), classes }
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        match (self.is_never(), other.is_never()) {
            (true, _) => *other,
            (_, true) => *self,
            _ => {
                let classes = Classes(self.classes.0 | other.classes.0);
                Self { statuses: self.statuses.or(&other.statuses), classes }
            }
        }
    }
}
