//! Names: looks up the configuration key `name` (example.org). The name servers are those of DHCP or
//! of the manifest.

use sos_sdk::net::lookup_host;
use sos_sdk::{config, info, warn};

fn look_up() {
    let name = config::get("name").unwrap_or_else(|| "example.org".into());
    match lookup_host(&name) {
        Ok(addresses) => info!("{name} has {addresses:?}"),
        Err(error) => warn!("{name}: {error}"),
    }
}

sos_sdk::main!(look_up);
