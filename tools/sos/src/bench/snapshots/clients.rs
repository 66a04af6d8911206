//! Clients that stay connected: one that never stops asking, and one that asks when it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::bench::withheld::ThreadWait;

/// Bytes of one round trip.
const ECHO_BYTES: usize = 64;
/// How long an answer may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(30);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
/// What ends the answer to it.
const GREETING: &[u8] = b"hello from SOS\n";

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A client of the echo that sends the next piece as soon as the last one is back.
pub struct Pinger {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Vec<Trip>>>>,
}

/// One piece on its way.
#[derive(Debug, Clone, Copy)]
struct Trip {
    sent: Instant,
    back: Instant,
    /// The longer of the times that the host had the emulated processor and the client wait meanwhile:
    /// where both waited at once, the trip took that only once.
    withheld: Duration,
}

/// The round trips of a [`Pinger`].
pub struct Trips(Vec<Trip>);

impl Pinger {
    /// Connects to the machine that this QEMU runs, and begins.
    pub fn start(address: SocketAddr, process_id: u32) -> Result<Pinger> {
        let mut stream = connect(address)?;
        // The first trip shows that it is connected to the end.
        trip(&mut stream, 0, &[])?;
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let waits = [
                ThreadWait::of_busiest(process_id),
                ThreadWait::of_this_thread(),
            ];
            let waits: Vec<_> = waits.into_iter().flatten().collect();
            let mut trips = Vec::new();
            while !told.load(Ordering::Relaxed) {
                trips.push(trip(&mut stream, trips.len() as u8, &waits)?);
            }
            Ok(trips)
        });
        Ok(Pinger {
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

impl Drop for Pinger {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

fn trip(stream: &mut TcpStream, number: u8, waits: &[ThreadWait]) -> Result<Trip> {
    let piece = [number; ECHO_BYTES];
    let mut received = [0; ECHO_BYTES];
    let waited = || waits.iter().map(ThreadWait::so_far);
    let sent = Instant::now();
    // Between the two moments, so that nothing is counted that is no part of the trip.
    let before: Vec<_> = waited().collect();
    stream.write_all(&piece).context("send to the echo")?;
    stream
        .read_exact(&mut received)
        .context("receive from the echo")?;
    ensure!(piece == received, "the echo changed the bytes");
    let meanwhile = waited().zip(before).map(|(now, before)| now - before);
    let meanwhile: Vec<_> = meanwhile.collect();
    let back = Instant::now();
    Ok(Trip {
        sent,
        back,
        withheld: withheld(&meanwhile, back - sent),
    })
}

/// What may be taken off a trip that took so long. The host counts a wait when it ends, with all of its
/// time; one that is longer than the trip began before it, and is left out.
fn withheld(waits: &[Duration], took: Duration) -> Duration {
    let within = waits.iter().filter(|wait| **wait <= took);
    within.max().copied().unwrap_or_default()
}

impl Trip {
    fn took(&self) -> Duration {
        self.back - self.sent
    }
}

/// The longest of some trips.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Longest {
    /// As a client sees it.
    pub seen: Duration,
    /// The longest when what the host withheld is taken off each.
    pub without_waits: Duration,
}

impl Trips {
    /// The longest trip of those that were under way between two moments.
    pub fn longest(&self, from: Instant, until: Instant) -> Option<Longest> {
        let touched = self.0.iter();
        let touched = touched.filter(|trip| trip.back >= from && trip.sent <= until);
        touched
            .map(|trip| Longest {
                seen: trip.took(),
                without_waits: trip.took() - trip.withheld,
            })
            .reduce(|a, b| Longest {
                seen: a.seen.max(b.seen),
                without_waits: a.without_waits.max(b.without_waits),
            })
    }
}

/// A client of the HTTP service whose connection stays open.
pub struct Visitor(TcpStream);

impl Visitor {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Result<Visitor> {
        connect(address).map(Visitor)
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self) -> Result<()> {
        self.0.write_all(REQUEST).context("send the request")?;
        let mut answer = Vec::new();
        let mut piece = [0; 1024];
        while !answer.ends_with(GREETING) {
            match self.0.read(&mut piece).context("read the answer")? {
                0 => bail!("the service closed the connection before it had answered"),
                read => answer.extend_from_slice(&piece[..read]),
            }
        }
        ensure!(
            answer.starts_with(b"HTTP/1.1 200 "),
            "the answer is {:?}",
            String::from_utf8_lossy(&answer)
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_trip_is_one_that_was_under_way() {
        let zero = Instant::now();
        let at = |ms: u64| zero + Duration::from_millis(ms);
        let trip = |sent, back, withheld| Trip {
            sent: at(sent),
            back: at(back),
            withheld: Duration::from_millis(withheld),
        };
        let trips = Trips(vec![
            trip(0, 50, 0),
            trip(50, 52, 1),
            trip(52, 62, 2),
            trip(62, 99, 0),
        ]);
        let longest = |from, until| {
            let longest = trips.longest(at(from), at(until))?;
            let ms = |time: Duration| time.as_millis();
            Some((ms(longest.seen), ms(longest.without_waits)))
        };
        assert_eq!(longest(51, 55), Some((10, 8)));
        assert_eq!(longest(20, 51), Some((50, 50)));
        assert_eq!(longest(100, 200), None);
    }

    #[test]
    fn waits_at_the_same_time_are_taken_off_once_and_those_of_before_not_at_all() {
        let ms = Duration::from_millis;
        assert_eq!(withheld(&[ms(3), ms(3)], ms(8)), ms(3));
        assert_eq!(withheld(&[ms(9), ms(2)], ms(8)), ms(2));
        assert_eq!(withheld(&[ms(9)], ms(8)), Duration::ZERO);
        assert_eq!(withheld(&[], ms(8)), Duration::ZERO);
    }

    #[test]
    fn every_piece_comes_back_unchanged_or_it_is_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let service = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut piece = [0; ECHO_BYTES];
            for round in 0..3_u8 {
                stream.read_exact(&mut piece).unwrap();
                piece[0] += round / 2;
                stream.write_all(&piece).unwrap();
            }
        });
        let pinger = Pinger::start(address, std::process::id()).unwrap();
        service.join().unwrap();
        let error = pinger.finish().err().unwrap().to_string();
        assert_eq!(error, "the echo changed the bytes");
    }
}
