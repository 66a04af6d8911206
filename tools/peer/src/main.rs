//! The peer that serves: NIC, address, services.

use std::io;

use sos_peer::held::Held;
use sos_peer::options::{self, Address};
use sos_peer::{machine, server};

fn main() {
    sos_peer::as_init(serve);
}

fn serve(words: &str) -> io::Result<()> {
    let Address {
        address,
        prefix,
        gateway,
    } = Address::from_command_line(words);
    machine::load_modules("/modules")?;
    let listeners = server::Listeners::bind()?;
    machine::configure_interface("eth0", address, prefix, gateway)?;
    println!("{}", machine::memory_report()?);
    let held = Held::fill(options::held_mebibytes(words));
    server::serve(listeners, held, options::writing(words))
}
