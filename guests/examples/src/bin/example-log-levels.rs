//! Log levels, which `logs NAME` shows beside each line.

use sos_sdk::log::{self, Level};
use sos_sdk::{debug, error, info, warn};

fn start() {
    error!("the service cannot do what it was asked to do");
    warn!("something is odd, but the service goes on");
    info!("what an operator wants to see");
    debug!("what a developer wants to see");
    let level = Level::Information;
    log::write(
        level,
        format_args!("a level that is a value\nand two lines"),
    );
}

sos_sdk::main!(start);
