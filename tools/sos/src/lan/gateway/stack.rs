//! One TCP connection's end inside the LAN: a smoltcp interface that holds this one socket.
//!
//! smoltcp offers each packet to every socket of an interface, which costs in proportion to the
//! connections; here the gateway finds the connection by its addresses, and the stack sees only its
//! own packets. It speaks bare IP: the Ethernet header is put on by [`Exit`], so that a connection
//! follows its peer to another station without noticing.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use smoltcp::iface::{
    Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet,
};
use smoltcp::phy::{
    Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken,
};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration as StackDuration, Instant as StackInstant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint};

use super::emit::ETHERNET_HEADER_BYTES;
use crate::lan::config::Subnet;
use crate::lan::fabric::{Fabric, Origin};

/// Bytes that a connection buffers in each direction, which is also its largest window. Memory is
/// taken as it is touched: the ring starts over at its beginning whenever it runs empty.
const BUFFER_BYTES: usize = 512 * 1024;
/// Questions to a silent peer before it counts as gone.
const KEEP_ALIVES: u32 = 4;

/// What all stacks have in common.
#[derive(Clone, Copy)]
pub(super) struct StackSettings {
    pub(super) subnet: Subnet,
    pub(super) mtu: usize,
    pub(super) silence: Duration,
    /// The instant that the stacks' clocks start from.
    pub(super) start: Instant,
}

/// A TCP socket with an interface of its own. Kept for the next connection when one ends, because
/// its buffers are expensive to clear.
pub(super) struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    settings: StackSettings,
}

/// The way out of a stack: where its packets go as frames.
pub(super) struct Exit<'a> {
    pub(super) fabric: &'a mut Fabric,
    pub(super) scratch: &'a mut [u8],
    pub(super) from: EthernetAddress,
    pub(super) to: EthernetAddress,
    pub(super) now: Instant,
}

/// How far sending came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Egress {
    /// Everything that may be sent is sent; there is nothing to do until this instant.
    Until(Option<Instant>),
    /// The port towards the peer has no room.
    Blocked,
}

impl Stack {
    pub(super) fn new(settings: StackSettings, random_seed: u64) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = random_seed;
        let mut device = Capabilities { mtu: settings.mtu };
        let mut interface = Interface::new(config, &mut device, StackInstant::ZERO);
        interface.update_ip_addrs(|addresses| {
            let v4 = IpAddress::Ipv4(settings.subnet.gateway);
            let v6 = IpAddress::Ipv6(settings.subnet.gateway_v6);
            // The interface's list holds two addresses at the least.
            let _ = addresses.push(IpCidr::new(v4, settings.subnet.prefix_len));
            let _ = addresses.push(IpCidr::new(v6, 64));
        });
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER_BYTES]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        socket.set_timeout(Some(stack_duration(settings.silence)));
        socket.set_keep_alive(Some(stack_duration(settings.silence / KEEP_ALIVES)));
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Self {
            interface,
            sockets,
            handle,
            settings,
        }
    }

    pub(super) fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Starts a connection to a service.
    pub(super) fn connect(
        &mut self,
        remote: (IpAddr, u16),
        local_port: u16,
    ) -> Result<(), tcp::ConnectError> {
        let local = IpEndpoint::new(
            self.settings.subnet.gateway_for(remote.0).into(),
            local_port,
        );
        let socket = self.sockets.get_mut::<tcp::Socket>(self.handle);
        let remote = IpEndpoint::new(remote.0.into(), remote.1);
        socket.connect(self.interface.context(), remote, local)
    }

    /// Waits for the connection request that follows as the first packet.
    pub(super) fn listen(&mut self, local: (IpAddr, u16)) -> Result<(), tcp::ListenError> {
        self.socket()
            .listen(IpEndpoint::new(local.0.into(), local.1))
    }

    /// Takes an IP packet of this connection.
    pub(super) fn input(&mut self, packet: &[u8], exit: &mut Exit<'_>) {
        let now = self.time(exit.now);
        let mut device = PacketDevice {
            packet: Some(packet),
            exit,
            mtu: self.settings.mtu,
        };
        let _: PollIngressSingleResult =
            self.interface
                .poll_ingress_single(now, &mut device, &mut self.sockets);
    }

    /// Sends what may be sent.
    pub(super) fn output(&mut self, exit: &mut Exit<'_>) -> Egress {
        let now = self.time(exit.now);
        let instant = exit.now;
        loop {
            if !exit.has_room() {
                return Egress::Blocked;
            }
            let mut device = PacketDevice {
                packet: None,
                exit,
                mtu: self.settings.mtu,
            };
            match self
                .interface
                .poll_egress(now, &mut device, &mut self.sockets)
            {
                PollResult::SocketStateChanged => {}
                PollResult::None => break,
            }
        }
        let due = self.interface.poll_at(now, &self.sockets);
        Egress::Until(due.map(|due| instant + Duration::from_micros((due - now).total_micros())))
    }

    fn time(&self, now: Instant) -> StackInstant {
        let elapsed = now.saturating_duration_since(self.settings.start);
        StackInstant::from_micros(elapsed.as_micros() as i64)
    }
}

fn stack_duration(duration: Duration) -> StackDuration {
    StackDuration::from_micros(duration.as_micros() as u64)
}

impl Exit<'_> {
    fn has_room(&self) -> bool {
        self.fabric.has_room_towards(self.to, self.now)
    }

    fn send<R>(&mut self, packet_bytes: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let frame = &mut self.scratch[..ETHERNET_HEADER_BYTES + packet_bytes];
        let result = fill(&mut frame[ETHERNET_HEADER_BYTES..]);
        frame[..6].copy_from_slice(self.to.as_bytes());
        frame[6..12].copy_from_slice(self.from.as_bytes());
        let is_v6 = frame[ETHERNET_HEADER_BYTES] >> 4 == 6;
        let ethertype: u16 = if is_v6 { 0x86dd } else { 0x0800 };
        frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
        self.fabric.submit(Origin::Gateway, frame, self.now);
        result
    }
}

fn capabilities(mtu: usize) -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ip;
    capabilities.max_transmission_unit = mtu;
    capabilities.checksum = ChecksumCapabilities::default();
    // Received segments are verified, and counted if wrong, before they come here.
    capabilities.checksum.tcp = Checksum::Tx;
    capabilities
}

/// A device for one packet in, any number out.
struct PacketDevice<'p, 'x, 'e> {
    packet: Option<&'p [u8]>,
    exit: &'x mut Exit<'e>,
    mtu: usize,
}

struct PacketIn<'p>(&'p [u8]);
struct PacketOut<'x, 'e>(&'x mut Exit<'e>);

impl<'p, 'e> Device for PacketDevice<'p, '_, 'e> {
    type RxToken<'t>
        = PacketIn<'p>
    where
        Self: 't;
    type TxToken<'t>
        = PacketOut<'t, 'e>
    where
        Self: 't;

    fn receive(&mut self, _: StackInstant) -> Option<(PacketIn<'p>, PacketOut<'_, 'e>)> {
        Some((PacketIn(self.packet.take()?), PacketOut(self.exit)))
    }

    fn transmit(&mut self, _: StackInstant) -> Option<PacketOut<'_, 'e>> {
        Some(PacketOut(self.exit))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.mtu)
    }
}

impl RxToken for PacketIn<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for PacketOut<'_, '_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.0.send(len, f)
    }
}

/// What an interface asks about while it is made; it sends nothing.
struct Capabilities {
    mtu: usize,
}

struct NoPacket;

impl Device for Capabilities {
    type RxToken<'t> = NoPacket;
    type TxToken<'t> = NoPacket;

    fn receive(&mut self, _: StackInstant) -> Option<(NoPacket, NoPacket)> {
        None
    }

    fn transmit(&mut self, _: StackInstant) -> Option<NoPacket> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.mtu)
    }
}

impl RxToken for NoPacket {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&[])
    }
}

impl TxToken for NoPacket {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        f(&mut vec![0; len])
    }
}
