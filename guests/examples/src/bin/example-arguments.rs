//! Arguments: `arguments = ["one", "two"]` in the manifest. The status is that of the function.

use sos_sdk::{args, info, warn};

fn start() -> i32 {
    let arguments = args();
    let [first, rest @ ..] = &arguments[..] else {
        warn!("no argument: give at least one");
        return 2;
    };
    info!("the first is {first}, then come {}", rest.len());
    0
}

sos_sdk::main!(start);
