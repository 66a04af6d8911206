//! Timers: a clock that ticks beside a task that is given up in time.

use sos_sdk::info;
use sos_sdk::task::{block_on, join, sleep_until, timeout};
use sos_sdk::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_millis(100);

/// Ticks in equal steps, however long a tick takes.
async fn tick() {
    let mut next = Instant::now();
    for number in 1..=3 {
        next = next + PERIOD;
        sleep_until(next).await;
        info!("tick {number}");
    }
}

/// Gives up work that takes too long.
async fn work() {
    let endless = std::future::pending::<()>();
    if let Err(elapsed) = timeout(Duration::from_millis(250), endless).await {
        info!("the work is given up: {elapsed}");
    }
}

fn start() {
    block_on(join(tick(), work()));
}

sos_sdk::main!(start);
