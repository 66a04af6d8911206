//! A guest for the tests: smoltcp on a tap, in a thread of its own, with one TCP service.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::{dhcpv4, tcp};
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{
    ArpPacket, ArpRepr, DhcpOption, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    HardwareAddress, IpCidr, IpEndpoint,
};

use crate::lan::{Lan, Tap};

const BUFFER_BYTES: usize = 512 * 1024;

/// What the guest's service does with a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Sends back what comes, and ends when the client has ended.
    Echo,
    /// Reads and counts; at the client's end it answers the count, 8 bytes, and ends.
    Count,
    /// Sends this many bytes of [`pattern`] and ends.
    Send(usize),
    /// Connects to the gateway's port, sends "hello", and echoes what comes.
    Call(u16),
}

/// Byte number `index` of the test data.
pub(super) fn pattern(index: usize) -> u8 {
    (index ^ (index >> 8).wrapping_mul(31) ^ (index >> 16).wrapping_mul(131)) as u8
}

pub(super) enum Address {
    Static(Ipv4Addr),
    Dhcp(&'static str),
}

pub(super) struct GuestConfig {
    pub(super) mac: EthernetAddress,
    pub(super) address: Address,
    pub(super) port: u16,
    pub(super) listeners: usize,
    pub(super) mtu: usize,
    pub(super) role: Role,
}

impl GuestConfig {
    pub(super) fn new(role: Role) -> Self {
        Self {
            mac: EthernetAddress([2, 0, 0, 0, 0, 1]),
            address: Address::Static(Ipv4Addr::new(10, 0, 2, 9)),
            port: 80,
            listeners: 8,
            mtu: 1500,
            role,
        }
    }
}

/// A running guest; dropping it pulls its plug without a word.
pub(super) struct Guest {
    stop: Arc<AtomicBool>,
    moves: Sender<Tap>,
    thread: Option<JoinHandle<()>>,
}

impl Guest {
    pub(super) fn start(lan: &Lan, config: GuestConfig) -> Self {
        Self::start_at(lan.tap().unwrap(), config)
    }

    /// Starts a guest that is plugged in by `tap`.
    pub(super) fn start_at(tap: Tap, config: GuestConfig) -> Self {
        let tap = tap.with_mtu(config.mtu);
        let (moves, arrivals) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread =
            std::thread::spawn(move || Running::new(tap, &config).run(&stopped, &arrivals));
        Self {
            stop,
            moves,
            thread: Some(thread),
        }
    }
}

impl Guest {
    /// Plugs the guest in elsewhere with all that it is, as a migration does; it announces itself there.
    pub(super) fn move_to(&self, tap: Tap) {
        self.moves.send(tap).unwrap();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

struct Served {
    handle: SocketHandle,
    count: usize,
    greeted: bool,
}

struct Running {
    tap: Tap,
    interface: Interface,
    sockets: SocketSet<'static>,
    served: Vec<Served>,
    dhcp: Option<SocketHandle>,
    start: Instant,
    port: u16,
    role: Role,
}

impl Running {
    fn new(mut tap: Tap, config: &GuestConfig) -> Self {
        let mut settings = Config::new(HardwareAddress::Ethernet(config.mac));
        settings.random_seed = 7;
        let mut interface = Interface::new(settings, &mut tap, StackInstant::ZERO);
        let mut sockets = SocketSet::new(Vec::new());
        let dhcp = match config.address {
            Address::Static(address) => {
                set_address(&mut interface, IpCidr::new(address.into(), 24));
                None
            }
            Address::Dhcp(name) => {
                let mut socket = dhcpv4::Socket::new();
                let option = DhcpOption {
                    kind: 12,
                    data: name.as_bytes(),
                };
                socket.set_outgoing_options(Vec::leak(vec![option]));
                Some(sockets.add(socket))
            }
        };
        let served = (0..config.listeners)
            .map(|_| {
                let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER_BYTES]);
                let mut socket = tcp::Socket::new(buffer(), buffer());
                socket.set_nagle_enabled(false);
                socket.set_ack_delay(None);
                Served {
                    handle: sockets.add(socket),
                    count: 0,
                    greeted: false,
                }
            })
            .collect();
        let (port, role) = (config.port, config.role);
        Self {
            tap,
            interface,
            sockets,
            served,
            dhcp,
            start: Instant::now(),
            port,
            role,
        }
    }

    fn run(mut self, stop: &AtomicBool, moves: &Receiver<Tap>) {
        while !stop.load(Ordering::Relaxed) {
            if let Ok(tap) = moves.try_recv() {
                self.tap = tap;
                self.announce();
            }
            let now = StackInstant::from_micros(self.start.elapsed().as_micros() as i64);
            self.interface.poll(now, &mut self.tap, &mut self.sockets);
            self.take_lease();
            for index in 0..self.served.len() {
                self.serve(index);
            }
            self.interface.poll(now, &mut self.tap, &mut self.sockets);
            self.tap.flush().unwrap();
            let delay = self.interface.poll_delay(now, &self.sockets);
            let delay = delay.map_or(Duration::from_millis(20), |delay| {
                Duration::from_micros(delay.total_micros()).min(Duration::from_millis(20))
            });
            if !delay.is_zero() {
                self.tap.wait(delay).unwrap();
            }
        }
    }

    /// Says to all where it is now: gratuitous ARP (RFC 5227, section 3).
    fn announce(&mut self) {
        let HardwareAddress::Ethernet(mac) = self.interface.hardware_addr() else {
            return;
        };
        let address = self.interface.ipv4_addr().unwrap();
        let arp = ArpRepr::EthernetIpv4 {
            operation: smoltcp::wire::ArpOperation::Request,
            source_hardware_addr: mac,
            source_protocol_addr: address,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: address,
        };
        let ethernet = EthernetRepr {
            src_addr: mac,
            dst_addr: EthernetAddress::BROADCAST,
            ethertype: EthernetProtocol::Arp,
        };
        let mut bytes = vec![0; ethernet.buffer_len() + arp.buffer_len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        ethernet.emit(&mut frame);
        arp.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
        self.tap.send(&bytes).unwrap();
    }

    fn take_lease(&mut self) {
        let Some(handle) = self.dhcp else { return };
        let event = self.sockets.get_mut::<dhcpv4::Socket>(handle).poll();
        if let Some(dhcpv4::Event::Configured(config)) = event {
            set_address(&mut self.interface, IpCidr::Ipv4(config.address));
        }
    }

    fn serve(&mut self, index: usize) {
        let served = &mut self.served[index];
        let socket = self.sockets.get_mut::<tcp::Socket>(served.handle);
        if !socket.is_open() {
            served.count = 0;
            match self.role {
                Role::Call(port) => {
                    if !served.greeted && self.interface.ipv4_addr().is_some() {
                        served.greeted = true;
                        let gateway = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2));
                        let remote = IpEndpoint::new(gateway.into(), port);
                        socket
                            .connect(self.interface.context(), remote, 50_000)
                            .unwrap();
                        return;
                    }
                }
                Role::Echo | Role::Count | Role::Send(_) => socket.listen(self.port).unwrap(),
            }
            return;
        }
        match self.role {
            Role::Echo => echo(socket),
            Role::Count => count(socket, &mut served.count),
            Role::Send(total) => send(socket, &mut served.count, total),
            Role::Call(_) => {
                if served.count == 0 && socket.can_send() {
                    served.count = socket.send_slice(b"hello").unwrap();
                }
                echo(socket);
            }
        }
    }
}

fn set_address(interface: &mut Interface, address: IpCidr) {
    interface.update_ip_addrs(|addresses| {
        addresses.clear();
        addresses.push(address).unwrap();
    });
}

fn echo(socket: &mut tcp::Socket<'_>) {
    while socket.can_recv() && socket.send_queue() < socket.send_capacity() && socket.may_send() {
        let room = socket.send_capacity() - socket.send_queue();
        let bytes = socket
            .recv(|bytes| {
                let count = bytes.len().min(room);
                (count, bytes[..count].to_vec())
            })
            .unwrap();
        assert_eq!(socket.send_slice(&bytes).unwrap(), bytes.len());
    }
    if socket.state() == tcp::State::CloseWait && socket.recv_queue() == 0 {
        socket.close();
    }
}

fn count(socket: &mut tcp::Socket<'_>, count: &mut usize) {
    while socket.can_recv() {
        let from = *count;
        *count += socket
            .recv(|bytes| {
                let right = bytes
                    .iter()
                    .enumerate()
                    .all(|(i, b)| *b == pattern(from + i));
                assert!(right, "wrong bytes after {from}");
                (bytes.len(), bytes.len())
            })
            .unwrap();
    }
    if socket.state() == tcp::State::CloseWait && socket.recv_queue() == 0 {
        socket.send_slice(&(*count as u64).to_be_bytes()).unwrap();
        socket.close();
    }
}

fn send(socket: &mut tcp::Socket<'_>, sent: &mut usize, total: usize) {
    while socket.can_send() && *sent < total {
        let from = *sent;
        *sent += socket
            .send(|room| {
                let count = room.len().min(total - from);
                for (i, byte) in room[..count].iter_mut().enumerate() {
                    *byte = pattern(from + i);
                }
                (count, count)
            })
            .unwrap();
    }
    if *sent == total && socket.state() != tcp::State::Listen {
        socket.close();
    }
}
