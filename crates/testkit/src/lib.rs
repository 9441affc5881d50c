//! Fixtures and a gateway in a box; only ever a dev-dependency.
