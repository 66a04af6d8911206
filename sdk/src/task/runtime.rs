//! The state behind all tasks of an instance: one for the program, or for the thread where a test
//! has several instances.

use alloc::collections::VecDeque;
use core::cell::RefCell;

use super::executor::Tasks;
use super::reactor::Reactor;
use super::timer::Timers;
use crate::identity::Hooks;

/// Tasks, and what they wait for.
pub struct Runtime {
    pub tasks: Tasks,
    /// Tasks that were woken, in that order.
    pub ready: VecDeque<u64>,
    pub reactor: Reactor,
    pub timers: Timers,
    /// What is to be told of a revival.
    pub hooks: Hooks,
}

impl Runtime {
    const fn new() -> Runtime {
        Runtime {
            tasks: Tasks::new(),
            ready: VecDeque::new(),
            reactor: Reactor::new(),
            timers: Timers::new(),
            hooks: Hooks::new(),
        }
    }
}

/// Lends the state. Nothing of the author's (a future, a destructor, a waker) may run meanwhile.
pub fn with<T>(act: impl FnOnce(&mut Runtime) -> T) -> T {
    with_cell(|cell| act(&mut cell.borrow_mut()))
}

/// Lends what is to be told of a revival, under the same condition.
pub fn with_hooks<T>(act: impl FnOnce(&mut Hooks) -> T) -> T {
    with(|runtime| act(&mut runtime.hooks))
}

#[cfg(any(feature = "std", not(target_family = "wasm")))]
fn with_cell<T>(act: impl FnOnce(&RefCell<Runtime>) -> T) -> T {
    std::thread_local! {
        static RUNTIME: RefCell<Runtime> = const { RefCell::new(Runtime::new()) };
    }
    let mut act = Some(act);
    let lent = RUNTIME.try_with(|cell| act.take().map(|act| act(cell)));
    match (lent, act) {
        (Ok(Some(result)), _) => result,
        // The thread ends and its runtime is being dropped; nothing in it is of use any more.
        (_, Some(act)) => act(&RefCell::new(Runtime::new())),
        (_, None) => unreachable!("taken only to be called"),
    }
}

/// Drops all tasks and forgets what they wait for: the instance of this thread is over.
#[cfg(not(target_family = "wasm"))]
pub fn clear() {
    let old = with(|runtime| core::mem::replace(runtime, Runtime::new()));
    // Dropped outside of the runtime, since destructors are foreign code.
    drop(old);
}

#[cfg(not(any(feature = "std", not(target_family = "wasm"))))]
fn with_cell<T>(act: impl FnOnce(&RefCell<Runtime>) -> T) -> T {
    struct OneThread(RefCell<Runtime>);
    // SAFETY: SOS gives an instance one thread, and its modules cannot make others.
    unsafe impl Sync for OneThread {}
    static RUNTIME: OneThread = OneThread(RefCell::new(Runtime::new()));
    act(&RUNTIME.0)
}
