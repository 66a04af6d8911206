//! Who the instance is and where it runs.

use sos_sdk::{identity, info};

fn start() {
    info!("{} on {}", identity::instance_name(), identity::node_name());
}

sos_sdk::main!(start);
