//! Live migration: a running instance goes from one node to another, and never runs on both
//! (`kernel/MIGRATION.md`, D6).
//!
//! [`Migrations`] is one node's part in all hand-overs: it takes messages, connections, the operator's
//! wishes, the driver's reports and the time, and gives [`Effect`]s. It holds no page, opens no
//! connection and starts no instance: the driver does, and reports. Sans-I/O, so that a test enumerates
//! every fault at every step.
//!
//! - `names`: what hand-overs, nodes and boots are called; - `message`: the protocol's messages;
//! - `source` and `target`: the two state machines; - `convergence`: when to stop the instance, and how
//!   to slow a writer that outruns the link; - `ledger`: what is remembered of hand-overs that are over;
//! - `untold`: connecting with those that do not know that an attempt is void; - `migrations` and `dispatch`: what puts them together; - `order`: what operators say and see; - `effect`: what the driver is asked to do, and what it
//!   reports; - `group`: instances that go together; - `error`: reasons, doubts and refusals; - `timing`: how long each step may take;
//! - `transfer`: an instance's pages and states as messages, and back.

mod context;
mod convergence;
mod dispatch;
mod effect;
mod error;
mod group;
mod ledger;
mod message;
mod migrations;
mod names;
mod order;
mod source;
mod target;
mod timing;
mod transfer;
mod untold;

pub use crate::snapshot::format::TakeError as TransferError;
pub use convergence::{Convergence, Decision, FULL_SHARE_PPM, Goals};
pub use effect::{Done, Effect, Outcome};
pub use error::{Doubt, MigrateError, Reason, Violation};
pub use group::GroupId;
pub use ledger::{Ledger, Role, Verdict};
pub use message::{
    Delivery, MAGIC, Message, NetworkKind, ORIGINS_VERSION, Offer, PortNetwork, VERSIONS, Versions,
};
pub use migrations::Migrations;
pub use names::{BootId, HandoverId, InstanceId, NodeId};
pub use order::{Answer, ConnectionId, Mode, Order, Row, Stage};
pub use source::Progress;
pub use transfer::{Incoming, Next, Outgoing};
