//! smoltcp's random numbers, backwards: the seed that makes an interface choose a wanted sequence number.
//!
//! smoltcp 0.14 draws from a 64-bit linear congruential generator with a permuted output (`rand.rs`, after O'Neill,
//! "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms", 2014). Such a generator is
//! invertible. A test pins it: it fails with the first smoltcp that draws otherwise.

/// Multiplier and increment of the generator.
const MULTIPLIER: u64 = 0xBB2E_FCEC_3C39_611D;
const INCREMENT: u64 = 0x7590_EF39;
/// The output is the 32 bits from this one on, in a state whose upper three bits are zero.
const OUTPUT_SHIFT: u32 = 29;

/// The seed of an interface whose first sequence number will be `sequence`.
pub(super) fn seed_for(sequence: u32) -> u64 {
    // The low bits are free. `Interface::new` draws an IP identification first, and draws again for a zero.
    let mut state = u64::from(sequence) << OUTPUT_SHIFT;
    loop {
        let before = step_back(state);
        if identification(before) != 0 {
            return step_back(before);
        }
        state += 1;
    }
}

fn step_back(state: u64) -> u64 {
    state
        .wrapping_sub(INCREMENT)
        .wrapping_mul(inverse(MULTIPLIER))
}

/// The 16-bit output in this state.
fn identification(state: u64) -> u16 {
    let shift = OUTPUT_SHIFT - (state >> 61) as u32;
    let output = (state >> shift) as u32;
    (output ^ output >> 16) as u16
}

/// The inverse of an odd number modulo 2^64: each of Newton's steps doubles the bits that are right.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut bits = 3;
    while bits < 64 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Time;
    use crate::net::fabric::{Fabric, LinkProperties};
    use crate::net::stack::device::Wire;
    use crate::net::stack::header;
    use crate::net::stack::interface::instant;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::net::{IpAddr, Ipv4Addr};
    use smoltcp::iface::{Config, Interface, SocketSet};
    use smoltcp::socket::tcp::{Socket, SocketBuffer};
    use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, IpEndpoint};

    /// The sequence number of the first SYN that an interface with this seed sends. The peer is the broadcast
    /// address, whose station needs no asking for.
    fn first_sequence(seed: u64) -> u32 {
        let mut fabric = Fabric::new();
        let port = fabric.attach_loopback("port", [2; 6]);
        let now = Time::from_nanos(1_000_000);
        let mut wire = Wire {
            fabric: &mut fabric,
            port,
            properties: LinkProperties::PRIVATE,
            now,
            frame: None,
            room: 1,
            hostname: "",
            syn: None,
        };
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress([2; 6])));
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut wire, instant(now));
        let own = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        interface.update_ip_addrs(|list| list.push(IpCidr::new(own.into(), 24)).unwrap());
        let buffer = || SocketBuffer::new(vec![0; 64]);
        let mut set = SocketSet::new(Vec::new());
        let handle = set.add(Socket::new(buffer(), buffer()));
        let socket = set.get_mut::<Socket<'_>>(handle);
        let peer = IpEndpoint::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 255)).into(), 9);
        socket
            .connect(interface.context(), peer, IpEndpoint::new(own.into(), 9))
            .unwrap();
        interface.poll_egress(instant(now), &mut wire, &mut set);
        let frame = fabric.take_received(port).unwrap();
        header::syn_sequence(frame.bytes()).unwrap()
    }

    #[test]
    fn smoltcp_draws_as_this_module_says() {
        let few = [0, 1, 2, 0x7FFF_FFFF, 0x8000_0000, u32::MAX];
        let many = (0..1000u32).map(|number| number.wrapping_mul(0x9E37_79B1));
        for wanted in few.into_iter().chain(many) {
            assert_eq!(
                first_sequence(seed_for(wanted)),
                wanted,
                "smoltcp draws other numbers: adapt this module"
            );
        }
    }
}
