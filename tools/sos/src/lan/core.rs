//! The LAN's thread: waits, moves frames, lets the gateway work, writes.
//!
//! One turn handles all events of one wait; ports are written once at its end, so that frames
//! travel in batches when there are many and at once when there are few.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::config::{Forward, LogSink};
use super::fabric::{Fabric, Origin, PortId};
use super::framing::{Fill, FrameReader};
use super::gateway::{Gateway, Surroundings};
use super::poll::{EventBuffer, Interest, Poller, Readiness, Token};
use crate::wake::Waker;

/// Work that another thread hands to the LAN's.
pub(super) type Command = Box<dyn FnOnce(&mut Core) + Send>;

/// Reads from one port in one turn, so that no port keeps the others waiting.
const READS_PER_TURN: usize = 4;
/// Connections taken from one listener in one turn.
const ACCEPTS_PER_TURN: usize = 64;
/// Nodes that may be plugged in.
const PORTS_MAX: usize = 256;
/// Bytes that a port's socket takes before its queue grows (Linux doubles it for its overhead).
const SOCKET_SEND_BYTES: usize = 512 * 1024;
/// How long accepting pauses when the host has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening port of the host.
pub(super) struct HostListener {
    pub(super) listener: TcpListener,
    pub(super) forward: Forward,
}

/// Where nodes plug in.
pub(super) struct Outlet {
    /// Without one it has no cable that could be spoiled.
    pub(super) name: Option<Arc<str>>,
    pub(super) listener: UnixListener,
}

/// Everything that the thread owns.
pub(super) struct Core {
    pub(super) fabric: Fabric,
    pub(super) gateway: Gateway,
    pub(super) poller: Poller,
    /// What tokens number; there are only ever more.
    pub(super) outlets: Vec<Outlet>,
    pub(super) listeners: Vec<HostListener>,
    pub(super) commands: Receiver<Command>,
    pub(super) waker: Arc<Waker>,
    pub(super) log: LogSink,
    pub(super) stopping: bool,
    /// When accepting goes on; it paused for want of room or descriptors.
    pub(super) accept_paused: Option<Instant>,
}

impl Core {
    /// Runs until a command stops it.
    pub(super) fn run(mut self) {
        let (mut events, mut ready) = (EventBuffer::new(), Vec::new());
        while !self.stopping {
            let timeout = self.timeout();
            if timeout.is_none_or(|timeout| !timeout.is_zero()) {
                self.fabric.flush_recording();
            }
            ready.clear();
            if let Err(error) = self.poller.wait(timeout, &mut events, &mut ready) {
                (self.log)(&format!("stopped: waiting for events failed: {error}"));
                break;
            }
            self.turn(&ready);
        }
        self.fabric.flush_recording();
    }

    fn turn(&mut self, ready: &[Readiness]) {
        let now = Instant::now();
        for event in ready {
            match event.token {
                Token::Wake => self.take_commands(),
                Token::PlugIn(index) => self.plug_in(index as usize),
                Token::Port(id) => self.port_event(id, *event, now),
                Token::Forward(index) => self.accept(index as usize, now),
                Token::Connection(id) => self.gateway.connections.host_event(id, *event),
            }
        }
        while let Some(held) = self.fabric.take_due(now) {
            let copies = self.fabric.release(&held, now);
            self.deliver(held.frame(), copies, now);
        }
        let mut around = Surroundings {
            fabric: &mut self.fabric,
            poller: &self.poller,
            now,
        };
        self.gateway.run(&mut around);
        self.flush();
        self.resume_accepting(now);
    }

    /// Until the next thing that happens without an event.
    fn timeout(&self) -> Option<Duration> {
        if self.gateway.connections.has_work() {
            return Some(Duration::ZERO);
        }
        let times = [
            self.gateway.connections.next_due(),
            self.fabric.next_due(),
            self.accept_paused,
        ];
        let next = times.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn take_commands(&mut self) {
        self.waker.drain();
        while let Ok(command) = self.commands.try_recv() {
            command(self);
        }
    }

    /// Opens a further outlet.
    pub(super) fn add_outlet(&mut self, outlet: Outlet) -> io::Result<()> {
        let token = Token::PlugIn(self.outlets.len() as u32);
        self.poller
            .add(&outlet.listener, token, Interest::Readable)?;
        self.outlets.push(outlet);
        Ok(())
    }

    fn plug_in(&mut self, index: usize) {
        let Some(outlet) = self.outlets.get(index) else {
            return;
        };
        let stream = match outlet.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => return (self.log)(&format!("a node could not plug in: {error}")),
        };
        if self.fabric.ports.len() >= PORTS_MAX {
            return (self.log)(&format!(
                "a node could not plug in: all {PORTS_MAX} ports are taken"
            ));
        }
        if let Err(error) = stream.set_nonblocking(true) {
            return (self.log)(&format!("a node could not plug in: {error}"));
        }
        // The default works too, only in smaller batches.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, SOCKET_SEND_BYTES);
        let id = self.fabric.plug(stream, outlet.name.clone());
        if let Some(port) = self.fabric.ports.get(&id)
            && let Err(error) = self
                .poller
                .add(&port.stream, Token::Port(id), Interest::Readable)
        {
            (self.log)(&format!("a node could not plug in: {error}"));
            self.fabric.unplug(id);
        }
    }

    fn port_event(&mut self, id: PortId, ready: Readiness, now: Instant) {
        if ready.writable {
            self.flush_port(id);
        }
        if !ready.readable {
            return;
        }
        let Some(port) = self.fabric.ports.get_mut(&id) else {
            return;
        };
        let mut reader = std::mem::take(&mut port.reader);
        for _ in 0..READS_PER_TURN {
            let Some(port) = self.fabric.ports.get_mut(&id) else {
                return;
            };
            let filled = reader.fill(&mut &port.stream);
            let understood = self.take_frames(id, &mut reader, now);
            match filled {
                Ok(Fill::More) if understood => {}
                Ok(Fill::Drained | Fill::Empty) if understood => break,
                Ok(_) | Err(_) => return self.unplug(id),
            }
        }
        if let Some(port) = self.fabric.ports.get_mut(&id) {
            port.reader = reader;
        }
    }

    /// Switches all whole frames. Returns whether the stream can still be understood.
    fn take_frames(&mut self, id: PortId, reader: &mut FrameReader, now: Instant) -> bool {
        loop {
            match reader.next_frame() {
                Ok(Some(range)) => {
                    let frame = reader.frame(range);
                    let copies = self.fabric.submit(Origin::Port(id), frame, now);
                    self.deliver(frame, copies, now);
                }
                Ok(None) => return true,
                Err(too_long) => {
                    let (PortId(id), bytes) = (id, too_long.0);
                    (self.log)(&format!(
                        "port {id} announced a frame of {bytes} bytes: unplugged"
                    ));
                    return false;
                }
            }
        }
    }

    fn deliver(&mut self, frame: &[u8], copies: usize, now: Instant) {
        let mut around = Surroundings {
            fabric: &mut self.fabric,
            poller: &self.poller,
            now,
        };
        for _ in 0..copies {
            self.gateway.input(frame, &mut around);
        }
    }

    fn unplug(&mut self, id: PortId) {
        let stations = self.fabric.unplug(id);
        self.gateway.forget(&stations);
        self.gateway.connections.unblock();
    }

    fn flush(&mut self) {
        let mut ids = std::mem::take(&mut self.fabric.unflushed);
        for id in ids.drain(..) {
            self.flush_port(id);
        }
        // Keeps the allocation, unless a port was given frames meanwhile.
        if self.fabric.unflushed.is_empty() {
            self.fabric.unflushed = ids;
        }
    }

    /// Writes what waits at a port, and waits for room if it does not take all.
    fn flush_port(&mut self, id: PortId) {
        if self.fabric.flush(id).is_err() {
            return self.unplug(id);
        }
        let Some(port) = self.fabric.ports.get_mut(&id) else {
            return;
        };
        let awaits_room = port.queue.backlog_bytes() > 0;
        if awaits_room != port.awaits_room {
            let interest = if awaits_room {
                Interest::ReadableWritable
            } else {
                Interest::Readable
            };
            if self
                .poller
                .modify(&port.stream, Token::Port(id), interest)
                .is_err()
            {
                return self.unplug(id);
            }
            port.awaits_room = awaits_room;
        }
        if self.fabric.has_room_at(id) {
            self.gateway.connections.unblock();
        }
    }

    fn accept(&mut self, index: usize, now: Instant) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listeners.get(index) else {
                return;
            };
            if !self.gateway.connections.has_room() {
                return self.pause_accepting(now);
            }
            match accept_nonblocking(&listener.listener) {
                Ok(stream) => {
                    let mut around = Surroundings {
                        fabric: &mut self.fabric,
                        poller: &self.poller,
                        now,
                    };
                    self.gateway
                        .connections
                        .accept(stream, &listener.forward, &mut around);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    (self.log)(&format!("accepting paused: {error}"));
                    return self.pause_accepting(now);
                }
            }
        }
    }

    fn pause_accepting(&mut self, now: Instant) {
        self.accept_paused = Some(now + ACCEPT_PAUSE);
        self.set_listeners(Interest::Nothing);
    }

    fn resume_accepting(&mut self, now: Instant) {
        if self.accept_paused.is_some_and(|until| until <= now) {
            if self.gateway.connections.has_room() {
                self.accept_paused = None;
                self.set_listeners(Interest::Readable);
            } else {
                self.accept_paused = Some(now + ACCEPT_PAUSE);
            }
        }
    }

    fn set_listeners(&mut self, interest: Interest) {
        for (index, listener) in self.listeners.iter().enumerate() {
            let token = Token::Forward(index as u32);
            if let Err(error) = self.poller.modify(&listener.listener, token, interest) {
                (self.log)(&format!("a forwarded port cannot be watched: {error}"));
            }
        }
    }
}

fn accept_nonblocking(listener: &TcpListener) -> io::Result<TcpStream> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(TcpStream::from(rustix::net::accept_with(listener, flags)?))
}
