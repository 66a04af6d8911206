//! The smallest service: greets on log and console, then ends.

use sos_sdk::{identity, info, println};

fn hello() {
    let name = identity::instance_name();
    info!("hello from {name}");
    println!("hello from {name} on {}", identity::node_name());
}

sos_sdk::main!(hello);
