//! Waiting for files (poll(2)).

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

/// Which of `flags` are so of a file at this moment, or that its other end has gone.
pub(super) fn now(file: &impl AsFd, flags: PollFlags) -> PollFlags {
    let mut files = [PollFd::new(file, flags)];
    wait(&mut files, Some(Duration::ZERO));
    files[0].revents()
}

/// Waits until something is so of one of the files, or `limit` has passed. A signal ends it early.
pub(super) fn wait(files: &mut [PollFd<'_>], limit: Option<Duration>) {
    let limit = limit.map(|limit| Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    // It fails when a signal comes, which is as good as an event.
    let _ = rustix::event::poll(files, limit.as_ref());
}
