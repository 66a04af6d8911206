//! Sleeping, and giving up in time.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use super::runtime;
use crate::time::{Duration, Instant};

/// Who is to be woken when.
pub struct Timers {
    /// By time in nanoseconds, and a number that tells those of one moment apart.
    due: BTreeMap<(u64, u64), Waker>,
    next: u64,
}

impl Timers {
    pub const fn new() -> Timers {
        Timers {
            due: BTreeMap::new(),
            next: 0,
        }
    }

    /// When the first is due.
    pub fn next_ns(&self) -> Option<u64> {
        self.due.keys().next().map(|&(due_ns, _)| due_ns)
    }

    /// Takes the wakers of those that are due.
    pub fn take_due(&mut self, woken: &mut Vec<Waker>) {
        if self.due.is_empty() {
            return;
        }
        let now_ns = Instant::now().as_nanos();
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now_ns {
                return;
            }
            woken.push(entry.remove());
        }
    }
}

/// Waits for a moment; see [`sleep`].
#[derive(Debug)]
pub struct Sleep {
    until: Instant,
    /// Its number among the timers.
    number: Option<u64>,
}

/// Waits for a duration, without holding up other tasks.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

/// Waits until a moment.
pub fn sleep_until(until: Instant) -> Sleep {
    Sleep {
        until,
        number: None,
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.until {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        let (until_ns, known) = (self.until.as_nanos(), self.number);
        let (number, _replaced) = runtime::with(|runtime| {
            let timers = &mut runtime.timers;
            let number = known.unwrap_or(timers.next);
            timers.next = timers.next.max(number + 1);
            (number, timers.due.insert((until_ns, number), waker))
        });
        self.number = Some(number);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let key = (self.until.as_nanos(), number);
            // Dropped outside of the runtime: a waker is foreign code.
            let waker = runtime::with(|runtime| runtime.timers.due.remove(&key));
            drop(waker);
        }
    }
}

/// The time was over before the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

impl core::error::Error for Elapsed {}

/// A future that is given up in time; see [`timeout`].
#[derive(Debug)]
pub struct Timeout<F> {
    future: Pin<alloc::boxed::Box<F>>,
    sleep: Sleep,
}

/// Gives a future's value, or [`Elapsed`] when that takes longer than `duration`; then the future is
/// dropped with this one.
///
/// ```no_run
/// use sos_sdk::task::{net::TcpStream, timeout};
/// use sos_sdk::time::Duration;
///
/// # async fn example() {
/// match timeout(Duration::from_secs(2), TcpStream::connect("10.1.0.2:7000")).await {
///     Ok(Ok(stream)) => sos_sdk::info!("connected: {stream:?}"),
///     Ok(Err(error)) => sos_sdk::warn!("{error}"),
///     Err(elapsed) => sos_sdk::warn!("{elapsed}"),
/// }
/// # }
/// ```
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout {
        future: alloc::boxed::Box::pin(future),
        sleep: sleep(duration),
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(value) = self.future.as_mut().poll(context) {
            return Poll::Ready(Ok(value));
        }
        Pin::new(&mut self.sleep)
            .poll(context)
            .map(|()| Err(Elapsed))
    }
}
