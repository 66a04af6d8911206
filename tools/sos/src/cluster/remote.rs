//! An operator's conversation with a node over the network: [`connect`].
//!
//! A thread stands between the node's control port, spoken to by core's [`Channel`], and one end of a pair of
//! local sockets; the other end carries what a channel of a machine on this host carries, so that every
//! client of such a channel works over the network too.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use sos_core::cluster::channel::{Channel, MESSAGE_BYTES, Opening, Protocol, Setup};
use sos_core::cluster::{BootId, NodeKey, Trust};
use sos_core::image::NodeSpec;
use sos_core::keys::NodeKeys;
use sos_core::machine::Time;

use super::keys::{self, KEY_BYTES};

/// How long a node may take to prove itself and to believe us.
const PATIENCE: Duration = Duration::from_secs(10);
/// What this end calls itself.
const NAME: &str = "operator";
/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// Whether a node is named by where it listens, and where that is: `ADDRESS`, `[ADDRESS]:PORT`, `HOST:PORT`.
///
/// # Errors
/// When a host's name is not known.
pub fn address_of(node: &str) -> Result<Option<SocketAddr>> {
    if let Ok(address) = node.parse::<SocketAddr>() {
        return Ok(Some(address));
    }
    if let Ok(address) = node.parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(address, NodeSpec::PORT)));
    }
    if !node.contains(':') {
        return Ok(None);
    }
    let mut found = node
        .to_socket_addrs()
        .with_context(|| format!("find the address of {node}"))?;
    let first = found.next();
    first
        .map(Some)
        .with_context(|| format!("{node} has no address"))
}

/// Connects to a node's control port and proves to each other that both have the cluster key.
///
/// # Errors
/// When nobody answers there, or not as one who has the key.
pub fn connect(address: SocketAddr, cluster_key: [u8; KEY_BYTES]) -> Result<UnixStream> {
    let tcp = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("connect to a node's control port at {address}"))?;
    let (own, trust) = (fresh_key()?, Arc::new(Trust::in_cluster(cluster_key)));
    let channel = Channel::initiate(setup(&own, &trust)?, None).map_err(said)?;
    open(tcp, channel).with_context(|| format!("speak to the node at {address}"))
}

/// A key that counts for as long as the conversation: what proves us is the cluster's.
fn fresh_key() -> Result<NodeKey> {
    let secret = keys::random().context("draw a key from /dev/urandom")?;
    Ok(NodeKey::new(&NodeKeys::new(&secret)))
}

fn setup<'a>(own: &'a NodeKey, trust: &'a Arc<Trust>) -> Result<Setup<'a>> {
    let mut boot = BootId::default();
    let drawn = keys::random().context("draw from /dev/urandom")?;
    boot.0.copy_from_slice(&drawn[..16]);
    Ok(Setup {
        own,
        trust,
        opening: Opening::new(Protocol::Control, NAME, boot),
        entropy: keys::random().context("draw from /dev/urandom")?,
        now: Time::ZERO,
    })
}

/// Completes the handshake and lets a thread carry what follows.
fn open(mut tcp: TcpStream, mut channel: Channel) -> Result<UnixStream> {
    tcp.set_nodelay(true).context("use the connection")?;
    let deadline = Instant::now() + PATIENCE;
    let mut rest = Vec::new();
    let mut buffer = [0; 4096];
    while channel.peer().is_none() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("it did not answer within {} s", PATIENCE.as_secs());
        }
        tcp.set_write_timeout(Some(left))?;
        tcp.write_all(channel.output()).context("greet it")?;
        channel.consume(channel.output().len());
        tcp.set_read_timeout(Some(left))?;
        let heard = match tcp.read(&mut buffer) {
            // It leaves without reading what else was said.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
            heard => heard,
        };
        match heard {
            Ok(0) => bail!(
                "it closed the connection without a word: it has another cluster key, or none; \
                 `cargo sos key show` where it was started prints its key"
            ),
            Ok(count) => {
                rest.extend_from_slice(&buffer[..count]);
                let taken = channel.receive(&rest).map_err(said)?;
                rest.drain(..taken);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("hear from it"),
        }
    }
    let (ours, theirs) = UnixStream::pair().context("make a pair of sockets")?;
    tcp.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let mut bridge = Bridge {
        tcp,
        local: theirs,
        channel,
        incoming: rest,
        delivery: Vec::new(),
    };
    std::thread::Builder::new()
        .name("control".to_string())
        .spawn(move || {
            // Why it ended is seen by both ends: their streams end.
            let _ = bridge.run();
            let _ = bridge.tcp.shutdown(Shutdown::Both);
            let _ = bridge.local.shutdown(Shutdown::Both);
        })
        .context("start a thread")?;
    Ok(ours)
}

/// What carries bytes between a node and a client here.
struct Bridge {
    tcp: TcpStream,
    local: UnixStream,
    channel: Channel,
    /// Bytes of the network that the channel has not taken.
    incoming: Vec<u8>,
    /// Bytes of a message that the client has not taken.
    delivery: Vec<u8>,
}

impl Bridge {
    fn run(&mut self) -> Result<()> {
        let mut buffer = vec![0; READ_BYTES.min(MESSAGE_BYTES)];
        loop {
            self.take_in()?;
            let sent = write_some(&mut self.tcp, self.channel.output())?;
            self.channel.consume(sent);
            let (hears, speaks) = self.wait()?;
            if speaks {
                match read_some(&mut self.local, &mut buffer)? {
                    Some(0) => return Ok(()),
                    Some(count) => self.channel.send(&buffer[..count]).map_err(said)?,
                    None => {}
                }
            }
            if hears {
                match read_some(&mut self.tcp, &mut buffer)? {
                    Some(0) => return Ok(()),
                    Some(count) => self.incoming.extend_from_slice(&buffer[..count]),
                    None => {}
                }
            }
        }
    }

    /// Gives the channel what came and the client what was in it, as far as both take it.
    fn take_in(&mut self) -> Result<()> {
        loop {
            let taken = self.channel.receive(&self.incoming).map_err(said)?;
            self.incoming.drain(..taken);
            if self.delivery.is_empty()
                && let Some(message) = self.channel.next_message().map_err(said)?
            {
                self.delivery = message;
            }
            let given = write_some(&mut self.local, &self.delivery)?;
            self.delivery.drain(..given);
            if !self.delivery.is_empty()
                || (self.incoming.is_empty() && !self.channel.has_message())
            {
                return Ok(());
            }
        }
    }

    /// Waits for either side; tells whether the network and whether the client may be read. Neither is
    /// read before what it said last has gone on.
    fn wait(&self) -> Result<(bool, bool)> {
        let flags = |reads, writes| match (reads, writes) {
            (true, true) => PollFlags::IN | PollFlags::OUT,
            (true, false) => PollFlags::IN,
            (false, true) => PollFlags::OUT,
            (false, false) => PollFlags::empty(),
        };
        let hears = self.incoming.is_empty() && self.delivery.is_empty();
        let speaks = self.channel.output().is_empty();
        let mut fds = [
            PollFd::new(&self.tcp, flags(hears, !speaks)),
            PollFd::new(&self.local, flags(speaks, !self.delivery.is_empty())),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let gone = PollFlags::HUP | PollFlags::ERR;
        let [network, client] = fds.map(|fd| fd.revents());
        // Who has left hears nothing more.
        if client.intersects(gone) && !client.contains(PollFlags::IN) {
            bail!("the client left");
        }
        Ok((
            hears && network.intersects(PollFlags::IN | gone),
            speaks && client.contains(PollFlags::IN),
        ))
    }
}

/// Core's errors are not those of the standard library.
fn said(error: impl Display) -> anyhow::Error {
    anyhow::Error::msg(error.to_string())
}

/// Reads once; none when there is nothing now.
fn read_some(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match source.read(buffer) {
        Ok(count) => Ok(Some(count)),
        Err(error) if is_passing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes what is taken now.
fn write_some(sink: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    match sink.write(bytes) {
        Ok(count) => Ok(count),
        Err(error) if is_passing(&error) => Ok(0),
        Err(error) => Err(error),
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];

    /// A node with a cluster key that takes one conversation and sends back what it hears.
    fn node(key: [u8; KEY_BYTES]) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (tcp, _) = listener.accept().unwrap();
            let (own, trust) = (fresh_key().unwrap(), Arc::new(Trust::in_cluster(key)));
            let channel = Channel::accept(setup(&own, &trust).unwrap());
            let Ok(mut stream) = open(tcp, channel) else {
                return;
            };
            let mut echo = stream.try_clone().unwrap();
            // It ends when the client leaves.
            let _ = io::copy(&mut echo, &mut stream);
        });
        address
    }

    #[test]
    fn bytes_go_through_the_channel_and_back_unchanged() {
        let mut stream = connect(node(KEY), KEY).unwrap();
        let sent: Vec<u8> = (0..3_000_000_u32).map(|at| (at ^ at >> 8) as u8).collect();
        let mut back = vec![0; sent.len()];
        let mut writer = stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| writer.write_all(&sent).unwrap());
            stream.read_exact(&mut back).unwrap();
        });
        assert!(back == sent);
    }

    #[test]
    fn a_node_with_another_key_is_told_apart_from_none() {
        let error = format!("{:#}", connect(node([8; KEY_BYTES]), KEY).unwrap_err());
        assert!(error.contains("another cluster key"), "{error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = format!("{:#}", connect(address, KEY).unwrap_err());
        assert!(
            error.contains("connect to a node's control port"),
            "{error}"
        );
    }

    #[test]
    fn names_and_addresses_of_nodes_are_told_apart() {
        let address = |text: &str| address_of(text).unwrap().map(|it| it.to_string());
        assert_eq!(address("node2"), None);
        assert_eq!(address("10.0.2.3").as_deref(), Some("10.0.2.3:7600"));
        assert_eq!(address("127.0.0.1:99").as_deref(), Some("127.0.0.1:99"));
        assert_eq!(address("fd00::3").as_deref(), Some("[fd00::3]:7600"));
        assert!(address_of("no such host:1").is_err());
    }
}
