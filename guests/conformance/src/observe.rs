//! How observations are written down.

use std::fmt::Debug;

use sos_sdk::net::AsHandle;
use sos_sdk::poll::{Event, Interest, Poller, Token};
use sos_sdk::time::Duration;
use sos_sdk::{Result, info};

/// What a line of the transcript begins with.
pub const MARK: &str = "~ ";

/// Writes a line of the transcript.
pub fn note(what: &str, observation: impl Debug) {
    info!("{MARK}{what}: {observation:?}");
}

/// Writes the outcome of a call: its value, or the name of its error.
pub fn note_result<T: Debug>(what: &str, result: &Result<T>) {
    match result {
        Ok(value) => note(what, value),
        Err(error) => info!("{MARK}{what}: {}", error.code().name()),
    }
}

/// Writes the outcome of a call whose value differs from run to run.
pub fn note_success<T>(what: &str, result: Result<T>) -> Option<T> {
    let (outcome, value) = match result {
        Ok(value) => (Ok("done"), Some(value)),
        Err(error) => (Err(error), None),
    };
    note_result(what, &outcome);
    value
}

/// Waits until a socket is ready or ten seconds are over (the kernel looks for one new neighbour a
/// second), and gives the bits.
pub fn wait(socket: &impl AsHandle, interest: Interest) -> String {
    poll(socket, interest, Duration::from_secs(10))
}

/// Looks at a socket, and gives the bits.
pub fn look(socket: &impl AsHandle, interest: Interest) -> String {
    poll(socket, interest, Duration::ZERO)
}

fn poll(socket: &impl AsHandle, interest: Interest, timeout: Duration) -> String {
    let mut poller = Poller::new();
    poller.add(socket, Token(0), interest);
    let mut events = Vec::new();
    match poller.wait(&mut events, Some(timeout)) {
        Ok(()) => bits(&events),
        Err(error) => error.code().name().into(),
    }
}

/// The bits of an event in words.
pub fn bits(events: &[Event]) -> String {
    let Some(event) = events.first() else {
        return "nothing".into();
    };
    let bits = [
        (event.is_readable(), "readable"),
        (event.is_writable(), "writable"),
        (event.is_closed(), "closed"),
        (event.is_failed(), "failed"),
    ];
    let names = bits.iter().filter(|(is_set, _)| *is_set);
    names.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
}
