//! Three byte-stream services for the bench; `tools/peer` has the same on Linux.
//!
//! - *sink* (9001): reads to the end of the stream, then answers the count as 8 bytes, little-endian;
//! - *source* (9002): reads a count of 8 bytes, little-endian, sends that many bytes and closes;
//! - *echo* (9003): sends back what it reads.

mod client;

use client::{Client, Progress, Service};
use sos_sdk::net::{Blocking, Ipv4Addr, TcpListener};
use sos_sdk::poll::{Event, Interest, Poller, Token};
use sos_sdk::{info, warn};

const SERVICES: [(u16, Service); 3] = [
    (9001, Service::Sink),
    (9002, Service::Source),
    (9003, Service::Echo),
];
const CLIENTS: usize = 64;
/// Bytes that one read or write moves at most.
const CHUNK_BYTES: usize = 64 * 1024;

struct Server {
    poller: Poller,
    listeners: Vec<(TcpListener, Service)>,
    clients: Vec<Option<Client>>,
    scratch: Vec<u8>,
    payload: Vec<u8>,
}

fn start() -> sos_sdk::Result<()> {
    let mut server = Server {
        poller: Poller::new(),
        listeners: Vec::new(),
        clients: (0..CLIENTS).map(|_| None).collect(),
        scratch: vec![0; CHUNK_BYTES],
        payload: (0..CHUNK_BYTES)
            .map(|index| b'a' + (index % 26) as u8)
            .collect(),
    };
    for (index, (port, service)) in SERVICES.into_iter().enumerate() {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED.into(), port))?;
        listener.set_blocking(Blocking::Never);
        server
            .poller
            .add(&listener, Token(index), Interest::READABLE);
        server.listeners.push((listener, service));
    }
    info!("sink, source and echo on ports 9001 to 9003");
    let mut events = Vec::new();
    loop {
        server.poller.wait(&mut events, None)?;
        for &event in &events {
            match event.token.0.checked_sub(SERVICES.len()) {
                None => server.accept(event.token.0),
                Some(slot) => server.client_event(slot, event),
            }
        }
    }
}

impl Server {
    fn accept(&mut self, index: usize) {
        let (listener, service) = &self.listeners[index];
        while let Ok((stream, _)) = listener.accept() {
            let Some(slot) = self.clients.iter().position(Option::is_none) else {
                warn!("more than {CLIENTS} clients; one is turned away");
                continue;
            };
            stream.set_blocking(Blocking::Never);
            // A failure shows at the first read.
            let _ = stream.set_nodelay(true);
            self.poller
                .add(&stream, Token(SERVICES.len() + slot), Interest::READABLE);
            self.clients[slot] = Some(Client::new(stream, *service));
        }
    }

    fn client_event(&mut self, slot: usize, event: Event) {
        let Some(client) = &mut self.clients[slot] else {
            return;
        };
        let token = Token(SERVICES.len() + slot);
        let progress = match event.is_failed() {
            true => Ok(Progress::Over),
            false => client.progress(&mut self.scratch, &self.payload),
        };
        match progress {
            Ok(Progress::Reading) => self.poller.set_interest(token, Interest::READABLE),
            Ok(Progress::Writing) => self.poller.set_interest(token, Interest::WRITABLE),
            Ok(Progress::Over) | Err(_) => {
                self.poller.remove(token);
                self.clients[slot] = None;
            }
        }
    }
}

sos_sdk::main!(start);
