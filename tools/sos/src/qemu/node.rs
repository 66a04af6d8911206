//! A running QEMU process: threads that read it, a watchdog, a clean end on every path.

use std::fmt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Console, PANIC_STATUS};
use crate::process;

/// How often the process is asked whether it still runs.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A running machine. Dropping it kills the process; so does the end of this process.
#[derive(Debug)]
pub struct Node {
    name: String,
    console: Console,
    life: Arc<Life>,
    threads: Vec<JoinHandle<()>>,
}

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It switched itself off.
    Poweroff,
    /// The kernel died and left an epitaph.
    Panic,
    /// QEMU failed, with this status where it had one.
    Failure(Option<i32>),
    /// It lived longer than its watchdog allows.
    Watchdog(Duration),
    /// This process killed it.
    Killed,
}

#[derive(Debug)]
struct Life {
    state: Mutex<LifeState>,
    ended: Condvar,
}

#[derive(Debug)]
struct LifeState {
    child: Child,
    order: Option<End>,
    end: Option<End>,
}

impl Node {
    /// Starts `command`; its standard streams become the console.
    pub(super) fn spawn(
        name: String,
        mut command: Command,
        watchdog: Option<Duration>,
        copy: impl FnMut(&[u8]) + Send + 'static,
    ) -> Result<Node> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let typed = process::shown(&command);
        let mut child =
            process::spawn_bound(command).with_context(|| format!("start `{typed}`"))?;
        let (Some(input), Some(output), Some(complaints)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            bail!("`{typed}` was started without its streams");
        };
        let console = Console::new(input);
        let state = LifeState {
            child,
            order: None,
            end: None,
        };
        let life = Arc::new(Life {
            state: Mutex::new(state),
            ended: Condvar::new(),
        });
        let printing = {
            let console = console.clone();
            std::thread::spawn(move || console.follow(output, copy))
        };
        let complaining = {
            let console = console.clone();
            std::thread::spawn(move || console.follow_complaints(complaints))
        };
        let waiting = {
            let (console, life) = (console.clone(), Arc::clone(&life));
            std::thread::spawn(move || life.watch(watchdog, &console, [printing, complaining]))
        };
        Ok(Node {
            name,
            console,
            life,
            threads: vec![waiting],
        })
    }

    /// The machine's serial console.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The process's number, for measurements.
    pub fn process_id(&self) -> u32 {
        self.life.state().child.id()
    }

    /// How the machine ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.life.state().end
    }

    /// Waits for the machine to end by itself; an error shows the console's end.
    pub fn wait(&self, limit: Duration) -> Result<End> {
        match self.life.wait(Some(Instant::now() + limit)) {
            Some(end) => Ok(end),
            None => bail!(
                "{} did not end within {limit:?}; its console's end:\n{}",
                self.name,
                self.console.tail()
            ),
        }
    }

    /// Waits for the machine to end, however long that takes.
    pub fn wait_forever(&self) -> End {
        self.life.wait(None).unwrap_or(End::Killed)
    }

    /// Calls `then` once when the machine has ended, from a thread of its own.
    pub fn when_ended(&self, then: impl FnOnce() + Send + 'static) {
        let life = Arc::clone(&self.life);
        std::thread::spawn(move || {
            life.wait(None);
            then();
        });
    }

    /// Ends the machine at once, as if its plug were pulled.
    pub fn kill(&self) -> End {
        self.life.order(End::Killed);
        self.wait_forever()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

impl Life {
    fn state(&self) -> MutexGuard<'_, LifeState> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Kills the process; the thread in [`Life::watch`] sees it end and says why.
    fn order(&self, reason: End) {
        let mut state = self.state();
        if state.end.is_none() && state.order.is_none() {
            state.order = Some(reason);
            // It may just have ended by itself.
            let _ = state.child.kill();
        }
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<End> {
        let mut state = self.state();
        while state.end.is_none() {
            let left = match deadline {
                None => Duration::from_secs(3600),
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            };
            if left.is_zero() {
                return None;
            }
            let woken = self.ended.wait_timeout(state, left);
            state = woken.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
        state.end
    }

    /// Sees the process to its end; then everything printed is in the console.
    fn watch(&self, limit: Option<Duration>, console: &Console, readers: [JoinHandle<()>; 2]) {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let status = loop {
            match self.state().child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => break Some(status),
                Err(_) => break None,
            }
            if let (Some(deadline), Some(limit)) = (deadline, limit)
                && Instant::now() >= deadline
            {
                self.order(End::Watchdog(limit));
            }
            std::thread::sleep(POLL_INTERVAL);
        };
        for reader in readers {
            // A reader that panicked has said so itself.
            let _ = reader.join();
        }
        let end = self.state().order.unwrap_or_else(|| End::of(status));
        if let End::Watchdog(limit) = end {
            eprintln!(
                "sos: a node was killed after {limit:?}; its console's end:\n{}",
                console.tail()
            );
        }
        self.state().end = Some(end);
        console.close(end.to_string());
        self.ended.notify_all();
    }
}

impl End {
    fn of(status: Option<ExitStatus>) -> End {
        match status.map(|status| status.code()) {
            Some(Some(0)) => End::Poweroff,
            Some(Some(PANIC_STATUS)) => End::Panic,
            Some(code) => End::Failure(code),
            None => End::Failure(None),
        }
    }

    /// Whether it ended as it should.
    pub fn is_poweroff(self) -> bool {
        self == End::Poweroff
    }

    /// The status with which a program that ran the machine should end.
    pub fn exit_code(self) -> u8 {
        match self {
            End::Poweroff | End::Killed => 0,
            End::Panic => PANIC_STATUS as u8,
            End::Failure(Some(code)) => u8::try_from(code).unwrap_or(1).max(1),
            End::Failure(None) | End::Watchdog(_) => 1,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Poweroff => formatter.write_str("powered off"),
            End::Panic => formatter.write_str("the kernel died, see its epitaph"),
            End::Failure(Some(code)) => write!(formatter, "QEMU failed with status {code}"),
            End::Failure(None) => formatter.write_str("QEMU was ended by a signal"),
            End::Watchdog(limit) => write!(formatter, "killed by its watchdog after {limit:?}"),
            End::Killed => formatter.write_str("killed by this program"),
        }
    }
}
