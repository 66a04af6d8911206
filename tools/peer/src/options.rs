//! What the peer is asked to do, as `peer.KEY=VALUE` words of the kernel's command line.

use std::net::Ipv4Addr;

/// What this boot is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Serve HTTP, sink, source and echo until the machine is ended.
    Serve,
}

/// The parsed words; unknown ones belong to the kernel and are left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What to do.
    pub mode: Mode,
    /// The static address of `eth0`.
    pub address: Ipv4Addr,
    /// Its prefix length.
    pub prefix: u8,
    /// The default route, if any.
    pub gateway: Option<Ipv4Addr>,
}

impl Options {
    /// Reads the words; what is absent or unreadable keeps the user-network defaults of QEMU.
    pub fn from_command_line(line: &str) -> Options {
        let mut options = Options {
            mode: Mode::Serve,
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix: 24,
            gateway: None,
        };
        for word in line.split_ascii_whitespace() {
            let Some((key, value)) = word.strip_prefix("peer.").and_then(|w| w.split_once('='))
            else {
                continue;
            };
            match key {
                "address" => options.address = value.parse().unwrap_or(options.address),
                "prefix" => options.prefix = value.parse().unwrap_or(options.prefix).min(32),
                "gateway" => options.gateway = value.parse().ok(),
                _ => {}
            }
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_peer_are_read_among_those_of_the_kernel() {
        let options = Options::from_command_line(
            "console=ttyS0 quiet peer.address=10.77.0.9 peer.prefix=16 peer.gateway=10.77.0.1 x=y\n",
        );
        assert_eq!(options.address, Ipv4Addr::new(10, 77, 0, 9));
        assert_eq!(options.prefix, 16);
        assert_eq!(options.gateway, Some(Ipv4Addr::new(10, 77, 0, 1)));
    }

    #[test]
    fn unreadable_words_keep_the_defaults() {
        let options =
            Options::from_command_line("peer.address=300.1.1.1 peer.prefix=99 peer.gateway=x");
        assert_eq!(options.address, Ipv4Addr::new(10, 0, 2, 15));
        assert_eq!(options.prefix, 32);
        assert_eq!(options.gateway, None);
    }
}
