//! `poll_oneoff`: waits for clocks and descriptors at once. It allocates nothing.
//!
//! What is wrong with one subscription is said in its event, and all that are ready are told together.
//! A relative time counts from the call, in guest time, for either clock.

use sos_abi::wasi::Errno;

use super::descriptors::Kind;
use super::memory::{Out, array, bytes_mut};
use super::rights::{FD_READ, FD_WRITE, POLL_FD_READWRITE};
use super::wire::{EVENT_BYTES, SUBSCRIPTION_BYTES, clock_id};
use super::{Progress, WasiResult};
use crate::host::guest::Guest;
use crate::host::memory::Arguments;
use crate::host::pending::Wait;
use crate::limits;
use crate::machine::{Duration, Time};

/// Fuel that looking at one subscription is worth.
const SUBSCRIPTION_FUEL: u64 = 40;
/// The clock's time is meant, not one counted from the call ("subclockflags").
const ABSOLUTE: u16 = 1;
/// The peer is gone ("eventrwflags").
const HANGUP: u16 = 1;

/// The kinds of events ("eventtype").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum EventType {
    Clock = 0,
    Read = 1,
    Write = 2,
}

/// One thing to wait for, as a program wrote it.
struct Subscription {
    /// Given back with the event.
    user_data: u64,
    event: EventType,
    /// The union's bytes from its tag on.
    body: [u8; 40],
}

/// What is to be told of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ready {
    bytes: u64,
    flags: u16,
}

/// How a subscription stands.
pub(super) enum State {
    Ready(Ready),
    Waits,
    /// It is ready at this guest time.
    Due(Time),
}

impl Guest {
    pub(super) fn poll_oneoff(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
        wait: Option<Wait>,
    ) -> WasiResult {
        let (subscriptions, events) = (arguments.u32(0), arguments.u32(1));
        let count = arguments.u32(2);
        if count == 0 || count as usize > limits::POLL_ENTRIES {
            return Err(Errno::Inval);
        }
        let out = Out::<4>::new(memory, arguments.u32(3))?;
        array(memory, subscriptions, count, SUBSCRIPTION_BYTES)?;
        array(memory, events, count, EVENT_BYTES)?;
        self.charge(u64::from(count) * SUBSCRIPTION_FUEL);
        let since = match wait {
            Some(Wait::OneOf { since, .. }) => since,
            _ => self.clock.now(),
        };
        let mut told = 0;
        let mut deadline: Option<Time> = None;
        for index in 0..count {
            // Both arrays are in bounds, so this does not overflow.
            let at = subscriptions + index * SUBSCRIPTION_BYTES;
            let subscription = Subscription::read(memory, at)?;
            let event = match self.subscription_state(&subscription, since) {
                Ok(State::Ready(ready)) => Ok(ready),
                Ok(State::Waits) => continue,
                Ok(State::Due(time)) => {
                    deadline = Some(deadline.map_or(time, |earliest| earliest.min(time)));
                    continue;
                }
                Err(error) => Err(error),
            };
            let event = subscription.event(event);
            let place = bytes_mut(memory, events + told * EVENT_BYTES, EVENT_BYTES)?;
            place.copy_from_slice(&event);
            told += 1;
        }
        if told == 0 {
            return Ok(Progress::Wait(Wait::OneOf { since, deadline }));
        }
        out.write_u32(memory, told)?;
        Ok(Progress::Done)
    }

    fn subscription_state(
        &mut self,
        subscription: &Subscription,
        since: Time,
    ) -> Result<State, Errno> {
        match subscription.event {
            EventType::Clock => self.clock_state(subscription, since),
            EventType::Read => self.read_state(subscription.u32(8)),
            EventType::Write => self.write_state(subscription.u32(8)),
        }
    }

    fn clock_state(&self, subscription: &Subscription, since: Time) -> Result<State, Errno> {
        let clock = subscription.u32(8);
        let timeout = subscription.u64(16);
        let flags = subscription.u32(32) as u16;
        if flags & !ABSOLUTE != 0 {
            return Err(Errno::Inval);
        }
        let due = match (clock, flags & ABSOLUTE != 0) {
            (clock_id::REALTIME | clock_id::MONOTONIC, false) => {
                since + Duration::from_nanos(timeout)
            }
            (clock_id::MONOTONIC, true) => Time::from_nanos(timeout),
            // Wall time goes on while guest time stands, so this is reckoned anew each time.
            (clock_id::REALTIME, true) => {
                let left = timeout.saturating_sub(self.clock.wall_nanos());
                self.clock.now() + Duration::from_nanos(left)
            }
            // A program that waits uses no CPU time.
            (clock_id::PROCESS_CPU | clock_id::THREAD_CPU, _) => return Err(Errno::NotSup),
            _ => return Err(Errno::Inval),
        };
        Ok(match due <= self.clock.now() {
            true => State::Ready(Ready::default()),
            false => State::Due(due),
        })
    }

    fn read_state(&mut self, number: u32) -> Result<State, Errno> {
        let descriptor = self.descriptors.get(number)?;
        descriptor.require(POLL_FD_READWRITE | FD_READ)?;
        Ok(match descriptor.kind {
            Kind::Stream(stream) => self.stream_state(stream),
            // A file is always ready; directories do not have the right.
            Kind::File { inode, position } => {
                let rest = self.files.size(inode)?.saturating_sub(position);
                State::Ready(Ready::bytes(usize::try_from(rest).unwrap_or(usize::MAX)))
            }
            Kind::Directory { .. } => return Err(Errno::IsDir),
            Kind::Listener(socket) | Kind::Connection(socket) => {
                let state = self.stack.readiness(socket);
                let waiting = self.stack.tcp_waiting(socket);
                let over = state.readable && waiting.received == 0;
                let is_listener = matches!(descriptor.kind, Kind::Listener(_));
                let hangup = state.closed || state.failed || (over && !is_listener);
                socket_state(state.readable, waiting.received, hangup)
            }
        })
    }

    fn write_state(&mut self, number: u32) -> Result<State, Errno> {
        let descriptor = self.descriptors.get(number)?;
        descriptor.require(POLL_FD_READWRITE | FD_WRITE)?;
        Ok(match descriptor.kind {
            Kind::Stream(stream) => self.stream_state(stream),
            Kind::File { .. } => State::Ready(Ready::bytes(limits::HOST_CALL_BYTES)),
            Kind::Directory { .. } => return Err(Errno::IsDir),
            Kind::Listener(socket) | Kind::Connection(socket) => {
                let state = self.stack.readiness(socket);
                let room = self.stack.tcp_waiting(socket).room;
                socket_state(state.writable, room, state.closed || state.failed)
            }
        })
    }
}

/// How a socket stands that is `ready` for `bytes`.
fn socket_state(ready: bool, bytes: usize, hangup: bool) -> State {
    if !ready {
        return State::Waits;
    }
    let mut ready = Ready::bytes(bytes);
    if hangup {
        ready.flags = HANGUP;
    }
    State::Ready(ready)
}

impl Ready {
    /// So many bytes can be moved.
    pub(super) fn bytes(bytes: usize) -> Ready {
        Ready {
            bytes: bytes as u64,
            flags: 0,
        }
    }

    /// The other end is gone.
    pub(super) fn hangup() -> Ready {
        Ready {
            bytes: 0,
            flags: HANGUP,
        }
    }
}

impl Subscription {
    fn read(memory: &[u8], at: u32) -> Result<Subscription, Errno> {
        let entry = super::memory::bytes(memory, at, SUBSCRIPTION_BYTES)?;
        let (head, body) = entry.split_at(8);
        let event = match body[0] {
            0 => EventType::Clock,
            1 => EventType::Read,
            2 => EventType::Write,
            // There is no event that could say what is wrong with it.
            _ => return Err(Errno::Inval),
        };
        Ok(Subscription {
            user_data: head.try_into().map_or(0, u64::from_le_bytes),
            event,
            body: body.try_into().map_err(|_| Errno::Fault)?,
        })
    }

    /// The number of four bytes at `offset` of the union.
    fn u32(&self, offset: usize) -> u32 {
        let bytes = self.body[offset..offset + 4].try_into();
        bytes.map_or(0, u32::from_le_bytes)
    }

    /// The number of eight bytes at `offset` of the union.
    fn u64(&self, offset: usize) -> u64 {
        let bytes = self.body[offset..offset + 8].try_into();
        bytes.map_or(0, u64::from_le_bytes)
    }

    /// The event as the program reads it.
    fn event(&self, outcome: Result<Ready, Errno>) -> [u8; EVENT_BYTES as usize] {
        let (error, ready) = match outcome {
            Ok(ready) => (Errno::Success, ready),
            Err(error) => (error, Ready::default()),
        };
        let mut out = [0; EVENT_BYTES as usize];
        out[0..8].copy_from_slice(&self.user_data.to_le_bytes());
        out[8..10].copy_from_slice(&error.number().to_le_bytes());
        out[10] = self.event as u8;
        out[16..24].copy_from_slice(&ready.bytes.to_le_bytes());
        out[24..26].copy_from_slice(&ready.flags.to_le_bytes());
        out
    }
}
