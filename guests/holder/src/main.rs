//! What the bench takes snapshots of: a service that holds so much memory, every page of it touched and
//! unlike any other, and writes to it while it serves. `tools/peer` holds as much on Linux.
//!
//! - HTTP (80): `GET` of anything answers 200 and [`GREETING`];
//! - echo (9003): sends back what it reads, and writes to one page of its memory for each piece.
//!
//! Configuration: `mebibytes`, the memory that it holds besides its own (0).

use sos_sdk::Result;
use sos_sdk::http::{Answer, Limits, Request, RequestId, Response, Server, Service, Status};
use sos_sdk::net::{Blocking, Ipv4Addr, TcpListener, TcpStream};
use sos_sdk::poll::{Event, Interest, Token};
use sos_sdk::{config, info, warn};

/// The body of every answer.
const GREETING: &[u8] = b"hello from SOS\n";
const ECHO_PORT: u16 = 9003;
/// The token of its listener; those of its clients follow.
const ECHO: Token = Token(1);
const ECHO_CLIENTS: usize = 16;
/// Most that one piece has.
const PIECE_BYTES: usize = 4096;
const PAGE_BYTES: usize = 4096;
/// Pages between two that are written one after the other: odd, so that all get their turn, and so many
/// that neighbours share no table.
const STRIDE: usize = 521;

/// Memory that is touched and written.
struct Held {
    bytes: Vec<u8>,
    next: usize,
}

impl Held {
    /// Fills so much with pages of noise, each with a number of its own.
    fn fill(mebibytes: usize) -> Held {
        let mut noise = [0; PAGE_BYTES];
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for word in noise.chunks_exact_mut(8) {
            // Xorshift (Marsaglia 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let mut bytes = vec![0; mebibytes << 20];
        for (number, page) in bytes.chunks_exact_mut(PAGE_BYTES).enumerate() {
            page.copy_from_slice(&noise);
            page[..8].copy_from_slice(&(number as u64).to_le_bytes());
        }
        Held { bytes, next: 0 }
    }

    /// Writes to the next page.
    fn write(&mut self) {
        let pages = self.bytes.len() / PAGE_BYTES;
        if pages > 0 {
            self.next = (self.next + STRIDE) % pages;
            let byte = &mut self.bytes[self.next * PAGE_BYTES + 8];
            *byte = byte.wrapping_add(1);
        }
    }
}

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
    let never = server.run(&mut holder)?;
    match never {}
}

sos_sdk::main!(start);
