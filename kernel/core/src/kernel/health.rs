//! Health checks: the node asks an instance now and then whether it serves, and ends it when it does not.
//!
//! The asking goes through the stack's probe (`net::stack`, `probe`). A check has failed when nobody
//! listens, when the program does not take the connection or does not answer in time, or when the answer is
//! not one of success; the stack alone, which completes handshakes while the program hangs, convinces
//! nobody. So many failures in a row as the manifest says end the instance as unhealthy, which its
//! restart policy counts as a failure.

use super::Kernel;
use super::record::{Activity, Ended, State};
use crate::image::{HealthCheck, HealthSpec};
use crate::log::EventKind;
use crate::machine::{Duration, Time};
use crate::net::stack::{Answer, NetError, SocketId, Stack};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Bytes of an answer's first line that are looked at: `HTTP/1.1 200 `.
const STATUS_BYTES: usize = 13;

/// What the node knows of an instance's health.
#[derive(Debug)]
pub(super) struct Health {
    /// When the next try begins, or the one in progress has failed.
    due: Time,
    attempt: Option<Attempt>,
    /// Tries that failed in a row.
    failures: u32,
    /// Tries that succeeded.
    successes: u64,
    /// Why the last failure was one.
    reason: String,
}

/// A try in progress.
#[derive(Debug)]
struct Attempt {
    connection: SocketId,
    /// What was not sent yet.
    request: Vec<u8>,
    /// The beginning of the answer.
    answer: Vec<u8>,
}

/// What came of looking at a try.
enum Verdict {
    Pending,
    Healthy,
    Failed(String),
}

impl Health {
    /// The state of an instance that starts now.
    pub fn new(spec: &HealthSpec, now: Time) -> Health {
        Health {
            due: now + millis(spec.grace_ms),
            attempt: None,
            failures: 0,
            successes: 0,
            reason: String::new(),
        }
    }

    /// When it wants to be looked at even if nothing happens.
    pub fn due(&self) -> Time {
        self.due
    }

    /// For `ls` and `info`.
    pub fn text(&self, spec: &HealthSpec) -> String {
        match (self.failures, self.successes) {
            (0, 0) => "starting".into(),
            (0, _) => "healthy".into(),
            (failures, _) => {
                let most = spec.failures;
                format!("failing {failures}/{most}: {}", self.reason)
            }
        }
    }

    /// The instance was paused: its program could not answer, so what was begun counts for nothing.
    pub fn restart_after_pause(&mut self, spec: &HealthSpec, stack: &mut Stack, now: Time) {
        self.end_attempt(stack);
        self.due = now + millis(spec.interval_ms);
    }

    /// Begins a try, or looks how far it is.
    fn look(
        &mut self,
        spec: &HealthSpec,
        stack: &mut Stack,
        guest_now: Time,
        now: Time,
    ) -> Verdict {
        let Some(attempt) = &mut self.attempt else {
            if now < self.due {
                return Verdict::Pending;
            }
            let (port, request) = match &spec.check {
                HealthCheck::Tcp { port } => (*port, Vec::new()),
                HealthCheck::Http { port, path } => (*port, request(path)),
            };
            let connection = match stack.probe_connect(port, guest_now) {
                Ok(connection) => connection,
                Err(NetError::ConnectionRefused) => {
                    return Verdict::Failed(format!("nothing listens on port {port}"));
                }
                Err(error) => return Verdict::Failed(error.to_string()),
            };
            self.attempt = Some(Attempt {
                connection,
                request,
                answer: Vec::new(),
            });
            self.due = now + millis(spec.timeout_ms);
            return Verdict::Pending;
        };
        match attempt.proceed(&spec.check, stack) {
            Verdict::Pending if now >= self.due => {
                let wait = spec.timeout_ms;
                Verdict::Failed(format!("no answer within {wait} ms"))
            }
            verdict => verdict,
        }
    }

    fn end_attempt(&mut self, stack: &mut Stack) {
        if let Some(attempt) = self.attempt.take() {
            stack.probe_close(attempt.connection);
        }
    }
}

impl Attempt {
    fn proceed(&mut self, check: &HealthCheck, stack: &mut Stack) -> Verdict {
        let accepted = match stack.probe_answer(self.connection) {
            Ok(Answer::Handshaking | Answer::Queued) => return Verdict::Pending,
            Ok(Answer::Accepted) => matches!(check, HealthCheck::Tcp { .. }),
            Err(error) => return Verdict::Failed(error.to_string()),
        };
        if accepted {
            return Verdict::Healthy;
        }
        match self.exchange(stack) {
            Ok(verdict) => verdict,
            Err(error) => Verdict::Failed(error.to_string()),
        }
    }

    /// Sends what is left of the request and reads the status of the answer.
    fn exchange(&mut self, stack: &mut Stack) -> Result<Verdict, NetError> {
        if !self.request.is_empty()
            && let Some(sent) = stack.tcp_write(self.connection, &self.request)?
        {
            self.request.drain(..sent);
        }
        let mut buffer = [0; STATUS_BYTES];
        while self.answer.len() < STATUS_BYTES {
            let room = STATUS_BYTES - self.answer.len();
            match stack.tcp_read(self.connection, &mut buffer[..room])? {
                None => return Ok(Verdict::Pending),
                Some(0) => break,
                Some(read) => self.answer.extend_from_slice(&buffer[..read]),
            }
        }
        Ok(match status(&self.answer) {
            Some(200..=399) => Verdict::Healthy,
            Some(status) => Verdict::Failed(format!("the answer has status {status}")),
            None => Verdict::Failed("the answer is not HTTP".into()),
        })
    }
}

/// A request that any HTTP/1.1 server answers and after which it closes (RFC 9112).
fn request(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: sos-health\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    )
    .into_bytes()
}

/// The status code of an answer that begins like this (RFC 9112, section 4).
fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?;
    let (version, rest) = rest.split_first()?;
    let digits = rest.strip_prefix(b" ")?.get(..3)?;
    if !version.is_ascii_digit() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(digits).ok()?.parse().ok()
}

fn millis(count: u32) -> Duration {
    Duration::from_millis(u64::from(count))
}

impl Kernel {
    /// Looks after the health check of an instance whose stack was just polled.
    pub(super) fn attend_health(&mut self, key: u32) {
        let now = self.clock.now();
        let record = &mut self.records[key as usize];
        let State::Live(live) = &mut record.state else {
            return;
        };
        let (Some(spec), Some(health)) = (&record.spec.health, &mut live.health) else {
            return;
        };
        match live.activity {
            Activity::Paused(_) | Activity::Standing(_) | Activity::Stopping(_) => return,
            // It is slowed down to be copied: that is no illness.
            Activity::Runnable | Activity::Waiting if !record.throttle.is_full() => return,
            Activity::Runnable | Activity::Waiting => {}
        }
        let guest = live.execution.guest_mut();
        let guest_now = guest.clock.now();
        let verdict = health.look(spec, &mut guest.stack, guest_now, now);
        let name = &record.spec.name;
        let interval = millis(spec.interval_ms);
        match verdict {
            Verdict::Pending => return,
            Verdict::Healthy => {
                health.successes += 1;
                if health.failures > 0 {
                    let detail = format!("after {} failures", health.failures);
                    self.journal.event(now, name, EventKind::Recovered, detail);
                }
                health.failures = 0;
            }
            Verdict::Failed(reason) => {
                health.failures += 1;
                let most = spec.failures;
                if health.failures >= most {
                    return self.finish(key, Ended::Unhealthy(reason));
                }
                let detail = format!("{} of {most}: {reason}", health.failures);
                self.journal
                    .event(now, name, EventKind::CheckFailed, detail);
                health.reason = reason;
            }
        }
        health.end_attempt(&mut guest.stack);
        health.due = now + interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_the_beginning_of_an_answer() {
        assert_eq!(status(b"HTTP/1.1 200 "), Some(200));
        assert_eq!(status(b"HTTP/1.0 503"), Some(503));
        for answer in [
            &b""[..],
            b"HTTP/1.1",
            b"HTTP/1.1 20",
            b"HTTP/2 200 OK",
            b"HTTP/1.x 200 ",
            b"HTTP/1.1 2x0 ",
            b"hello world, ",
        ] {
            assert_eq!(status(answer), None);
        }
    }
}
