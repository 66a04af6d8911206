//! What the bench takes snapshots of: a service that holds so much memory, every page of it touched and
//! unlike any other, and writes to it while it serves. `tools/peer` holds as much on Linux.
//!
//! - HTTP (80): `GET` of anything answers 200 and [`GREETING`];
//! - echo (9003): sends back what it reads, and writes to one page of its memory for each piece.
//!
//! Configuration: `mebibytes`, the memory that it holds besides its own (0); `hot`: 1 has it write to that
//! memory without a pause.

use sos_sdk::Result;
use sos_sdk::http::{Answer, Limits, Request, RequestId, Response, Server, Service, Status};
use sos_sdk::net::{Blocking, Ipv4Addr, TcpListener, TcpStream};
use sos_sdk::poll::{Event, Interest, Token};
use sos_sdk::time::Duration;
use sos_sdk::{config, info, warn};

/// The peer's own text, so that both hold and write the same.
#[path = "../../../tools/peer/src/held.rs"]
mod held;
use held::{Held, Writing};

/// The body of every answer.
const GREETING: &[u8] = b"hello from SOS\n";
const ECHO_PORT: u16 = 9003;
/// The token of its listener; those of its clients follow.
const ECHO: Token = Token(1);
const ECHO_CLIENTS: usize = 16;
/// Most that one piece has.
const PIECE_BYTES: usize = 4096;

struct Holder {
    held: Held,
    listener: TcpListener,
    clients: [Option<TcpStream>; ECHO_CLIENTS],
}

impl Service for Holder {
    fn request(&mut self, _: &Request<'_>, response: Response<'_>, _: RequestId) -> Answer {
        self.held.write();
        response.send(Status::OK, GREETING);
        Answer::Now
    }

    fn event(&mut self, event: Event, server: &mut Server) {
        match event.token.0.checked_sub(ECHO.0 + 1) {
            None => self.accept(server),
            Some(slot) => self.echo(slot, event, server),
        }
    }
}

impl Holder {
    fn accept(&mut self, server: &mut Server) {
        while let Ok((stream, _)) = self.listener.accept() {
            let Some(slot) = self.clients.iter().position(Option::is_none) else {
                warn!("more than {ECHO_CLIENTS} clients; one is turned away");
                continue;
            };
            stream.set_blocking(Blocking::Never);
            // A failure shows at the first read.
            let _ = stream.set_nodelay(true);
            let token = Token(ECHO.0 + 1 + slot);
            server.poller().add(&stream, token, Interest::READABLE);
            self.clients[slot] = Some(stream);
        }
    }

    fn echo(&mut self, slot: usize, event: Event, server: &mut Server) {
        let Some(stream) = &mut self.clients[slot] else {
            return;
        };
        let mut piece = [0; PIECE_BYTES];
        let goes_on = match stream.read(&mut piece) {
            _ if event.is_failed() => false,
            Err(error) => error.is_would_block(),
            Ok(0) => false,
            // Clients have one piece under way, which the send buffer always takes.
            Ok(read) => stream.write(&piece[..read]).is_ok_and(|sent| sent == read),
        };
        self.held.write();
        if !goes_on {
            server.poller().remove(event.token);
            self.clients[slot] = None;
        }
    }
}

fn start() -> Result<()> {
    let mebibytes = config::parse("mebibytes").unwrap_or(0);
    let held = Held::fill(mebibytes);
    let address = (Ipv4Addr::UNSPECIFIED.into(), ECHO_PORT);
    let listener = TcpListener::bind(address)?;
    listener.set_blocking(Blocking::Never);
    let mut server = Server::bind((Ipv4Addr::UNSPECIFIED.into(), 80), Limits::default())?;
    server.poller().add(&listener, ECHO, Interest::READABLE);
    let mut holder = Holder {
        held,
        listener,
        clients: [const { None }; ECHO_CLIENTS],
    };
    info!("holds {mebibytes} MiB and serves");
    let writing = match config::parse("hot") {
        Some(1) => Writing::Always,
        _ => Writing::WhileServing,
    };
    if writing == Writing::WhileServing {
        let never = server.run(&mut holder)?;
        match never {}
    }
    let mut events = Vec::new();
    loop {
        holder.held.write_some();
        server.turn(&mut holder, &mut events, Some(Duration::ZERO))?;
    }
}

sos_sdk::main!(start);
