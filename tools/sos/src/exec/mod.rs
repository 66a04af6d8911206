//! `sos exec`: one program on a node, as if it were run here.
//!
//! [`Job`] is the program and what it is given, [`nodes`] boots a node and [`keep`] finds one that stays,
//! [`Client`] speaks to it, [`run`] carries the program's streams to its end, `files_in` and `files_out` copy directories.

mod client;
mod files_in;
mod files_out;
mod job;
pub mod keep;
pub mod nodes;
mod run;
mod signals;

pub use client::{Client, Event};
pub use job::{Job, Shared, SharedDirectory, Unusable};
pub use run::{Feed, Outcome, open_input, run};
pub use signals::Signals;
