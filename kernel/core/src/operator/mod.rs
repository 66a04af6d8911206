//! The operator's protocol: what a program outside a node says to it over a byte channel.
//!
//! The channel may be a serial port of a machine or a connection of the network: only bytes in order
//! are asked of it. `frame` cuts them into frames and puts large things together again, `message` is
//! what the frames say. Both ends use this module; the node's side of the conversation is
//! `kernel/operator`, the other is the tool's (`exec`).
//!
//! The node speaks first ([`ToOperator::Greeting`]), the operator answers with [`ToNode::Hello`], and then
//! asks: each request has a number of the operator's choice, under which everything that belongs to
//! it comes and goes. What breaks the protocol ends the conversation ([`Violation`]); what merely cannot
//! be done is refused ([`Refusal`]) and the conversation goes on.

mod error;
mod frame;
mod message;

#[cfg(test)]
mod tests;

pub use error::{Refusal, Violation};
pub use frame::{FrameReader, append_data_frame, append_frame, decode, encode};
pub use message::{
    Bytes, Change, Contents, Ended, Launch, MAGIC, Packing, RunEnd, StandardInput, ToNode,
    ToOperator, Usage, VERSION,
};
