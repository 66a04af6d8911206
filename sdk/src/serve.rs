//! Services over byte streams: many clients, one state machine each, no I/O of their own.
//!
//! ```no_run
//! use sos_sdk::net::TcpListener;
//! use sos_sdk::serve::{Flow, Protocol, serve};
//!
//! struct Echo;
//!
//! impl Protocol for Echo {
//!     fn receive(&mut self, bytes: &[u8], output: &mut Vec<u8>) -> Flow {
//!         output.extend_from_slice(bytes);
//!         Flow::Continue
//!     }
//! }
//!
//! # fn main() -> sos_sdk::Result<()> {
//! serve(TcpListener::bind("0.0.0.0:7")?, 100, || Echo)?;
//! # Ok(())
//! # }
//! ```

use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;

use crate::error::Result;
use crate::net::{Blocking, TcpListener, TcpStream};
use crate::poll::{Event, Interest, Poller, Token};

const LISTENER: Token = Token(0);
const FIRST_CLIENT: usize = 1;
/// Bytes read at once.
const SCRATCH_BYTES: usize = 64 * 1024;

/// What becomes of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Continue,
    /// The output is sent and the connection ends.
    Close,
}

/// What a service does with one client's bytes.
pub trait Protocol {
    /// Takes received bytes and appends answers to `output`. Nothing more is received until they
    /// are sent.
    fn receive(&mut self, bytes: &[u8], output: &mut Vec<u8>) -> Flow;

    /// The client has finished sending; what is appended to `output` is sent before the end.
    fn finish(&mut self, output: &mut Vec<u8>) {
        let _ = output;
    }
}

struct Client<P> {
    stream: TcpStream,
    protocol: P,
    unsent: Vec<u8>,
    flow: Flow,
}

struct Clients<P> {
    poller: Poller,
    slots: Vec<Option<Client<P>>>,
    free: Vec<usize>,
    scratch: Vec<u8>,
    output: Vec<u8>,
}

/// Serves at most `limit` clients at once, for ever; further ones wait to be accepted.
///
/// # Errors
/// Those of the host call `poll`.
pub fn serve<P: Protocol>(
    listener: TcpListener,
    limit: usize,
    mut greet: impl FnMut() -> P,
) -> Result<Infallible> {
    listener.set_blocking(Blocking::Never);
    let mut clients = Clients {
        poller: Poller::new(),
        slots: Vec::new(),
        free: Vec::new(),
        scratch: vec![0; SCRATCH_BYTES],
        output: Vec::new(),
    };
    let limit = limit.min(Poller::CAPACITY - FIRST_CLIENT);
    clients.poller.add(&listener, LISTENER, Interest::READABLE);
    let mut events = Vec::new();
    loop {
        clients.poller.wait(&mut events, None)?;
        for &event in &events {
            match event.token {
                LISTENER => clients.accept(&listener, limit, &mut greet),
                Token(token) => clients.event(token - FIRST_CLIENT, event),
            }
        }
    }
}

impl<P: Protocol> Clients<P> {
    fn accept(&mut self, listener: &TcpListener, limit: usize, greet: &mut impl FnMut() -> P) {
        while self.slots.len() - self.free.len() < limit {
            let Ok((stream, _)) = listener.accept() else {
                return;
            };
            stream.set_blocking(Blocking::Never);
            // A failure shows at the first read.
            let _ = stream.set_nodelay(true);
            let slot = self.free.pop().unwrap_or(self.slots.len());
            self.poller
                .add(&stream, Token(FIRST_CLIENT + slot), Interest::READABLE);
            let client = Client {
                stream,
                protocol: greet(),
                unsent: Vec::new(),
                flow: Flow::Continue,
            };
            if slot == self.slots.len() {
                self.slots.push(Some(client));
            } else {
                self.slots[slot] = Some(client);
            }
        }
        self.poller.set_interest(LISTENER, Interest::NONE);
    }

    fn event(&mut self, slot: usize, event: Event) {
        let Some(client) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let result = if event.is_writable() || event.is_readable() {
            client.progress(&mut self.scratch, &mut self.output)
        } else {
            // Closed or failed, and nothing is left to move.
            Ok(Flow::Close)
        };
        let is_over = result.is_err() || (result == Ok(Flow::Close) && client.unsent.is_empty());
        let token = Token(FIRST_CLIENT + slot);
        if is_over || event.is_failed() {
            self.poller.remove(token);
            self.slots[slot] = None;
            self.free.push(slot);
            self.poller.set_interest(LISTENER, Interest::READABLE);
            return;
        }
        let is_sending = !client.unsent.is_empty();
        let interest = if is_sending {
            Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        self.poller.set_interest(token, interest);
    }
}

impl<P: Protocol> Client<P> {
    /// Sends what waits, or else receives once and sends the answer.
    fn progress(&mut self, scratch: &mut [u8], output: &mut Vec<u8>) -> Result<Flow> {
        if !self.unsent.is_empty() {
            let sent = write(&self.stream, &self.unsent)?;
            self.unsent.drain(..sent);
            return Ok(self.flow);
        }
        let read = match self.stream.read(scratch) {
            Err(error) if error.is_would_block() => return Ok(Flow::Continue),
            result => result?,
        };
        if read == 0 {
            self.protocol.finish(output);
            self.flow = Flow::Close;
        } else {
            self.flow = self.protocol.receive(&scratch[..read], output);
        }
        let sent = write(&self.stream, output);
        if let Ok(sent) = sent {
            self.unsent.extend_from_slice(&output[sent..]);
        }
        output.clear();
        sent.map(|_| self.flow)
    }
}

/// Writes what the socket takes now.
fn write(stream: &TcpStream, bytes: &[u8]) -> Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    match stream.write(bytes) {
        Err(error) if error.is_would_block() => Ok(0),
        result => result,
    }
}
