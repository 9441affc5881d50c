//! Scripted providers on loopback, for the demo, the tests and the bench.
