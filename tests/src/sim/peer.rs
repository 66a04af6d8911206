//! Peers: machines outside, which are nothing but a TCP/IP stack on the cluster's wire.
//!
//! [`Peer`] is the machine. The calls that a test makes ([`Cluster::connect`] and below) look as if
//! they blocked: they run the whole cluster until the peer has its answer.

use super::cluster::Cluster;
use sos_core::machine::{Duration, Time};
use sos_core::net::fabric::{Fabric, PortId};
use sos_core::net::stack::{
    AddressSpec, InterfaceConfig, NetError, Shutdown, SocketId, Stack, StackLimits,
};
use std::net::{IpAddr, SocketAddr};

/// Simulated time that a call of a peer waits for, before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// The switch by which the peer's stack is joined to the wire.
const SWITCH: &str = "wire";
/// The peer's only NIC.
const NIC: usize = 0;

/// A machine on the wire.
pub struct Peer {
    fabric: Fabric,
    stack: Stack,
    port: PortId,
    /// When the stack wants to be polled.
    due: Option<Time>,
    /// Reused.
    ready: Vec<PortId>,
}

impl Peer {
    pub(super) fn new(address: IpAddr, prefix_length: u8, number: u8, now: Time) -> Peer {
        let mac = [0x02, 0x50, 0x45, 0x45, 0x52, number];
        let mut fabric = Fabric::new();
        let segment = fabric.add_switch(SWITCH, Some(NIC)).expect("a new fabric");
        let port = fabric.attach(segment, "peer", mac).expect("a new switch");
        let mut stack = Stack::new(StackLimits::default(), u64::from(number));
        let config = InterfaceConfig {
            name: "eth0".into(),
            port,
            mac,
            properties: fabric.properties(port),
            addresses: vec![AddressSpec::Static {
                address,
                prefix_length,
            }],
            gateway: Vec::new(),
            dns: Vec::new(),
            hostname: String::new(),
        };
        stack.add_interface(config, now).expect("a sound interface");
        Peer {
            fabric,
            stack,
            port,
            due: Some(now),
            ready: Vec::new(),
        }
    }

    /// When it wants a turn.
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }

    /// A frame arrives from the wire.
    pub(super) fn arrive(&mut self, frame: &[u8], now: Time) {
        self.fabric.receive_from_uplink(NIC, frame, now);
        self.due = Some(now);
    }

    /// Lets the stack work: returns the frames that it sends.
    pub(super) fn turn(&mut self, now: Time) -> Vec<Vec<u8>> {
        self.stack.poll(now, &mut self.fabric);
        self.ready.clear();
        self.fabric.take_ready_ports(&mut self.ready);
        let mut frames = Vec::new();
        while let Some(frame) = self.fabric.next_uplink_frame(NIC) {
            frames.push(frame.bytes().to_vec());
            self.fabric.pop_uplink_frame(NIC);
        }
        self.due = self.stack.next_poll(now);
        if self.fabric.has_received(self.port) {
            self.due = Some(now);
        }
        frames
    }
}

/// One socket of a peer.
#[derive(Debug, Clone, Copy)]
pub struct PeerSocket {
    peer: usize,
    id: SocketId,
}

impl Cluster {
    /// Opens a connection from a peer.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Panics
    /// When neither comes of it in a simulated minute. So do all calls below.
    pub fn connect(&mut self, peer: usize, to: &str) -> Result<PeerSocket, NetError> {
        let to: SocketAddr = to.parse().expect("an address");
        let now = self.now();
        let id = self.touch(peer).stack.tcp_connect(to, now)?;
        let socket = PeerSocket { peer, id };
        self.wait(socket, "to connect", |stack| {
            match stack.tcp_connected(id) {
                Ok(true) => Some(Ok(())),
                Ok(false) => None,
                Err(error) => Some(Err(error)),
            }
        })?;
        Ok(socket)
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// How the connection failed.
    pub fn write_all(&mut self, socket: PeerSocket, mut bytes: &[u8]) -> Result<(), NetError> {
        while !bytes.is_empty() {
            let written = self.wait(socket, "to write", |stack| {
                stack.tcp_write(socket.id, bytes).transpose()
            })?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Receives what is there, at least one byte; none at the end of the stream.
    ///
    /// # Errors
    /// How the connection failed.
    pub fn read(&mut self, socket: PeerSocket) -> Result<Vec<u8>, NetError> {
        let mut buffer = vec![0; READ_BYTES];
        let read = self.wait(socket, "to read", |stack| {
            stack.tcp_read(socket.id, &mut buffer).transpose()
        })?;
        buffer.truncate(read);
        Ok(buffer)
    }

    /// Receives what is there now, if anything is.
    ///
    /// # Errors
    /// How the connection failed.
    pub fn read_now(&mut self, socket: PeerSocket) -> Result<Vec<u8>, NetError> {
        let mut buffer = vec![0; READ_BYTES];
        let stack = &mut self.peers[socket.peer].stack;
        let read = stack.tcp_read(socket.id, &mut buffer)?.unwrap_or(0);
        if read > 0 {
            self.touch(socket.peer);
        }
        buffer.truncate(read);
        Ok(buffer)
    }

    /// Receives until the stream ends.
    ///
    /// # Errors
    /// How the connection failed.
    pub fn read_to_end(&mut self, socket: PeerSocket) -> Result<Vec<u8>, NetError> {
        let mut bytes = Vec::new();
        loop {
            let part = self.read(socket)?;
            if part.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(&part);
        }
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// Those of [`Stack::tcp_shutdown`].
    pub fn finish_writing(&mut self, socket: PeerSocket) -> Result<(), NetError> {
        let stack = &mut self.touch(socket.peer).stack;
        stack.tcp_shutdown(socket.id, Shutdown::Write)
    }

    /// Closes a socket; what was written is still sent.
    pub fn close(&mut self, socket: PeerSocket) {
        self.touch(socket.peer).stack.close(socket.id);
    }

    /// Opens a UDP socket at a free port of a peer.
    ///
    /// # Errors
    /// Those of [`Stack::udp_bind`].
    pub fn udp_bind(&mut self, peer: usize) -> Result<PeerSocket, NetError> {
        self.udp_bind_to(peer, 0)
    }

    /// Opens a UDP socket at a port of a peer.
    ///
    /// # Errors
    /// Those of [`Stack::udp_bind`].
    pub fn udp_bind_to(&mut self, peer: usize, port: u16) -> Result<PeerSocket, NetError> {
        let id = self.touch(peer).stack.udp_bind(None, port)?;
        Ok(PeerSocket { peer, id })
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// Those of [`Stack::udp_send_to`].
    pub fn send_to(&mut self, socket: PeerSocket, bytes: &[u8], to: &str) -> Result<(), NetError> {
        let to: SocketAddr = to.parse().expect("an address");
        self.wait(socket, "to send", |stack| {
            stack.udp_send_to(socket.id, bytes, to).transpose()
        })?;
        Ok(())
    }

    /// Receives one datagram.
    ///
    /// # Errors
    /// Those of [`Stack::udp_receive_from`].
    pub fn receive_from(&mut self, socket: PeerSocket) -> Result<(Vec<u8>, SocketAddr), NetError> {
        let mut buffer = vec![0; READ_BYTES];
        let (length, from) = self.wait(socket, "for a datagram", |stack| {
            stack.udp_receive_from(socket.id, &mut buffer).transpose()
        })?;
        buffer.truncate(length);
        Ok((buffer, from))
    }

    /// The next datagram, if one is there.
    ///
    /// # Errors
    /// Those of [`Stack::udp_receive_from`].
    pub fn receive_now(
        &mut self,
        socket: PeerSocket,
    ) -> Result<Option<(Vec<u8>, SocketAddr)>, NetError> {
        let mut buffer = vec![0; READ_BYTES];
        let stack = &mut self.peers[socket.peer].stack;
        let received = stack.udp_receive_from(socket.id, &mut buffer)?;
        Ok(received.map(|(length, from)| (buffer[..length].to_vec(), from)))
    }

    /// A peer whose stack is about to be asked for something.
    fn touch(&mut self, peer: usize) -> &mut Peer {
        let now = self.now();
        let peer = &mut self.peers[peer];
        peer.due = Some(now);
        peer
    }

    /// Runs the cluster until `answer` gives one.
    fn wait<T>(
        &mut self,
        socket: PeerSocket,
        what: &str,
        mut answer: impl FnMut(&mut Stack) -> Option<Result<T, NetError>>,
    ) -> Result<T, NetError> {
        let mut found = None;
        self.run_until(PATIENCE, |cluster| {
            found = answer(&mut cluster.peers[socket.peer].stack);
            if found.is_some() {
                cluster.touch(socket.peer);
            }
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("peer {} waited a minute {what}", socket.peer))
    }
}
