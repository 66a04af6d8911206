//! Real boots: a node in QEMU with its LAN, driven over the serial console and from outside.
//!
//! [`Boot`] says what to start, [`TestNode`] is the running node with its shell, [`TestNodes`] are several on
//! one LAN, [`http`] is a
//! client that shares no code with the service, [`linux`] is Linux's own TCP as the peer, [`Monitor`] speaks to QEMU
//! itself.

pub mod http;
pub mod linux;
mod manifests;
mod monitor;
mod node;
mod nodes;

pub use manifests::{Manifest, demo};
pub use monitor::Monitor;
pub use node::{Boot, Nic, TestNode, kernel, other_kernel};
pub use nodes::{BootNodes, TestNodes};

use std::time::{Duration, Instant};

/// How long a test waits for what must come: generous, as nothing here is a measurement.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a node of a test may live.
const WATCHDOG: Duration = Duration::from_secs(240);
/// Between two looks at something that is not there yet.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Looks until `attempt` gives something.
///
/// # Panics
/// When it gives nothing within [`PATIENCE`], with what it said last.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(reason) if Instant::now() >= deadline => panic!("{what}: {reason}"),
            Err(_) => std::thread::sleep(POLL_INTERVAL),
        }
    }
}

/// CPU time of a process, user and system (proc(5), fields 14 and 15 of stat).
///
/// # Panics
/// When there is no such process.
pub fn cpu_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("stat");
    // The name before may hold blanks; it ends with the last parenthesis.
    let rest = stat.rsplit_once(") ").expect("a name").1;
    let mut fields = rest.split(' ').skip(11);
    let mut ticks = || -> u64 { fields.next().expect("a field").parse().expect("ticks") };
    // USER_HZ is 100 on every Linux.
    Duration::from_millis((ticks() + ticks()) * 10)
}
