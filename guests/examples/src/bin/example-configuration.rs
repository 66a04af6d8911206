//! Configuration: what stands under `[instance.NAME.config]` in the manifest.

use sos_sdk::{config, info};

fn start() {
    for key in config::keys() {
        info!("{key} = {}", config::get(&key).unwrap_or_default());
    }
    // A value that is no number is logged, and counts as absent.
    let limit: u32 = config::parse("limit").unwrap_or(10);
    info!("the limit is {limit}");
}

sos_sdk::main!(start);
