//! The store: its protocol and the table behind it, neither of which does I/O, and the service.
//!
//! A client sends requests and receives answers in their order, as many at once as it likes. All
//! numbers are little-endian:
//!
//! ```text
//! request: length of what follows (4 bytes), operation (1), length of the key (2), key, value
//! answer:  length of what follows (4 bytes), status (1), value
//! ```
//!
//! Operations: 1 = get, 2 = put, 3 = delete. A malformed request is answered with
//! [`Status::Malformed`] and ends the connection.

mod protocol;
mod service;
mod table;

pub use protocol::{
    Answer, Frame, KEY_BYTES, Operation, Request, Status, VALUE_BYTES, encode_answer,
    encode_request, next_answer, next_request,
};
pub use service::serve;
pub use table::{TOTAL_BYTES, Table};
