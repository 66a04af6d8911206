//! The rows of live migration: an instance that goes to and fro between two nodes on one LAN, and a Linux
//! machine that goes from one QEMU to the next, each under the same clients; and a node that is left by all
//! of its instances.
//!
//! All moves are made in the bench's first turn: there are enough of them for medians, and most of their time
//! would go into booting machines again.
//!
//! Both sides serve the same bytes (`guests/holder`, `tools/peer`'s `held`), all of their memory was touched,
//! and clients are connected through the same gateway. What each side's figures include is said beside the
//! functions of [`on_sos`] and [`on_linux`]. Neighbours: `pair` are two nodes and their operators' channels, `story` reads
//! their events, `probe` are the clients that watch.

mod evacuation;
mod on_linux;
mod on_sos;
mod pair;
mod probe;
mod story;
mod timeline;

pub use on_linux::on_linux;
pub use on_sos::on_sos;

use super::statistics::{median, percentile};

/// The rows.
pub const GAP_SMALL: &str = "migrate_gap_1m";
pub const GAP_LARGE: &str = "migrate_gap_64m";
pub const BLACKOUT: &str = "migrate_blackout";
pub const TOTAL: &str = "migrate_total";
pub const BYTES: &str = "migrate_bytes";
pub const HOT: &str = "migrate_hot";
pub const EVACUATE: &str = "evacuate_50";

/// What the large instance holds besides the program's own memory.
const HELD_MIB: u64 = 64;
/// For how long a program that never stops writing may be silent because of its move.
pub const HOT_GAP_MS: u32 = 100;

/// Whether one of `names` is wanted.
fn wants(wanted: &[&str], names: &[&str]) -> bool {
    names.iter().any(|name| wanted.contains(name))
}

fn milliseconds(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Median, 95th percentile and the largest of some milliseconds.
fn spread(values: &[f64]) -> String {
    let at = |percent| percentile(values, percent).unwrap_or_default();
    format!(
        "p50 {:.1} p95 {:.1} max {:.1} ms",
        median(values).unwrap_or_default(),
        at(95.0),
        at(100.0)
    )
}
