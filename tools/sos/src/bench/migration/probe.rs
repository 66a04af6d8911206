//! Clients that are connected while their service moves: one that asks every millisecond, and others that
//! stay connected and are asked for at the end.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Bytes of one piece: its number.
const PIECE_BYTES: usize = 8;
/// Between two pieces.
const INTERVAL: Duration = Duration::from_millis(1);
/// Pieces that may be on their way at once, so few that every send buffer takes their echoes.
const UNDER_WAY_MAX: usize = 256;
/// How long an answer may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two attempts to reach a service that starts.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(250);

/// One piece on its way.
#[derive(Debug, Clone, Copy)]
struct Trip {
    sent: Instant,
    back: Instant,
}

/// A client of the echo that sends a piece every millisecond, whether the last one is back or not: what is
/// sent later lets a network that lost a piece find that out before a timeout.
pub struct Prober {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Vec<Trip>>>>,
}

/// The round trips of a [`Prober`].
pub struct Trips(Vec<Trip>);

impl Prober {
    /// Connects and begins.
    pub fn start(address: SocketAddr) -> Result<Prober> {
        let stream = Visitor::connect(address)?.stream;
        stream.set_nonblocking(true)?;
        let ends = Arc::new(AtomicBool::new(false));
        let mut stream = Asking {
            stream,
            under_way: VecDeque::new(),
            received: Vec::new(),
            trips: Vec::new(),
            due: Instant::now(),
        };
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) || !stream.under_way.is_empty() {
                stream.turn(!told.load(Ordering::Relaxed))?;
            }
            Ok(stream.trips)
        });
        Ok(Prober {
            ends,
            thread: Some(thread),
        })
    }

    /// Ends it; every piece came back, and unchanged.
    pub fn finish(mut self) -> Result<Trips> {
        self.ends.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(trips)) => Ok(Trips(trips?)),
            Some(Err(_)) | None => bail!("the client of the echo has panicked"),
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// The connection of a [`Prober`].
struct Asking {
    stream: TcpStream,
    /// When each piece was sent that is not back.
    under_way: VecDeque<Instant>,
    /// What came of the next one.
    received: Vec<u8>,
    trips: Vec<Trip>,
    /// When the next one is to be sent.
    due: Instant,
}

impl Asking {
    /// Sends what is due, and takes what comes until something is due again.
    fn turn(&mut self, sends: bool) -> Result<()> {
        let now = Instant::now();
        if sends && now >= self.due && self.under_way.len() < UNDER_WAY_MAX {
            let number = (self.trips.len() + self.under_way.len()) as u64;
            let piece: [u8; PIECE_BYTES] = number.to_le_bytes();
            // So little always finds room.
            self.stream.write_all(&piece).context("send to the echo")?;
            self.under_way.push_back(now);
            self.due = now + INTERVAL;
        }
        if let Some(first) = self.under_way.front() {
            ensure!(first.elapsed() < PATIENCE, "the echo does not answer");
        }
        let wait = self.due.saturating_duration_since(Instant::now());
        // While nothing is to be sent, what comes is waited for.
        let wait = wait.max(Duration::from_micros(100));
        let mut fds = [PollFd::new(&self.stream, PollFlags::IN)];
        let timeout = Timespec::try_from(wait).context("wait so long")?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(()),
            Ok(_) => self.receive(),
            Err(error) => Err(error).context("wait for the echo"),
        }
    }

    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; UNDER_WAY_MAX * PIECE_BYTES];
        let read = self.stream.read(&mut buffer);
        let read = read.context("receive from the echo")?;
        ensure!(read > 0, "the connection to the echo was closed");
        let back = Instant::now();
        self.received.extend_from_slice(&buffer[..read]);
        let whole = self.received.len() / PIECE_BYTES * PIECE_BYTES;
        for piece in self.received[..whole].chunks_exact(PIECE_BYTES) {
            let number = self.trips.len() as u64;
            let sent = self.under_way.pop_front();
            let sent = sent.context("the echo sent more than it got")?;
            ensure!(piece == number.to_le_bytes(), "the echo changed the bytes");
            self.trips.push(Trip { sent, back });
        }
        self.received.drain(..whole);
        Ok(())
    }
}

impl Trips {
    /// The longest trip of those that were under way between two moments.
    pub fn longest(&self, from: Instant, until: Instant) -> Option<Duration> {
        let touched = self.0.iter();
        let touched = touched.filter(|trip| trip.back >= from && trip.sent <= until);
        touched.map(|trip| trip.back - trip.sent).max()
    }

    /// The trips that were under way between two moments, in milliseconds from the first on.
    pub fn between_ms(&self, from: Instant, until: Instant) -> Vec<(f64, f64)> {
        let touched = self.0.iter();
        let touched = touched.filter(|trip| trip.back >= from && trip.sent <= until);
        let since = |at: Instant| match at.checked_duration_since(from) {
            Some(after) => after.as_secs_f64() * 1e3,
            None => -((from - at).as_secs_f64() * 1e3),
        };
        touched
            .map(|trip| (since(trip.sent), since(trip.back)))
            .collect()
    }

    /// The longest trip of each of some times, in milliseconds.
    pub fn each_ms(&self, times: &[(Instant, Instant)]) -> Result<Vec<f64>> {
        let longest = |&(from, until): &(Instant, Instant)| {
            let longest = self.longest(from, until).context("no trip in a time")?;
            Ok(longest.as_secs_f64() * 1e3)
        };
        times.iter().map(longest).collect()
    }
}

/// A client of the echo that asks when it is told to, and learns then if its connection was lost.
pub struct Visitor {
    stream: TcpStream,
    trips: u8,
}

impl Visitor {
    /// Connects to an echo that answers.
    pub fn connect(address: SocketAddr) -> Result<Visitor> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut visitor = Visitor { stream, trips: 0 };
        // A forwarded port takes connections before its service does.
        visitor.ask()?;
        Ok(visitor)
    }

    /// Connects as soon as the echo answers.
    pub fn connect_until(address: SocketAddr, deadline: Instant) -> Result<Visitor> {
        loop {
            match Visitor::connect(address) {
                Err(_) if Instant::now() < deadline => std::thread::sleep(ATTEMPT_INTERVAL),
                result => return result,
            }
        }
    }

    /// Sends a piece and takes it back.
    pub fn ask(&mut self) -> Result<()> {
        self.trips = self.trips.wrapping_add(1);
        let piece = [self.trips; PIECE_BYTES];
        let mut received = [0; PIECE_BYTES];
        self.stream.write_all(&piece).context("send to the echo")?;
        let read = self.stream.read_exact(&mut received);
        read.context("receive from the echo")?;
        ensure!(piece == received, "the echo changed the bytes");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_longest_trip_is_one_that_was_under_way() {
        let zero = Instant::now();
        let at = |ms: u64| zero + Duration::from_millis(ms);
        let trip = |(sent, back)| Trip {
            sent: at(sent),
            back: at(back),
        };
        let trips = Trips([(0, 50), (50, 52), (52, 62), (62, 99)].map(trip).to_vec());
        let longest = |from, until| trips.longest(at(from), at(until)).map(|it| it.as_millis());
        assert_eq!(longest(51, 55), Some(10));
        assert_eq!(longest(20, 51), Some(50));
        assert_eq!(longest(100, 200), None);
    }

    /// An echo that takes a connection, and what is done with each of its reads.
    fn echo(
        handle: impl Fn(u64, &mut TcpStream, &[u8]) -> bool + Send + 'static,
    ) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let service = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            for number in 0.. {
                let Ok(read @ 1..) = stream.read(&mut buffer) else {
                    return;
                };
                if !handle(number, &mut stream, &buffer[..read]) {
                    return;
                }
            }
        });
        (address, service)
    }

    #[test]
    fn pieces_are_sent_while_others_are_under_way_and_all_come_back() {
        let (address, service) = echo(|number, stream, bytes| {
            if number == 3 {
                std::thread::sleep(Duration::from_millis(30));
            }
            stream.write_all(bytes).is_ok()
        });
        let prober = Prober::start(address).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let trips = prober.finish().unwrap();
        service.join().unwrap();
        let longest = trips.longest(trips.0[0].sent, Instant::now()).unwrap();
        assert!(longest >= Duration::from_millis(15), "{longest:?}");
        assert!(trips.0.iter().all(|trip| trip.back >= trip.sent));
    }

    #[test]
    fn a_connection_that_is_lost_is_an_error_and_no_long_trip() {
        let (address, service) =
            echo(|number, stream, bytes| number < 3 && stream.write_all(bytes).is_ok());
        let prober = Prober::start(address).unwrap();
        service.join().unwrap();
        let error = format!("{:#}", prober.finish().err().unwrap());
        assert!(error.contains("echo"), "{error}");
    }
}
