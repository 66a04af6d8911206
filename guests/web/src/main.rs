//! An HTTP service in front of the store; what it answers stands in the library.

sos_sdk::main!(web::serve);
