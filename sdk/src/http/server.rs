//! The loop over all clients.

use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::time::Duration;

use super::connection::{Connection, Handler, Phase};
use super::request::{Limits, Request};
use super::response::Response;
use crate::error::Result;
use crate::net::{Blocking, TcpListener, ToSocketAddrs};
use crate::poll::{Event, Interest, Poller, Token};
use crate::time::Instant;

/// Token of the listener.
const LISTENER: Token = Token(0);
/// Tokens from 1 to below this are the service's.
const FIRST_CONNECTION: usize = 16;
/// Bytes read at once.
const SCRATCH_BYTES: usize = 16 * 1024;
/// A client from which nothing came for one to two of these is let go.
const IDLE: Duration = Duration::from_secs(30);
/// Turns between two looks at the clock, which is a host call.
const TURNS_PER_LOOK: u32 = 256;

/// Whether a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The response was written.
    Now,
    /// The service will call [`Server::respond`]; what it wrote is thrown away.
    Later,
}

/// Names a request that is answered later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    slot: usize,
    number: u32,
    /// Which connection of the slot.
    generation: u32,
}

/// What answers requests.
pub trait Service {
    /// Answers a request into `response`, or later by its `id`.
    fn request(&mut self, request: &Request<'_>, response: Response<'_>, id: RequestId) -> Answer;

    /// One of the service's own sockets, which it put into [`Server::poller`], is ready.
    fn event(&mut self, event: Event, server: &mut Server) {
        let _ = (event, server);
    }
}

/// A service that answers at once.
struct Immediate<F>(F);

impl<F: FnMut(&Request<'_>, Response<'_>)> Service for Immediate<F> {
    fn request(&mut self, request: &Request<'_>, response: Response<'_>, _: RequestId) -> Answer {
        (self.0)(request, response);
        Answer::Now
    }
}

/// Listener, clients and buffers.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    limits: Limits,
    poller: Poller,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Slots whose answer came while further requests wait in their input.
    resumable: Vec<usize>,
    scratch: Vec<u8>,
    output: Vec<u8>,
    turns: u32,
    last_sweep: Instant,
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    generation: u32,
}

impl Server {
    /// Tokens below this and above 0 are for the service's own sockets.
    pub const FIRST_RESERVED_TOKEN: usize = FIRST_CONNECTION;

    /// Listens on an address.
    ///
    /// # Errors
    /// Those of [`TcpListener::bind`].
    pub fn bind(address: impl ToSocketAddrs, limits: Limits) -> Result<Server> {
        let listener = TcpListener::bind(address)?;
        listener.set_blocking(Blocking::Never);
        let mut poller = Poller::new();
        poller.add(&listener, LISTENER, Interest::READABLE);
        Ok(Server {
            listener,
            limits,
            poller,
            slots: Vec::new(),
            free: Vec::new(),
            resumable: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
            output: Vec::new(),
            turns: 0,
            last_sweep: Instant::now(),
        })
    }

    /// Answers requests for ever.
    ///
    /// # Errors
    /// Those of the host call `poll`.
    pub fn serve(&mut self, handler: impl FnMut(&Request<'_>, Response<'_>)) -> Result<Infallible> {
        self.run(&mut Immediate(handler))
    }

    /// Lets a service answer requests for ever.
    ///
    /// # Errors
    /// Those of the host call `poll`.
    pub fn run(&mut self, service: &mut impl Service) -> Result<Infallible> {
        let mut events = Vec::new();
        loop {
            self.turn(service, &mut events, None)?;
        }
    }

    /// Waits for something to do, at most for `timeout`, and does it. `events` is only a buffer.
    ///
    /// # Errors
    /// Those of the host call `poll`.
    pub fn turn(
        &mut self,
        service: &mut impl Service,
        events: &mut Vec<Event>,
        timeout: Option<Duration>,
    ) -> Result<()> {
        let timeout = timeout.map_or(IDLE, |timeout| timeout.min(IDLE));
        self.poller.wait(events, Some(timeout))?;
        for &event in events.iter() {
            match event.token.0 {
                0 => self.accept(),
                token if token < FIRST_CONNECTION => service.event(event, self),
                token => self.connection_event(token - FIRST_CONNECTION, event, service),
            }
        }
        while let Some(slot) = self.resumable.pop() {
            self.drive(slot, service, |connection, output, _, limits, handle| {
                connection.resume(output, limits, handle);
            });
        }
        self.turns += 1;
        if events.is_empty() || self.turns >= TURNS_PER_LOOK {
            self.turns = 0;
            self.release_idle();
        }
        Ok(())
    }

    /// Answers a request that was left for later. Does nothing when its client is gone.
    pub fn respond(&mut self, id: RequestId, write: impl FnOnce(Response<'_>)) {
        let Some(slot) = self.slots.get_mut(id.slot) else {
            return;
        };
        let Some(connection) = &mut slot.connection else {
            return;
        };
        if slot.generation != id.generation || connection.requests != id.number {
            return;
        }
        connection.respond(&mut self.output, write);
        if connection.has_input() {
            self.resumable.push(id.slot);
        }
        self.settle(id.slot);
    }

    /// Where the service watches sockets of its own, under tokens from 1 to below
    /// [`Self::FIRST_RESERVED_TOKEN`].
    pub fn poller(&mut self) -> &mut Poller {
        &mut self.poller
    }

    /// How many clients are connected.
    pub fn connections(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn accept(&mut self) {
        while self.connections() < self.limits.connections {
            let Ok((stream, _)) = self.listener.accept() else {
                return;
            };
            stream.set_blocking(Blocking::Never);
            // A failure shows at the first read.
            let _ = stream.set_nodelay(true);
            let slot = self.free.pop().unwrap_or_else(|| {
                self.slots.push(Slot::default());
                self.slots.len() - 1
            });
            let token = Token(FIRST_CONNECTION + slot);
            self.poller.add(&stream, token, Interest::READABLE);
            self.slots[slot].connection = Some(Connection::new(stream));
        }
        // Full: further clients wait until one leaves.
        self.poller.set_interest(LISTENER, Interest::NONE);
    }

    fn connection_event(&mut self, slot: usize, event: Event, service: &mut impl Service) {
        let Some(connection) = self
            .slots
            .get_mut(slot)
            .and_then(|slot| slot.connection.as_mut())
        else {
            return;
        };
        connection.was_active = true;
        if event.is_writable() {
            connection.flush();
            if connection.has_input() {
                self.resumable.push(slot);
            }
            return self.settle(slot);
        }
        if event.is_readable() {
            return self.drive(
                slot,
                service,
                |connection, output, scratch, limits, handle| {
                    connection.receive(scratch, output, limits, handle);
                },
            );
        }
        // Closed or failed, and nothing is left to read.
        connection.phase = Phase::Over;
        self.settle(slot);
    }

    /// Lets a connection work with the service.
    fn drive<S: Service>(
        &mut self,
        slot: usize,
        service: &mut S,
        work: impl FnOnce(&mut Connection, &mut Vec<u8>, &mut [u8], &Limits, &mut Handler<'_>),
    ) {
        let entry = &mut self.slots[slot];
        let generation = entry.generation;
        let Some(connection) = &mut entry.connection else {
            return;
        };
        let mut handle = |request: &Request<'_>, response: Response<'_>, number: u32| {
            service.request(
                request,
                response,
                RequestId {
                    slot,
                    number,
                    generation,
                },
            )
        };
        work(
            connection,
            &mut self.output,
            &mut self.scratch,
            &self.limits,
            &mut handle,
        );
        self.settle(slot);
    }

    /// Tells the poller what a connection waits for now, or lets it go.
    fn settle(&mut self, slot: usize) {
        let token = Token(FIRST_CONNECTION + slot);
        let Some(connection) = &self.slots[slot].connection else {
            return;
        };
        if connection.phase != Phase::Over {
            return self.poller.set_interest(token, connection.interest());
        }
        self.poller.remove(token);
        let entry = &mut self.slots[slot];
        entry.connection = None;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot);
        self.poller.set_interest(LISTENER, Interest::READABLE);
    }

    /// Lets clients go from which nothing came for long, so that they cannot fill the table.
    fn release_idle(&mut self) {
        if self.last_sweep.elapsed() < IDLE {
            return;
        }
        self.last_sweep = Instant::now();
        for slot in 0..self.slots.len() {
            let Some(connection) = &mut self.slots[slot].connection else {
                continue;
            };
            if !core::mem::take(&mut connection.was_active)
                && !matches!(connection.phase, Phase::Answering(_))
            {
                connection.phase = Phase::Over;
                self.settle(slot);
            }
        }
    }
}
