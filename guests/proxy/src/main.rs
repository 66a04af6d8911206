//! Passes TCP connections on to another service; see the library.

sos_sdk::main!(proxy::serve);
