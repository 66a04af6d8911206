//! Tests of the whole LAN, through its sockets.

mod cables;
mod ethernet;
mod forwarding;
mod guest;
mod services;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Lan, LanConfig};

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A log that tests can read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn holds(&self, text: &str) -> bool {
        self.0
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains(text))
    }
}

fn start(config: LanConfig) -> (Lan, Log) {
    let log = Log::default();
    let lines = log.clone();
    let sink = Arc::new(move |line: &str| lines.0.lock().unwrap().push(line.to_owned()));
    (
        Lan::start(LanConfig {
            log: sink,
            ..config
        })
        .unwrap(),
        log,
    )
}

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
