//! One thread, one epoll, all services: the loop that a careful author of a small server writes.
//!
//! Sockets are non-blocking and level-triggered. A connection asks for writability only while it
//! has unsent bytes, so an ordinary HTTP request costs three system calls (wait, read, write).

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use crate::held::{Held, Writing};
use crate::http::{self, Progress, Store};
use crate::machine::check;
use crate::stream::{CHUNK_BYTES, ECHO_PORT, SINK_PORT, SOURCE_PORT, Source};

const HTTP_PORT: u16 = 80;
/// Connections served at once; further ones are closed at once.
const MAX_CONNECTIONS: usize = 4096;
const EVENTS_PER_WAIT: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Http,
    Sink,
    Source,
    Echo,
}

const SERVICES: [(u16, Service); 4] = [
    (HTTP_PORT, Service::Http),
    (SINK_PORT, Service::Sink),
    (SOURCE_PORT, Service::Source),
    (ECHO_PORT, Service::Echo),
];

/// The bound sockets of all services.
pub struct Listeners(Vec<(TcpListener, Service)>);

impl Listeners {
    /// Binds every service on every address.
    pub fn bind() -> io::Result<Listeners> {
        let mut listeners = Vec::new();
        for (port, service) in SERVICES {
            let listener = TcpListener::bind(("0.0.0.0", port))?;
            listener.set_nonblocking(true)?;
            listeners.push((listener, service));
        }
        Ok(Listeners(listeners))
    }
}

/// What a connection remembers between events.
enum State {
    Http { input: Vec<u8>, closing: bool },
    Sink { count: u64 },
    Source(Source),
    Echo,
}

struct Connection {
    stream: TcpStream,
    state: State,
    /// Answers that the socket has not taken yet.
    unsent: Vec<u8>,
    wants_write: bool,
}

/// What the loop does with a connection after an event.
#[derive(PartialEq, Eq)]
enum Verdict {
    Keep,
    Drop,
}

/// Serves until the machine ends, and writes to the held memory at each turn of a connection, or always.
pub fn serve(listeners: Listeners, held: Held, writing: Writing) -> io::Result<()> {
    let mut server = Server::new(listeners, held)?;
    let timeout_ms = match writing {
        Writing::WhileServing => -1,
        Writing::Always => 0,
    };
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_PER_WAIT];
    loop {
        if writing == Writing::Always {
            server.held.write_some();
        }
        // SAFETY: the array outlives the call and its length is passed.
        let count = check(unsafe {
            libc::epoll_wait(
                server.epoll,
                events.as_mut_ptr(),
                EVENTS_PER_WAIT as libc::c_int,
                timeout_ms,
            )
        });
        let count = match count {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other? as usize,
        };
        for event in &events[..count] {
            let token = event.u64 as usize;
            match token.checked_sub(server.listeners.len()) {
                None => server.accept(token)?,
                Some(slot) => server.connection_event(slot),
            }
        }
    }
}

struct Server {
    epoll: RawFd,
    listeners: Vec<(TcpListener, Service)>,
    connections: Vec<Option<Connection>>,
    free_slots: Vec<usize>,
    store: Store,
    held: Held,
    scratch: Vec<u8>,
    /// What the source sends; printable, so that a capture of the wire can be read.
    payload: Vec<u8>,
}

impl Server {
    fn new(Listeners(listeners): Listeners, held: Held) -> io::Result<Server> {
        // SAFETY: plain argument.
        let epoll = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        for (token, (listener, _)) in listeners.iter().enumerate() {
            epoll_control(
                epoll,
                libc::EPOLL_CTL_ADD,
                listener.as_raw_fd(),
                libc::EPOLLIN,
                token,
            )?;
        }
        Ok(Server {
            epoll,
            listeners,
            connections: Vec::new(),
            free_slots: Vec::new(),
            store: Store::new(),
            held,
            scratch: vec![0; CHUNK_BYTES],
            payload: (0..CHUNK_BYTES).map(|i| b'a' + (i % 26) as u8).collect(),
        })
    }

    fn accept(&mut self, token: usize) -> io::Result<()> {
        let service = self.listeners[token].1;
        // A peer that resets before it is accepted, or a full descriptor table, ends only this round.
        while let Ok((stream, _)) = self.listeners[token].0.accept() {
            if self.connections.len() - self.free_slots.len() >= MAX_CONNECTIONS {
                continue;
            }
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let slot = self.free_slots.pop().unwrap_or(self.connections.len());
            let token = slot + self.listeners.len();
            epoll_control(
                self.epoll,
                libc::EPOLL_CTL_ADD,
                stream.as_raw_fd(),
                libc::EPOLLIN,
                token,
            )?;
            let connection = Connection::new(stream, service);
            if slot == self.connections.len() {
                self.connections.push(Some(connection));
            } else {
                self.connections[slot] = Some(connection);
            }
        }
        Ok(())
    }

    fn connection_event(&mut self, slot: usize) {
        let token = slot + self.listeners.len();
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        self.held.write();
        let verdict = connection.progress(&mut self.store, &mut self.scratch, &self.payload);
        let kept = verdict.is_ok_and(|verdict| verdict == Verdict::Keep)
            && connection.update_interest(self.epoll, token).is_ok();
        if !kept {
            // Dropping the stream closes it, which also takes it out of the epoll set.
            self.connections[slot] = None;
            self.free_slots.push(slot);
        }
    }
}

impl Connection {
    fn new(stream: TcpStream, service: Service) -> Connection {
        let state = match service {
            Service::Http => State::Http {
                input: Vec::new(),
                closing: false,
            },
            Service::Sink => State::Sink { count: 0 },
            Service::Source => State::Source(Source::default()),
            Service::Echo => State::Echo,
        };
        Connection {
            stream,
            state,
            unsent: Vec::new(),
            wants_write: false,
        }
    }

    /// Moves as far as the socket lets it with one read, or continues a blocked write.
    fn progress(
        &mut self,
        store: &mut Store,
        scratch: &mut [u8],
        payload: &[u8],
    ) -> io::Result<Verdict> {
        if self.wants_write {
            return self.progress_write(payload);
        }
        let read = match self.stream.read(scratch) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Verdict::Keep),
            other => other?,
        };
        if read == 0 {
            return self.end_of_input();
        }
        match &mut self.state {
            State::Http { input, closing } => {
                *closing = answer_all(input, &scratch[..read], store, &mut self.unsent);
            }
            State::Sink { count } => *count += read as u64,
            State::Source(source) => source.receive(&scratch[..read]),
            State::Echo => self.unsent.extend_from_slice(&scratch[..read]),
        }
        self.progress_write(payload)
    }

    /// The peer has closed its direction; only the sink has something left to say.
    fn end_of_input(&mut self) -> io::Result<Verdict> {
        if let State::Sink { count } = self.state {
            self.stream.write_all(&count.to_le_bytes())?;
        }
        Ok(Verdict::Drop)
    }

    fn progress_write(&mut self, payload: &[u8]) -> io::Result<Verdict> {
        if !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => drop(self.unsent.drain(..other?)),
            }
        }
        match &mut self.state {
            State::Http { closing: true, .. } if self.unsent.is_empty() => Ok(Verdict::Drop),
            State::Source(source) => send_payload(&mut self.stream, source, payload),
            State::Http { .. } | State::Sink { .. } | State::Echo => Ok(Verdict::Keep),
        }
    }

    fn update_interest(&mut self, epoll: RawFd, token: usize) -> io::Result<()> {
        let owes_payload =
            matches!(&self.state, State::Source(source) if source.next_write_bytes() > 0);
        let wants_write = !self.unsent.is_empty() || owes_payload;
        if wants_write == self.wants_write {
            return Ok(());
        }
        self.wants_write = wants_write;
        let interest = if wants_write {
            libc::EPOLLOUT
        } else {
            libc::EPOLLIN
        };
        epoll_control(
            epoll,
            libc::EPOLL_CTL_MOD,
            self.stream.as_raw_fd(),
            interest,
            token,
        )
    }
}

/// Answers every complete request and keeps the rest; true when the connection is to close.
///
/// Whole requests, the ordinary case, are answered from the read buffer without a copy.
fn answer_all(input: &mut Vec<u8>, read: &[u8], store: &mut Store, output: &mut Vec<u8>) -> bool {
    let joined;
    let mut rest = if input.is_empty() {
        read
    } else {
        input.extend_from_slice(read);
        joined = std::mem::take(input);
        &joined[..]
    };
    loop {
        match http::answer(rest, store, output) {
            Progress::NeedMore => break,
            Progress::Answered(bytes) => rest = &rest[bytes..],
            Progress::Close => return true,
        }
    }
    input.extend_from_slice(rest);
    false
}

fn send_payload(
    stream: &mut TcpStream,
    source: &mut Source,
    payload: &[u8],
) -> io::Result<Verdict> {
    if !source.is_asked() {
        return Ok(Verdict::Keep);
    }
    while source.next_write_bytes() > 0 {
        match stream.write(&payload[..source.next_write_bytes()]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Verdict::Keep),
            other => source.written(other?),
        }
    }
    Ok(Verdict::Drop)
}

fn epoll_control(
    epoll: RawFd,
    operation: libc::c_int,
    fd: RawFd,
    interest: libc::c_int,
    token: usize,
) -> io::Result<()> {
    let mut event = libc::epoll_event {
        events: interest as u32,
        u64: token as u64,
    };
    // SAFETY: the event outlives the call; the kernel only reads it.
    check(unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) })?;
    Ok(())
}
