//! Ctrl-C as an event of the program's course.

use std::mem::MaybeUninit;
use std::sync::mpsc::Sender;

use super::Event;

/// Lets the signals that ask for an end become [`Event::Interrupt`]. To be called before other
/// threads are started: a thread inherits which signals are blocked.
pub struct Signals(libc::sigset_t);

impl Signals {
    /// Blocks the signals; they wait until somebody listens.
    pub fn block() -> Signals {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset fills the set that it is given and cannot fail for a valid pointer.
        let mut set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            set.assume_init()
        };
        for signal in [libc::SIGINT, libc::SIGTERM] {
            // SAFETY: the set is initialised and the signal's number valid.
            unsafe { libc::sigaddset(&mut set, signal) };
        }
        // SAFETY: the set is initialised, and the old mask is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
        Signals(set)
    }

    /// Sends an event for each signal from now on.
    pub fn send_to(self, events: Sender<Event>) {
        std::thread::spawn(move || while self.wait() && events.send(Event::Interrupt).is_ok() {});
    }

    /// Calls `act` when a signal comes.
    pub fn when_sent(self, act: impl FnOnce() + Send + 'static) {
        std::thread::spawn(move || {
            if self.wait() {
                act();
            }
        });
    }

    /// Waits for the next signal; false if there is none to come.
    fn wait(&self) -> bool {
        let mut signal = 0;
        // SAFETY: the set is initialised and `signal` is where the number is written.
        unsafe { libc::sigwait(&self.0, &mut signal) == 0 }
    }
}
