//! The Linux that SOS is measured against: process 1 of a machine that has nothing else.
//!
//! `sos bench` packs one of two programs as `/init` of a small initramfs beside a distribution's
//! kernel. `sos-peer` loads the NIC's modules, sets the address, and serves the same bytes as SOS's
//! guests with one thread and epoll: the peer has to be a good program, or the ratios would say
//! nothing. `sos-peer-compute` runs modules in the same wasmi as SOS, and other programs, of which
//! `sos-peer-spec` runs the specification's suite in the kernel's own runner; they are programs of their
//! own so that the server carries no engine. What they do is chosen on the kernel's command line
//! ([`options`]).
//!
//! Neighbours: `tools/sos/src/bench/linux.rs` builds the initramfs and starts the machine;
//! [`http`] mirrors `guests/web`, [`stream`] mirrors `guests/bench`, [`held`] mirrors `guests/holder`.

pub mod compute;
pub mod held;
pub mod http;
pub mod machine;
pub mod options;
pub mod server;
pub mod stream;

/// Runs `work` as process 1: says why it failed, then ends the machine.
///
/// Process 1 must not return: the kernel would panic and hide what was said.
pub fn as_init(work: impl FnOnce(&str) -> std::io::Result<()>) {
    let outcome = machine::mount_pseudo_filesystems()
        .and_then(|()| std::fs::read_to_string("/proc/cmdline"))
        .and_then(|words| work(&words));
    if let Err(error) = outcome {
        println!("peer: failed: {error}");
    }
    machine::power_off();
}
