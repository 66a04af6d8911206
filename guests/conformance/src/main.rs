//! Runs its role's script; see the library.

sos_sdk::main!(conformance::run);
