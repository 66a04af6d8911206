//! The rows of live migration: an instance that goes to and fro between two nodes on one LAN, and a Linux
//! machine that goes from one QEMU to the next, each under the same clients.
//!
//! Both sides serve the same bytes (`guests/holder`, `tools/peer`'s `held`), all of their memory was touched,
//! and clients are connected through the same gateway. What each side's figures include is said beside the
//! functions of [`on_sos`]. Neighbours: `pair` are two nodes and their operators' channels, `story` reads
//! their events, `probe` are the clients that watch.

mod on_sos;
mod pair;
mod probe;
mod story;

pub use on_sos::on_sos;

/// The rows.
pub const GAP_SMALL: &str = "migrate_gap_1m";
pub const GAP_LARGE: &str = "migrate_gap_64m";
pub const BLACKOUT: &str = "migrate_blackout";

/// Moves of all turns together.
const MOVES: u32 = 30;

/// Moves of one turn, of so many.
fn share_of(moves: u32, runs: u32) -> usize {
    moves.div_ceil(runs.max(1)) as usize
}

/// Whether one of `names` is wanted.
fn wants(wanted: &[&str], names: &[&str]) -> bool {
    names.iter().any(|name| wanted.contains(name))
}

fn milliseconds(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::share_of;

    #[test]
    fn all_turns_together_have_the_moves() {
        assert_eq!(share_of(30, 1), 30);
        assert_eq!(share_of(30, 3), 10);
        assert_eq!(share_of(30, 7), 5);
    }
}
