//! A node as an ordinary process: the kernel's core on a thread, without QEMU.
//!
//! [`Node`] starts it, with its [`Console`] and its channel; `machine` is the process as the kernel's
//! machine, `memory` the guest memories, `channel` the node's end of the channel. Guests run at the
//! speed of the host and start at once, but what bare metal proves (interrupts, page tables, drivers)
//! is not here, nor are network cards yet.

mod channel;
mod machine;
mod memory;
mod poll;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sos_core::kernel::{BootInfo, Kernel, Next};
use sos_core::keys::NodeKeys;

use crate::qemu::{Console, End};
use crate::wake::Waker;
use machine::HostMachine;

/// Memory for guests of a node that asks for nothing else.
const MEMORY_BYTES: u64 = 1 << 30;
/// Native stack of the kernel's thread; unoptimised builds nest deeper than the kernel's own binary.
const STACK_BYTES: usize = 16 << 20;
/// Programs that wait for the channel at once.
const HOSTS_MAX: usize = 16;
/// Typed bytes that wait for the kernel.
const TYPED_BYTES_MAX: usize = 64 << 10;

/// What a node is given.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name; without it the image's.
    pub name: Option<String>,
    /// Memory that its guests may touch.
    pub memory_bytes: u64,
    /// Its keys, if it has a secret.
    pub keys: Option<NodeKeys>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            name: None,
            memory_bytes: MEMORY_BYTES,
            keys: None,
        }
    }
}

impl Options {
    /// What the node's thread is called in listings of the system's: no zero byte may be in it.
    fn thread_name(&self) -> String {
        let name = self.name.as_deref().unwrap_or("sos-hosted");
        name.chars().filter(char::is_ascii_graphic).collect()
    }
}

/// A running node. Dropping it stops the kernel and waits for its thread.
///
/// ```
/// use std::time::Duration;
/// let node = sos::hosted::Node::start(None, sos::hosted::Options::default())?;
/// node.console().expect("> ", Duration::from_secs(30))?;
/// node.console().send_line("poweroff")?;
/// assert!(node.wait(Duration::from_secs(30))?.is_poweroff());
/// # anyhow::Ok(())
/// ```
#[derive(Debug)]
pub struct Node {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the kernel's thread and the node's owner share.
#[derive(Debug)]
struct Shared {
    console: Console,
    waker: Waker,
    is_stopped: AtomicBool,
    /// Something was typed, or a host waits.
    has_news: AtomicBool,
    typed: Mutex<VecDeque<u8>>,
    hosts: Mutex<VecDeque<UnixStream>>,
    end: Mutex<Option<End>>,
    ended: Condvar,
}

impl Node {
    /// Starts a node with this boot image. Its bytes stay for as long as the process, as a kernel's do:
    /// `Vec::leak` makes such.
    ///
    /// # Errors
    /// When Linux gives no thread or no event.
    pub fn start(image: Option<&'static [u8]>, options: Options) -> Result<Node> {
        let shared = Shared::new().context("make an event for a hosted node")?;
        let thread = {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name(options.thread_name())
                .stack_size(STACK_BYTES)
                .spawn(move || shared.run(image, &options))
                .context("start the thread of a hosted node")?
        };
        Ok(Node {
            shared,
            thread: Some(thread),
        })
    }

    /// Its console.
    pub fn console(&self) -> &Console {
        &self.shared.console
    }

    /// Connects to its channel, as `qemu::channel::connect` does: one program at a time is served,
    /// others wait until it leaves, and the node speaks first.
    ///
    /// # Errors
    /// When too many wait already, or Linux gives no sockets.
    pub fn channel(&self) -> io::Result<UnixStream> {
        self.shared.connect()
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<End> {
        *lock(&self.shared.end)
    }

    /// Waits for it to end by itself; an error shows the console's end.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub fn wait(&self, limit: Duration) -> Result<End> {
        let deadline = Instant::now() + limit;
        let mut end = lock(&self.shared.end);
        loop {
            if let Some(end) = *end {
                return Ok(end);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!(
                    "the hosted node did not end within {limit:?}; its console's end:\n{}",
                    self.console().tail()
                );
            }
            let woken = self.shared.ended.wait_timeout(end, left);
            end = woken.map_or_else(|poisoned| poisoned.into_inner().0, |(end, _)| end);
        }
    }

    /// Ends it at once, as if its plug were pulled.
    pub fn kill(&mut self) -> End {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        self.shared.tell();
        if let Some(thread) = self.thread.take() {
            // Whatever happened on it is in `end`.
            let _ = thread.join();
        }
        self.end().unwrap_or(End::Killed)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn new() -> io::Result<Arc<Shared>> {
        let waker = Waker::new()?;
        Ok(Arc::new_cyclic(|shared: &Weak<Shared>| Shared {
            console: Console::new(Keyboard(shared.clone())),
            waker,
            is_stopped: AtomicBool::new(false),
            has_news: AtomicBool::new(false),
            typed: Mutex::default(),
            hosts: Mutex::default(),
            end: Mutex::default(),
            ended: Condvar::new(),
        }))
    }

    /// A host's end of the channel; the kernel will find the other one.
    fn connect(&self) -> io::Result<UnixStream> {
        let (ours, nodes) = UnixStream::pair()?;
        nodes.set_nonblocking(true)?;
        let mut hosts = lock(&self.hosts);
        if hosts.len() == HOSTS_MAX {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{HOSTS_MAX} programs wait for the node's channel; end one"),
            ));
        }
        hosts.push_back(nodes);
        drop(hosts);
        self.tell();
        Ok(ours)
    }

    /// The thread: one life of the kernel after the other, until one ends for good.
    fn run(self: Arc<Shared>, image: Option<&'static [u8]>, options: &Options) {
        let lives = AssertUnwindSafe(|| {
            loop {
                match self.live(image, options) {
                    Some(end) => break end,
                    None => self.print(b"\r\n"),
                }
            }
        });
        let end = catch_unwind(lives).unwrap_or(End::Panic);
        // Nobody serves those who wait.
        lock(&self.hosts).clear();
        self.console.close(end.to_string());
        *lock(&self.end) = Some(end);
        self.ended.notify_all();
    }

    /// From boot to the end; none when the node shall start again.
    fn live(self: &Arc<Shared>, image: Option<&'static [u8]>, options: &Options) -> Option<End> {
        let mut machine = HostMachine::new(self.clone(), options.memory_bytes);
        let boot = BootInfo {
            image,
            name: options.name.clone(),
            keys: options.keys.clone(),
            ..BootInfo::default()
        };
        let mut kernel = Kernel::new(&mut machine, boot);
        while !self.is_stopped.load(Ordering::Relaxed) {
            machine.begin_turn();
            let next = kernel.turn(&mut machine);
            machine.end_turn();
            match next {
                Next::Again => {}
                Next::Idle { until } => machine.idle(until),
                Next::PowerOff => return Some(End::Poweroff),
                Next::Reboot => return None,
            }
        }
        Some(End::Killed)
    }

    /// Tells the kernel's thread that there is something for it.
    fn tell(&self) {
        self.has_news.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether something was typed, a host has come or the end was ordered since it was looked at.
    fn has_news(&self) -> bool {
        self.has_news.load(Ordering::Acquire)
    }

    fn take_typed(&self, out: &mut [u8]) -> usize {
        let mut typed = lock(&self.typed);
        let count = out.len().min(typed.len());
        for (slot, byte) in out.iter_mut().zip(typed.drain(..count)) {
            *slot = byte;
        }
        self.has_news.store(!typed.is_empty(), Ordering::Release);
        count
    }

    fn next_host(&self) -> Option<UnixStream> {
        lock(&self.hosts).pop_front()
    }

    fn print(&self, bytes: &[u8]) {
        self.console.printed(bytes);
    }
}

/// Types on the node's console.
struct Keyboard(Weak<Shared>);

impl io::Write for Keyboard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let shared = self.0.upgrade().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut typed = lock(&shared.typed);
        if typed.len() + bytes.len() > TYPED_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "the node has not read what was typed before",
            ));
        }
        typed.extend(bytes);
        drop(typed);
        shared.tell();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
