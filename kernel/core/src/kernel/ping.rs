//! Echo requests that an operator sends from an instance's stack.

use super::Kernel;
use crate::control::{ControlError, PingReply, Report};
use crate::limits;
use crate::machine::Time;
use crate::net::stack::{NetError, SocketId};
use alloc::format;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Bytes in an echo request after its header, as `ping` elsewhere sends.
const PAYLOAD_BYTES: usize = 56;

/// One operator's ping.
pub(super) struct Ping {
    number: u32,
    key: u32,
    socket: SocketId,
    /// Requests without an answer, oldest first.
    sent: Vec<(u16, Time)>,
}

impl Ping {
    /// Whether the instance of this key sends it.
    pub fn is_from(&self, key: u32) -> bool {
        self.key == key
    }
}

impl Kernel {
    pub(super) fn ping_start(&mut self, from: &str, to: IpAddr) -> Result<Report, ControlError> {
        let key = self.key_of(from)?;
        // Pings of a shell that forgot them are taken back, the oldest first.
        while self.pings.len() >= limits::PINGS {
            let number = self.pings[0].number;
            self.ping_stop(number);
        }
        let number = self.next_ping;
        let Some(live) = self.records[key as usize].live() else {
            return Err(self.records[key as usize].not_running());
        };
        let stack = &mut live.execution.guest_mut().stack;
        let socket = stack
            .ping_start(to, number as u16)
            .map_err(|error| ControlError::Network(format!("ping {from} to {to}: {error}")))?;
        self.next_ping += 1;
        self.pings.push(Ping {
            number,
            key,
            socket,
            sent: Vec::new(),
        });
        Ok(Report::PingStarted { ping: number })
    }

    pub(super) fn ping_send(&mut self, number: u32, sequence: u16) -> Result<(), ControlError> {
        let now = self.clock.now();
        let Some(ping) = self.pings.iter_mut().find(|ping| ping.number == number) else {
            return Err(no_such_ping());
        };
        let record = &mut self.records[ping.key as usize];
        let name = &record.spec.name;
        let super::record::State::Live(live) = &mut record.state else {
            return Err(ControlError::NotRunning(name.clone()));
        };
        let guest = live.execution.guest_mut();
        let guest_now = guest.clock.now();
        guest
            .stack
            .ping_send(ping.socket, sequence, PAYLOAD_BYTES, guest_now)
            .map_err(|error| ControlError::Network(format!("ping from {name}: {error}")))?;
        if ping.sent.len() >= limits::PINGS_UNANSWERED {
            ping.sent.remove(0);
        }
        ping.sent.push((sequence, now));
        let key = ping.key;
        self.poll_network(key);
        Ok(())
    }

    pub(super) fn ping_poll(&mut self, number: u32) -> Result<Report, ControlError> {
        let now = self.clock.now();
        let Some(ping) = self.pings.iter_mut().find(|ping| ping.number == number) else {
            return Err(no_such_ping());
        };
        let record = &mut self.records[ping.key as usize];
        let super::record::State::Live(live) = &mut record.state else {
            return Err(ControlError::NotRunning(record.spec.name.clone()));
        };
        let stack = &mut live.execution.guest_mut().stack;
        let mut replies = Vec::new();
        loop {
            match stack.ping_receive(ping.socket) {
                Ok(Some((sequence, from))) => {
                    let Some(at) = ping.sent.iter().position(|&(sent, _)| sent == sequence) else {
                        continue;
                    };
                    let (_, sent) = ping.sent.remove(at);
                    let round_trip_nanos = now.since(sent).as_nanos() as u64;
                    replies.push(PingReply {
                        sequence,
                        from,
                        round_trip_nanos,
                    });
                }
                Ok(None) => return Ok(Report::PingReplies(replies)),
                Err(NetError::BadHandle) => return Err(no_such_ping()),
                Err(error) => return Err(ControlError::Network(format!("ping: {error}"))),
            }
        }
    }

    pub(super) fn ping_stop(&mut self, number: u32) {
        let Some(at) = self.pings.iter().position(|ping| ping.number == number) else {
            return;
        };
        let ping = self.pings.remove(at);
        if let Some(live) = self.records[ping.key as usize].live() {
            live.execution.guest_mut().stack.close(ping.socket);
        }
    }
}

fn no_such_ping() -> ControlError {
    ControlError::Network("that ping is over; start another".into())
}
