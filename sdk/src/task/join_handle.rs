//! What a task's maker keeps of it.

use alloc::rc::Rc;
use core::cell::RefCell;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use super::runtime;

/// A task's value, once there is one, and who waits for it.
pub struct Outcome<T> {
    value: Option<T>,
    is_over: bool,
    waker: Option<Waker>,
}

impl<T> Default for Outcome<T> {
    fn default() -> Outcome<T> {
        Outcome {
            value: None,
            is_over: false,
            waker: None,
        }
    }
}

impl<T> Outcome<T> {
    /// The task is over; gives who is to be woken.
    pub fn finish(&mut self, value: T) -> Option<Waker> {
        self.value = Some(value);
        self.is_over = true;
        self.waker.take()
    }
}

/// A task that was started. Awaiting it gives what the task returns.
pub struct JoinHandle<T> {
    task: u64,
    outcome: Rc<RefCell<Outcome<T>>>,
}

impl<T> JoinHandle<T> {
    pub(super) fn new(task: u64, outcome: Rc<RefCell<Outcome<T>>>) -> JoinHandle<T> {
        JoinHandle { task, outcome }
    }

    /// Whether the task has returned.
    pub fn is_finished(&self) -> bool {
        self.outcome.borrow().is_over
    }

    /// Ends the task: it is dropped where it waits.
    pub fn abort(self) {
        // Dropped outside of the runtime, since destructors are foreign code.
        let task = runtime::with(|runtime| runtime.tasks.abort(self.task));
        drop(task);
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut outcome = self.outcome.borrow_mut();
        match outcome.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                outcome.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
