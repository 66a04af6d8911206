//! The rows of snapshots: an instance of 64 MiB on SOS, and a machine with a process of 64 MiB that QEMU
//! saves to a file and loads again.
//!
//! Both serve the same bytes (`guests/holder`, `tools/peer`'s `held`), all of their memory was touched, and
//! clients are connected over the same LAN and gateway. What each side's figures include is said beside
//! the functions of [`on_sos`] and [`saved_linux`]. Neighbours: `clients` are those who wait, `qmp` speaks
//! to the QEMU of the peer.

mod clients;
mod on_sos;
pub mod qmp;
mod saved_linux;

pub use on_sos::on_sos;
pub use saved_linux::on_linux;

/// The rows.
pub const PAUSE: &str = "snapshot_pause";
pub const SAVE: &str = "snapshot_save";
pub const EXPORT: &str = "snapshot_export";
pub const RESTORE: &str = "restore_http";
pub const RESTORE_SMALL: &str = "restore_small";
pub const CLONE_FIRST: &str = "clone_first";
pub const CLONE_MANY: &str = "clone_200";
pub const CLONE_BYTES: &str = "clone_bytes";
pub const SIZE: &str = "snapshot_size";

/// What is held besides the program's own memory.
const HELD_MIB: u64 = 64;

/// Whether one of `names` is wanted.
fn wants(wanted: &[&str], names: &[&str]) -> bool {
    names.iter().any(|name| wanted.contains(name))
}

fn milliseconds(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
