//! Which task waits for which socket, and the one call that waits for all of them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

use sos_abi::{ErrorCode, POLL_ENTRIES, POLL_READABLE, POLL_WRITABLE, PollEntry};

use super::runtime;
use crate::error::{Error, Result};
use crate::sys;
use crate::time::Instant;

/// Sockets that tasks wait for. An entry lasts until the socket is ready once.
pub struct Reactor {
    entries: Vec<PollEntry>,
    /// Who waits, in the order of the entries.
    waiters: Vec<Waiters>,
    /// Where the entry of a handle is.
    positions: BTreeMap<u32, usize>,
}

#[derive(Default)]
struct Waiters {
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What a task waits for on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To read, accept or receive.
    Read,
    /// To write, send or be connected.
    Write,
}

impl Reactor {
    pub const fn new() -> Reactor {
        Reactor {
            entries: Vec::new(),
            waiters: Vec::new(),
            positions: BTreeMap::new(),
        }
    }

    /// Notes that a task waits; gives the waker that was there before, to be dropped outside.
    fn register(
        &mut self,
        handle: u32,
        direction: Direction,
        waker: Waker,
    ) -> Result<Option<Waker>> {
        let position = match self.positions.get(&handle) {
            Some(&position) => position,
            None if self.entries.len() >= POLL_ENTRIES => {
                return Err(ErrorCode::TooManyHandles.into());
            }
            None => {
                self.positions.insert(handle, self.entries.len());
                self.entries.push(PollEntry {
                    handle,
                    ..PollEntry::default()
                });
                self.waiters.push(Waiters::default());
                self.entries.len() - 1
            }
        };
        let waiters = &mut self.waiters[position];
        let (place, bit) = match direction {
            Direction::Read => (&mut waiters.reader, POLL_READABLE),
            Direction::Write => (&mut waiters.writer, POLL_WRITABLE),
        };
        self.entries[position].interest |= bit;
        Ok(place.replace(waker))
    }

    /// Nobody waits for a socket any more: it is being closed.
    pub fn forget(&mut self, handle: u32) -> impl Sized + use<> {
        let position = self.positions.get(&handle).copied();
        position.map(|position| self.remove(position))
    }

    fn remove(&mut self, position: usize) -> Waiters {
        let entry = self.entries.swap_remove(position);
        self.positions.remove(&entry.handle);
        if let Some(moved) = self.entries.get(position) {
            self.positions.insert(moved.handle, position);
        }
        self.waiters.swap_remove(position)
    }

    /// Takes the wakers of what is ready.
    fn take_ready(&mut self, woken: &mut Vec<Waker>) {
        // Backwards, since what is removed is replaced by the last.
        for position in (0..self.entries.len()).rev() {
            let entry = &mut self.entries[position];
            let ready = core::mem::take(&mut entry.ready);
            if ready == 0 {
                continue;
            }
            // A socket that has failed or ended answers every call.
            let is_over = ready & !(POLL_READABLE | POLL_WRITABLE) != 0;
            let waiters = &mut self.waiters[position];
            if is_over || ready & POLL_READABLE != 0 {
                woken.extend(waiters.reader.take());
                entry.interest &= !POLL_READABLE;
            }
            if is_over || ready & POLL_WRITABLE != 0 {
                woken.extend(waiters.writer.take());
                entry.interest &= !POLL_WRITABLE;
            }
            if entry.interest == 0 {
                self.remove(position);
            }
        }
    }
}

/// Looks at sockets and timers, and wakes who waits for them. Waits for one of them unless tasks are
/// busy.
pub fn look(is_busy: bool) {
    let mut woken = Vec::new();
    let result = runtime::with(|runtime| {
        let timeout_ns = match (is_busy, runtime.timers.next_ns()) {
            (true, _) => 0,
            (false, None) => -1,
            (false, Some(due_ns)) => {
                let wait_ns = due_ns.saturating_sub(Instant::now().as_nanos());
                i64::try_from(wait_ns).unwrap_or(i64::MAX)
            }
        };
        sys::poll(&mut runtime.reactor.entries, timeout_ns)?;
        runtime.reactor.take_ready(&mut woken);
        runtime.timers.take_due(&mut woken);
        Ok::<(), Error>(())
    });
    if let Err(error) = result {
        // The table is bounded and its entries are sound: only a missing kernel refuses.
        panic!("tasks cannot wait: {error}");
    }
    crate::identity::run_hooks();
    for waker in woken {
        waker.wake();
    }
}

/// Makes a call on a non-blocking socket; while it would wait, has the task woken when the socket is
/// ready.
pub fn poll_call<T>(
    handle: u32,
    direction: Direction,
    context: &mut Context<'_>,
    mut call: impl FnMut() -> Result<T>,
) -> Poll<Result<T>> {
    match call() {
        Err(error) if error.is_would_block() => {}
        result => return Poll::Ready(result),
    }
    let waker = context.waker().clone();
    match runtime::with(|runtime| runtime.reactor.register(handle, direction, waker)) {
        Ok(_replaced) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error)),
    }
}
