//! The one connection to the store, shared by all clients: requests go out in batches, answers come
//! in their order. It is made when it is needed; while the store is away requests get 503.

use std::collections::VecDeque;

use sos_sdk::http::{RequestId, Response, Server, Status};
use sos_sdk::net::{SocketAddr, TcpStream};
use sos_sdk::poll::{Event, Interest, Token};
use sos_sdk::time::{Duration, Instant};
use sos_sdk::{info, warn};
use store::{Answer, Frame, Operation, Request, encode_request, next_answer};

const TOKEN: Token = Token(1);
/// Requests that may wait for answers.
const WAITING: usize = 256;
/// Bytes that may wait to be sent.
const UNSENT_BYTES: usize = 1024 * 1024;
/// A store that says nothing for this long is away.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No connection.
    Away,
    /// A connection is to be made at the end of this turn.
    Wanted,
    Connecting,
    Connected,
}

/// The client of the store.
pub struct StoreClient {
    address: SocketAddr,
    state: State,
    stream: Option<TcpStream>,
    waiting: VecDeque<(RequestId, Operation)>,
    unsent: Vec<u8>,
    input: Vec<u8>,
    scratch: Vec<u8>,
    /// When requests began to wait, or the store last answered.
    last_progress: Instant,
}

/// Answers that the store is away.
pub fn unavailable(response: Response<'_>) {
    response.send(
        Status::SERVICE_UNAVAILABLE,
        b"the store does not answer; try again\n",
    );
}

impl StoreClient {
    /// A client that connects when it is first asked.
    pub fn new(address: SocketAddr) -> StoreClient {
        StoreClient {
            address,
            state: State::Away,
            stream: None,
            waiting: VecDeque::new(),
            unsent: Vec::new(),
            input: Vec::new(),
            scratch: vec![0; 16 * 1024],
            last_progress: Instant::now(),
        }
    }

    /// Whether requests wait for the store.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Queues a request, to be sent at the end of the turn; says no when too many wait.
    pub fn ask(&mut self, request: &Request<'_>, id: RequestId) -> bool {
        if self.waiting.len() >= WAITING || self.unsent.len() >= UNSENT_BYTES {
            return false;
        }
        if self.waiting.is_empty() {
            self.last_progress = Instant::now();
        }
        if self.state == State::Away {
            self.state = State::Wanted;
        }
        encode_request(&mut self.unsent, request);
        self.waiting.push_back((id, request.operation));
        true
    }

    /// What is due at the end of each turn: connect, send, give up.
    pub fn turn(&mut self, server: &mut Server) {
        match self.state {
            State::Wanted => self.connect(server),
            State::Connected if !self.unsent.is_empty() => self.send(server),
            State::Away | State::Connecting | State::Connected => {}
        }
        if self.is_waiting() && self.last_progress.elapsed() > PATIENCE {
            self.give_up(server, "it says nothing");
        }
    }

    /// The socket is ready.
    pub fn event(&mut self, event: Event, server: &mut Server) {
        if self.state == State::Connecting {
            let Some(stream) = &self.stream else { return };
            match stream.connect_status() {
                Ok(()) => {
                    info!("connected to the store at {}", self.address);
                    self.state = State::Connected;
                    server.poller().set_interest(TOKEN, Interest::READABLE);
                    self.last_progress = Instant::now();
                }
                Err(error) if error.is_would_block() => {}
                Err(error) => self.give_up(server, error),
            }
            return;
        }
        if event.is_readable() {
            self.receive(server);
        } else if event.is_failed() || event.is_closed() {
            self.give_up(server, "the connection broke");
        }
        // A writable socket is served at the end of the turn.
    }

    fn connect(&mut self, server: &mut Server) {
        match TcpStream::start_connect(self.address) {
            Ok(stream) => {
                server.poller().add(&stream, TOKEN, Interest::WRITABLE);
                self.stream = Some(stream);
                self.state = State::Connecting;
            }
            Err(error) => self.give_up(server, error),
        }
    }

    fn send(&mut self, server: &mut Server) {
        let Some(stream) = &self.stream else { return };
        let sent = match stream.write(&self.unsent) {
            Ok(sent) => sent,
            Err(error) if error.is_would_block() => 0,
            Err(error) => return self.give_up(server, error),
        };
        self.unsent.drain(..sent);
        let interest = match self.unsent.is_empty() {
            true => Interest::READABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        server.poller().set_interest(TOKEN, interest);
    }

    fn receive(&mut self, server: &mut Server) {
        let Some(stream) = &self.stream else { return };
        match stream.read(&mut self.scratch) {
            Ok(0) => self.give_up(server, "it closed the connection"),
            Ok(read) => {
                self.input.extend_from_slice(&self.scratch[..read]);
                self.last_progress = Instant::now();
                self.deliver(server);
            }
            Err(error) if error.is_would_block() => {}
            Err(error) => self.give_up(server, error),
        }
    }

    /// Hands whole answers to the clients that wait for them.
    fn deliver(&mut self, server: &mut Server) {
        let input = std::mem::take(&mut self.input);
        let mut taken = 0;
        loop {
            match next_answer(&input[taken..]) {
                Frame::Complete(answer, bytes) => {
                    taken += bytes;
                    let Some((id, operation)) = self.waiting.pop_front() else {
                        return self.give_up(server, "it answered what was not asked");
                    };
                    server.respond(id, |response| translate(&answer, operation, response));
                }
                Frame::Incomplete => break,
                Frame::Malformed => return self.give_up(server, "it speaks another protocol"),
            }
        }
        self.input = input;
        self.input.drain(..taken);
    }

    /// Drops the connection and tells every client that waits.
    fn give_up(&mut self, server: &mut Server, reason: impl std::fmt::Display) {
        warn!("the store at {} is away: {reason}", self.address);
        if self.stream.take().is_some() {
            server.poller().remove(TOKEN);
        }
        self.state = State::Away;
        self.unsent.clear();
        self.input.clear();
        for (id, _) in self.waiting.drain(..) {
            server.respond(id, unavailable);
        }
    }
}

/// The store's answer as an HTTP response.
fn translate(answer: &Answer<'_>, operation: Operation, response: Response<'_>) {
    match (answer.status, operation) {
        (store::Status::Done, Operation::Get) => response.send(Status::OK, answer.value),
        (store::Status::Done, Operation::Put) => response.send(Status::OK, b"stored\n"),
        (store::Status::Done, Operation::Delete) => response.send(Status::OK, b"deleted\n"),
        (store::Status::NotFound, _) => response.refuse(Status::NOT_FOUND),
        (store::Status::Full, _) => response.refuse(Status::INSUFFICIENT_STORAGE),
        (store::Status::Malformed, _) => response.refuse(Status::INTERNAL_SERVER_ERROR),
    }
}
