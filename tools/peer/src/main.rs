//! The Linux that SOS is measured against: process 1 of a machine that has nothing else.
//!
//! `sos bench` packs this program as `/init` of a small initramfs beside a distribution's kernel. It
//! loads the NIC's modules, sets the address, and serves the same bytes as SOS's guests with one
//! thread and epoll: the peer has to be a good program, or the ratios would say nothing. What it
//! does is chosen on the kernel's command line (see [`options::Options`]).
//!
//! Neighbours: `tools/sos/src/bench/linux.rs` builds the initramfs and starts the machine;
//! [`http`] mirrors `guests/web`, [`stream`] mirrors `guests/bench`.

mod http;
mod machine;
mod options;
mod server;
mod stream;

use std::io;

use options::{Mode, Options};

fn main() {
    let outcome = boot();
    if let Err(error) = outcome {
        println!("peer: failed: {error}");
    }
    // Process 1 must not return: the kernel would panic and hide the line above.
    machine::power_off();
}

/// The life of the machine after the kernel: mounts, NIC, then the asked work.
fn boot() -> io::Result<()> {
    machine::mount_pseudo_filesystems()?;
    let options = Options::from_command_line(&std::fs::read_to_string("/proc/cmdline")?);
    match options.mode {
        Mode::Serve => {
            machine::load_modules("/modules")?;
            let listeners = server::Listeners::bind()?;
            machine::configure_interface("eth0", options.address, options.prefix, options.gateway)?;
            println!("{}", machine::memory_report()?);
            server::serve(listeners)
        }
    }
}
