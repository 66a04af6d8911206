//! The executor: which task runs, and waiting when none can.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

use super::join_handle::{JoinHandle, Outcome};
use super::runtime;

/// Most tasks of an instance.
pub const TASKS: usize = 16_384;
/// Rounds of ready tasks between two looks at sockets and timers.
const ROUNDS_PER_LOOK: u32 = 16;

/// The table of tasks is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyTasks;

impl fmt::Display for TooManyTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the instance has {TASKS} tasks already: let some end first"
        )
    }
}

impl core::error::Error for TooManyTasks {}

/// A task, whatever it returns.
pub type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

/// The tasks. An id is a slot and, above it, the slot's generation.
pub struct Tasks {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    state: State,
    signal: Arc<Signal>,
}

enum State {
    Free,
    Waiting(TaskFuture),
    /// It is being polled, outside of the table.
    Running,
    /// It was aborted meanwhile.
    Aborted,
}

/// Wakes one task, or the future of `block_on`.
struct Signal {
    /// The task; none for the future of `block_on`.
    task: Option<u64>,
    is_woken: AtomicBool,
}

impl Signal {
    fn new(task: Option<u64>) -> Arc<Signal> {
        Arc::new(Signal {
            task,
            is_woken: AtomicBool::new(true),
        })
    }

    /// Whether it was woken since the last look.
    fn take(&self) -> bool {
        self.is_woken.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::Relaxed)
            && let Some(task) = self.task
        {
            runtime::with(|runtime| runtime.ready.push_back(task));
        }
    }
}

impl Tasks {
    pub const fn new() -> Tasks {
        Tasks {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    fn insert(&mut self, future: TaskFuture) -> Result<u64, TooManyTasks> {
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None if self.slots.len() >= TASKS => return Err(TooManyTasks),
            None => {
                self.slots.push(Slot {
                    generation: 0,
                    state: State::Free,
                    signal: Signal::new(None),
                });
                self.slots.len() - 1
            }
        };
        let slot = &mut self.slots[index];
        let id = u64::from(slot.generation) << 32 | index as u64;
        slot.state = State::Waiting(future);
        slot.signal = Signal::new(Some(id));
        Ok(id)
    }

    fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(index(id))?;
        (u64::from(slot.generation) == id >> 32).then_some(slot)
    }

    /// Takes a task out to be polled.
    fn begin(&mut self, id: u64) -> Option<(TaskFuture, Arc<Signal>)> {
        let slot = self.slot(id)?;
        match core::mem::replace(&mut slot.state, State::Running) {
            State::Waiting(future) => Some((future, slot.signal.clone())),
            other => {
                slot.state = other;
                None
            }
        }
    }

    /// Puts a task back that goes on; gives it back when it was aborted meanwhile.
    fn put_back(&mut self, id: u64, future: TaskFuture) -> Option<TaskFuture> {
        let slot = self.slot(id)?;
        if matches!(slot.state, State::Aborted) {
            self.remove(id);
            return Some(future);
        }
        slot.state = State::Waiting(future);
        None
    }

    /// Frees a task's slot.
    fn remove(&mut self, id: u64) {
        if let Some(slot) = self.slot(id) {
            slot.generation = slot.generation.wrapping_add(1);
            slot.state = State::Free;
            self.free.push(index(id) as u32);
        }
    }

    /// Ends a task; gives its future, to be dropped outside.
    pub fn abort(&mut self, id: u64) -> Option<TaskFuture> {
        let slot = self.slot(id)?;
        match core::mem::replace(&mut slot.state, State::Aborted) {
            State::Waiting(future) => {
                self.remove(id);
                Some(future)
            }
            State::Running | State::Aborted | State::Free => None,
        }
    }
}

fn index(id: u64) -> usize {
    (id & u64::from(u32::MAX)) as usize
}

/// Starts a task, which runs beside all others while [`block_on`] runs. Dropping the handle leaves it
/// running.
///
/// # Panics
/// When there are [`TASKS`] already. Where others decide how many, use [`try_spawn`].
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    match try_spawn(future) {
        Ok(handle) => handle,
        Err(error) => panic!("{error}"),
    }
}

/// As [`spawn`], for as many tasks as others ask for.
///
/// # Errors
/// When there are [`TASKS`] already.
pub fn try_spawn<T: 'static>(
    future: impl Future<Output = T> + 'static,
) -> Result<JoinHandle<T>, TooManyTasks> {
    let outcome = Rc::new(RefCell::new(Outcome::default()));
    let place = outcome.clone();
    let future: TaskFuture = Box::pin(async move {
        let value = future.await;
        // Woken outside of the borrow: a waker is foreign code.
        let waker = place.borrow_mut().finish(value);
        if let Some(waker) = waker {
            waker.wake();
        }
    });
    let id = runtime::with(|runtime| {
        let id = runtime.tasks.insert(future)?;
        runtime.ready.push_back(id);
        Ok(id)
    })?;
    Ok(JoinHandle::new(id, outcome))
}

/// Runs a future to its end, and all tasks meanwhile. Those that are not over then rest until the
/// next call.
///
/// # Panics
/// When a future panics.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let signal = Signal::new(None);
    let waker = Waker::from(signal.clone());
    let mut context = Context::from_waker(&waker);
    let mut rounds = 0;
    loop {
        if signal.take()
            && let Poll::Ready(value) = future.as_mut().poll(&mut context)
        {
            return value;
        }
        run_ready();
        let is_busy = signal.is_woken.load(Ordering::Relaxed)
            || runtime::with(|runtime| !runtime.ready.is_empty());
        rounds += 1;
        if !is_busy || rounds >= ROUNDS_PER_LOOK {
            rounds = 0;
            super::reactor::look(is_busy);
        }
    }
}

/// Polls every task that is ready now, once.
fn run_ready() {
    let count = runtime::with(|runtime| runtime.ready.len());
    for _ in 0..count {
        let next = runtime::with(|runtime| {
            let id = runtime.ready.pop_front()?;
            Some((id, runtime.tasks.begin(id)))
        });
        match next {
            None => return,
            // It is over, or is polled by an outer `block_on`.
            Some((_, None)) => {}
            Some((id, Some((future, signal)))) => run(id, future, &signal),
        }
    }
}

fn run(id: u64, mut future: TaskFuture, signal: &Arc<Signal>) {
    signal.take();
    let waker = Waker::from(signal.clone());
    let is_over = future
        .as_mut()
        .poll(&mut Context::from_waker(&waker))
        .is_ready();
    let rest = runtime::with(|runtime| {
        if is_over {
            runtime.tasks.remove(id);
            return Some(future);
        }
        runtime.tasks.put_back(id, future)
    });
    // Destructors are foreign code: they run outside of the runtime.
    drop(rest);
}
