//! The load generator: closed and open loops of checked HTTP requests from one thread.
//!
//! One thread with `poll` takes far less of a small machine than the emulator that it loads, and
//! nothing has to be installed. Every answer is checked: status 200 and a body of the length that
//! the first answer had.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
const CLOSING_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
/// How long a single answer may take before the measurement is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Time between two attempts to reach a machine that boots.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(10);
/// Attempts that are waited for at once; the oldest is given up.
const ATTEMPTS_MAX: usize = 64;
/// Connections of the open loop; requests that find all of them busy wait, and the wait counts.
const OPEN_LOOP_CONNECTIONS: usize = 8;

/// What a loop of requests measured.
#[derive(Debug, Default)]
pub struct Answers {
    /// From each request's (scheduled) sending to its complete answer, in milliseconds.
    pub latencies_ms: Vec<f64>,
    /// How long the loop ran.
    pub elapsed: Duration,
}

impl Answers {
    /// Answers per second.
    pub fn rate(&self) -> f64 {
        self.latencies_ms.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// A complete response at the start of `bytes`: its whole length and its body's length.
fn complete_response(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).context("the answer's head is not text")?;
    ensure!(
        head.starts_with("HTTP/1.1 200 "),
        "the answer is `{}`",
        head.lines().next().unwrap_or("")
    );
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>())
    };
    let body = head
        .lines()
        .find_map(header)
        .context("the answer has no content-length")??;
    Ok((bytes.len() >= end + 4 + body).then_some((end + 4 + body, body)))
}

/// One connection of a loop.
struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    /// Since when the outstanding request counts; none outstanding, none waited for.
    asked: Option<Instant>,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Client> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Client {
            stream,
            received: Vec::new(),
            asked: None,
        })
    }

    fn ask(&mut self, request: &[u8], since: Instant) -> io::Result<()> {
        self.asked = Some(since);
        // A request is far smaller than any socket buffer, so it is taken whole.
        self.stream.write_all(request)
    }

    /// Reads what is there; the milliseconds and the body's length when the answer is complete.
    fn receive(&mut self) -> Result<Option<(f64, usize)>> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => bail!("the service closed the connection before its answer was complete"),
            Ok(read) => self.received.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("read the answer"),
        }
        let Some((total, body)) = complete_response(&self.received)? else {
            return Ok(None);
        };
        ensure!(
            total == self.received.len(),
            "the service sent more than one answer to one request"
        );
        self.received.clear();
        let asked = self.asked.take().context("an answer without a request")?;
        Ok(Some((asked.elapsed().as_secs_f64() * 1e3, body)))
    }
}

/// Waits until one of the sockets can be read, at most `timeout`; the indices that can.
fn wait_readable<'a>(
    clients: impl Iterator<Item = &'a Client>,
    timeout: Duration,
) -> io::Result<Vec<usize>> {
    let mut entries: Vec<libc::pollfd> = clients
        .map(|client| libc::pollfd {
            fd: client.stream.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let limit = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: libc::c_long::from(timeout.subsec_nanos() as i32),
    };
    // SAFETY: the array and the time outlive the call, the array's length is passed.
    let count = unsafe {
        libc::ppoll(
            entries.as_mut_ptr(),
            entries.len() as libc::nfds_t,
            &limit,
            std::ptr::null(),
        )
    };
    match count {
        -1 => match io::Error::last_os_error() {
            error if error.kind() == ErrorKind::Interrupted => Ok(Vec::new()),
            error => Err(error),
        },
        _ => Ok((0..entries.len())
            .filter(|&index| entries[index].revents != 0)
            .collect()),
    }
}

/// As many requests as `connections` keep-alive connections allow, one outstanding on each.
pub fn closed_loop(address: SocketAddr, connections: usize, duration: Duration) -> Result<Answers> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Client::connect(address)?);
    }
    let began = Instant::now();
    let mut answers = Answers::default();
    let mut body_len = None;
    for client in &mut clients {
        client.ask(REQUEST, Instant::now())?;
    }
    while began.elapsed() < duration {
        let ready = wait_readable(clients.iter(), ANSWER_TIMEOUT)?;
        ensure!(
            !ready.is_empty(),
            "no answer for {} s",
            ANSWER_TIMEOUT.as_secs()
        );
        for index in ready {
            if let Some((latency_ms, body)) = clients[index].receive()? {
                ensure!(
                    *body_len.get_or_insert(body) == body,
                    "answers of different length"
                );
                answers.latencies_ms.push(latency_ms);
                clients[index].ask(REQUEST, Instant::now())?;
            }
        }
    }
    answers.elapsed = began.elapsed();
    Ok(answers)
}

/// Requests at a fixed rate, whatever the answers do; latency counts from the scheduled moment.
pub fn open_loop(address: SocketAddr, per_second: u32, duration: Duration) -> Result<Answers> {
    let mut clients = Vec::new();
    for _ in 0..OPEN_LOOP_CONNECTIONS {
        clients.push(Client::connect(address)?);
    }
    let interval = Duration::from_secs(1) / per_second;
    let began = Instant::now();
    let mut next = began;
    let mut answers = Answers::default();
    while next < began + duration || clients.iter().any(|client| client.asked.is_some()) {
        while next <= Instant::now() && next < began + duration {
            let Some(idle) = clients.iter_mut().find(|client| client.asked.is_none()) else {
                break;
            };
            idle.ask(REQUEST, next)?;
            next += interval;
        }
        let wait = next.saturating_duration_since(Instant::now());
        // With nothing more to send, or nobody to send it, only answers are waited for.
        let busy = clients.iter().all(|client| client.asked.is_some());
        let wait = if busy || next >= began + duration {
            ANSWER_TIMEOUT
        } else {
            wait
        };
        for index in wait_readable(clients.iter(), wait)? {
            if let Some((latency_ms, _)) = clients[index].receive()? {
                answers.latencies_ms.push(latency_ms);
            }
        }
        let oldest = clients.iter().filter_map(|client| client.asked).min();
        let stuck = oldest.is_some_and(|asked| asked.elapsed() > ANSWER_TIMEOUT);
        ensure!(!stuck, "no answer for {} s", ANSWER_TIMEOUT.as_secs());
    }
    answers.elapsed = began.elapsed();
    Ok(answers)
}

/// New connections with one request each, `concurrency` at once.
pub fn connection_loop(
    address: SocketAddr,
    concurrency: usize,
    duration: Duration,
) -> Result<Answers> {
    let open = || -> Result<Client> {
        let since = Instant::now();
        let mut client = Client::connect(address)?;
        client.ask(CLOSING_REQUEST, since)?;
        Ok(client)
    };
    let began = Instant::now();
    let mut answers = Answers::default();
    let mut clients = (0..concurrency)
        .map(|_| open())
        .collect::<Result<Vec<_>>>()?;
    while began.elapsed() < duration {
        let ready = wait_readable(clients.iter(), ANSWER_TIMEOUT)?;
        ensure!(
            !ready.is_empty(),
            "no answer for {} s",
            ANSWER_TIMEOUT.as_secs()
        );
        for index in ready {
            if let Some((latency_ms, _)) = clients[index].receive()? {
                answers.latencies_ms.push(latency_ms);
                clients[index] = open()?;
            }
        }
    }
    answers.elapsed = began.elapsed();
    Ok(answers)
}

/// Tries until the first answer comes, or until `deadline`; the moment of the answer.
///
/// Attempts overlap, because an attempt that began before the service listened may be retried late
/// by the TCP stacks on the way, which is not what is measured.
pub fn first_answer(address: SocketAddr, deadline: Instant) -> Result<Instant> {
    let mut clients: Vec<Client> = Vec::new();
    let mut next = Instant::now();
    while Instant::now() < deadline {
        if next <= Instant::now() {
            if clients.len() == ATTEMPTS_MAX {
                clients.remove(0);
            }
            if let Ok(mut client) = Client::connect(address)
                && client.ask(CLOSING_REQUEST, Instant::now()).is_ok()
            {
                clients.push(client);
            }
            next = Instant::now() + ATTEMPT_INTERVAL;
        }
        let ready = wait_readable(
            clients.iter(),
            next.saturating_duration_since(Instant::now()),
        )?;
        // From the back, so that removing a refused attempt moves none that is still to be looked at.
        for index in ready.into_iter().rev() {
            match clients[index].receive() {
                Ok(Some(_)) => return Ok(Instant::now()),
                Ok(None) => {}
                Err(_) => drop(clients.remove(index)),
            }
        }
    }
    bail!("no answer from {address} before the deadline")
}

#[cfg(test)]
mod tests;
