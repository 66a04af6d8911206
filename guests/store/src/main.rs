//! A key-value service. Configuration: `port` (7000).

sos_sdk::main!(store::serve);
