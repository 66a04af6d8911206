//! What both systems have in common: the machine, the path to it, the services and their ports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::lan::{Forward, Lan, LanConfig};
use crate::qemu::NodeBuilder;

/// Memory of the machine.
pub const MEMORY_MIB: u64 = 512;
/// Has QEMU take all of the machine's memory from this host before the machine runs. Otherwise the first touch of each
/// 2 MiB of it stands the machine still until the host has cleared them: 5 ms where the host is itself a
/// guest, which a client cannot tell from a pause of the machine's own.
pub const PREALLOCATED: [&str; 1] = ["-mem-prealloc"];
/// The station address of its network card.
const MAC: &str = "02:53:4f:53:00:02";

/// A service of the bench, on SOS and on the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// `guests/web`.
    Http,
    /// Counts what it receives.
    Sink,
    /// Sends what it is asked for.
    Source,
    /// Sends back what it receives.
    Echo,
}

impl Service {
    /// All of them, in the order of [`Services`].
    pub const ALL: [Service; 4] = [Service::Http, Service::Sink, Service::Source, Service::Echo];

    /// The TCP port that it listens on.
    pub fn port(self) -> u16 {
        match self {
            Service::Http => 80,
            Service::Sink => 9001,
            Service::Source => 9002,
            Service::Echo => 9003,
        }
    }
}

/// Where each service answers on this host, in the order of [`Service::ALL`].
#[derive(Debug, Clone, Copy)]
pub struct Services(pub [SocketAddr; 4]);

impl Services {
    /// Where this one answers.
    pub fn address(&self, service: Service) -> SocketAddr {
        self.0[service as usize]
    }
}

/// A LAN whose gateway forwards to the services at these addresses, in the order of
/// [`Service::ALL`].
pub fn start_lan(addresses: [IpAddr; 4]) -> Result<(Lan, Services)> {
    let forwards = Service::ALL
        .map(|service| Forward::to_address(addresses[service as usize], service.port()));
    // Attempts that come before the machine answers are part of the measurement and no news.
    let log = Arc::new(|_: &str| {});
    let lan = Lan::start(LanConfig {
        forwards: forwards.to_vec(),
        log,
        ..LanConfig::default()
    })?;
    let host = |index| SocketAddr::from((Ipv4Addr::LOCALHOST, lan.forward_port(index)));
    let services = Services(std::array::from_fn(host));
    Ok((lan, services))
}

/// The machine that both systems boot on: a kernel and its boot module.
pub fn machine(kernel: &Path, module: &Path) -> NodeBuilder {
    NodeBuilder::new(kernel)
        .image(module)
        .memory_mib(MEMORY_MIB)
        .arguments(["-no-reboot"])
}

/// QEMU's arguments for its network card.
pub fn nic(lan: &Lan) -> Vec<String> {
    lan.qemu_netdev_args("net0", MAC)
}

/// The number that follows `label` in a text.
pub fn number_after(text: &str, label: &str) -> Option<u64> {
    let rest = text[text.find(label)? + label.len()..].trim_start();
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number_after;

    #[test]
    fn numbers_are_read_by_their_label() {
        let line = "total 481296 KiB free 451592 KiB \"start_nanos\": 700";
        assert_eq!(number_after(line, "free "), Some(451_592));
        assert_eq!(number_after(line, "\"start_nanos\":"), Some(700));
        assert_eq!(number_after(line, "missing "), None);
    }
}
