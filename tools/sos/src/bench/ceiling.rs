//! The ceiling of the path: LAN and gateway with a station of this process instead of a machine.
//!
//! [`Station`] answers what the measured services answer, by smoltcp on a tap of the LAN, in a
//! thread without emulation. What it reaches is the most that any system could show on this path.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{EthernetAddress, IpCidr};

use super::system::{self, Service, Services};
use crate::lan::{Lan, Tap};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const PREFIX: u8 = 24;
const MAC: EthernetAddress = EthernetAddress([0x02, 0x53, 0x4f, 0x53, 0x00, 0x03]);
/// Sockets that listen or serve at once, for HTTP and for each of the streams.
const HTTP_SOCKETS: usize = 64;
const STREAM_SOCKETS: usize = 3;
const HTTP_BUFFER_BYTES: usize = 4 * 1024;
const STREAM_BUFFER_BYTES: usize = 512 * 1024;
const CHUNK_BYTES: usize = 64 * 1024;
/// The longest sleep, after which the thread looks whether it is to end.
const NAP: Duration = Duration::from_millis(20);
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 15\r\n\r\nhello from SOS\n";

/// A station on a LAN of its own. Ends when dropped.
pub struct Station {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _lan: Lan,
    /// Where its services answer.
    pub services: Services,
}

impl Station {
    /// Starts the LAN and the station.
    pub fn start() -> Result<Station> {
        let (lan, services) = system::start_lan([IpAddr::V4(ADDRESS); 4])?;
        let tap = lan.tap().context("plug a station into the LAN")?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            // An error means that the LAN is gone, which whoever measures sees itself.
            let _ = Server::new(tap).run(&told);
        });
        Ok(Station {
            stop,
            thread: Some(thread),
            _lan: lan,
            services,
        })
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

/// One socket and what it owes.
struct Slot {
    handle: SocketHandle,
    service: Service,
    counted: u64,
    owed: u64,
}

struct Server {
    tap: Tap,
    interface: Interface,
    sockets: SocketSet<'static>,
    slots: Vec<Slot>,
    began: Instant,
    scratch: Vec<u8>,
}

impl Server {
    fn new(mut tap: Tap) -> Server {
        let mut interface = Interface::new(Config::new(MAC.into()), &mut tap, StackInstant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // The list of a fresh interface has room for one.
            let _ = addresses.push(IpCidr::new(ADDRESS.into(), PREFIX));
        });
        let mut sockets = SocketSet::new(Vec::new());
        let mut slots = Vec::new();
        for service in Service::ALL {
            let count = if service == Service::Http {
                HTTP_SOCKETS
            } else {
                STREAM_SOCKETS
            };
            for _ in 0..count {
                let handle = sockets.add(listening(service));
                slots.push(Slot {
                    handle,
                    service,
                    counted: 0,
                    owed: 0,
                });
            }
        }
        let scratch = vec![b'x'; CHUNK_BYTES];
        Server {
            tap,
            interface,
            sockets,
            slots,
            began: Instant::now(),
            scratch,
        }
    }

    fn run(mut self, stop: &AtomicBool) -> io::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let now = StackInstant::from_micros(self.began.elapsed().as_micros() as i64);
            self.interface.poll(now, &mut self.tap, &mut self.sockets);
            let mut moved = false;
            for slot in &mut self.slots {
                moved |= slot.progress(&mut self.sockets, &mut self.scratch);
            }
            self.tap.flush()?;
            if !moved {
                let delay = self
                    .interface
                    .poll_delay(now, &self.sockets)
                    .map(Duration::from);
                self.tap.wait(delay.unwrap_or(NAP).min(NAP))?;
            }
        }
        Ok(())
    }
}

fn listening(service: Service) -> Socket<'static> {
    let bytes = match service {
        Service::Http => HTTP_BUFFER_BYTES,
        Service::Sink | Service::Source | Service::Echo => STREAM_BUFFER_BYTES,
    };
    let buffer = || SocketBuffer::new(vec![0; bytes]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(None);
    // A closed socket can listen, and the ports are not zero.
    let _ = socket.listen(service.port());
    socket
}

impl Slot {
    /// Moves what can be moved; whether anything was.
    fn progress(&mut self, sockets: &mut SocketSet<'static>, scratch: &mut [u8]) -> bool {
        let socket = sockets.get_mut::<Socket>(self.handle);
        if matches!(socket.state(), State::Closed | State::TimeWait) {
            // A new socket rather than an abort, which would send a reset after the end.
            sockets.remove(self.handle);
            self.handle = sockets.add(listening(self.service));
            (self.counted, self.owed) = (0, 0);
            return true;
        }
        let mut moved = false;
        if self.owed > 0 && socket.can_send() {
            let bytes = self.owed.min(scratch.len() as u64) as usize;
            self.owed -= socket.send_slice(&scratch[..bytes]).unwrap_or(0) as u64;
            if self.owed == 0 {
                socket.close();
            }
            moved = true;
        }
        if socket.can_recv() && (self.service != Service::Echo || socket.can_send()) {
            let read = socket.recv_slice(scratch).unwrap_or(0);
            self.receive(socket, &scratch[..read]);
            moved = true;
        }
        if socket.state() == State::CloseWait && !socket.can_recv() {
            if self.service == Service::Sink {
                // The transmit buffer of a sink is empty.
                let _ = socket.send_slice(&self.counted.to_le_bytes());
            }
            socket.close();
            moved = true;
        }
        moved
    }

    /// Requests come whole, as the load generator writes them in one piece.
    fn receive(&mut self, socket: &mut Socket<'static>, bytes: &[u8]) {
        match self.service {
            Service::Sink => self.counted += bytes.len() as u64,
            Service::Source => {
                self.owed = bytes.try_into().map(u64::from_le_bytes).unwrap_or(0);
            }
            Service::Echo => {
                // There was room, and round trips are far smaller than the buffer.
                let _ = socket.send_slice(bytes);
            }
            Service::Http => {
                let _ = socket.send_slice(ANSWER);
                if bytes.windows(5).any(|window| window == b"close") {
                    socket.close();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::system::Service;
    use super::super::{load, stream_load};
    use super::Station;

    const SHORT: Duration = Duration::from_millis(100);

    #[test]
    fn the_whole_path_carries_every_kind_of_load_without_a_loss() {
        let station = Station::start().unwrap();
        let address = |service| station.services.address(service);
        let deadline = Instant::now() + Duration::from_secs(60);
        load::first_answer(address(Service::Http), deadline).unwrap();
        assert!(
            load::closed_loop(address(Service::Http), 16, SHORT)
                .unwrap()
                .rate()
                > 0.0
        );
        assert!(
            load::connection_loop(address(Service::Http), 4, SHORT)
                .unwrap()
                .rate()
                > 0.0
        );
        assert!(stream_load::into_sink(address(Service::Sink), SHORT).unwrap() > 0.0);
        assert!(stream_load::out_of_source(address(Service::Source), SHORT).unwrap() > 0.0);
        assert!(
            !stream_load::round_trips(address(Service::Echo), SHORT)
                .unwrap()
                .is_empty()
        );
    }
}
