//! How long the host did not run an emulated processor that wanted to run.
//!
//! A bench on a host with other work to do would else measure that work: the two systems of a row
//! run one after the other, and whichever meets the busier moments looks slower. What the host's
//! scheduler has counted is taken off the figures of rows that are all computing.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Watches the threads of a QEMU process from some moment on.
#[derive(Debug)]
pub struct Withheld {
    tasks: PathBuf,
    begun: BTreeMap<PathBuf, Scheduled>,
}

/// What the scheduler has counted for a thread, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Scheduled {
    ran_ns: u64,
    waited_ns: u64,
}

impl Scheduled {
    /// Reads the first two figures of `schedstat` (Linux, `Documentation/scheduler/sched-stats.rst`).
    fn read(text: &str) -> Option<Scheduled> {
        let mut figures = text.split_ascii_whitespace().map(str::parse);
        Some(Scheduled {
            ran_ns: figures.next()?.ok()?,
            waited_ns: figures.next()?.ok()?,
        })
    }

    fn since(self, earlier: Scheduled) -> Scheduled {
        Scheduled {
            ran_ns: self.ran_ns.saturating_sub(earlier.ran_ns),
            waited_ns: self.waited_ns.saturating_sub(earlier.waited_ns),
        }
    }
}

impl Withheld {
    /// Begins to watch.
    pub fn from_now(process_id: u32) -> Withheld {
        let tasks = PathBuf::from(format!("/proc/{process_id}/task"));
        Withheld {
            begun: threads(&tasks),
            tasks,
        }
    }

    /// What the busiest thread since then, which is the emulated processor, had to wait; zero where
    /// the host does not tell.
    pub fn until_now(&self) -> Duration {
        let busiest = threads(&self.tasks)
            .into_iter()
            .map(|(thread, now)| now.since(self.begun.get(&thread).copied().unwrap_or_default()))
            .max_by_key(|scheduled| scheduled.ran_ns);
        Duration::from_nanos(busiest.unwrap_or_default().waited_ns)
    }
}

/// What one thread had to wait so far, which is read quickly.
#[derive(Debug)]
pub struct ThreadWait(File);

impl ThreadWait {
    /// Of the thread of a process that has run most: an emulator's processor. None where the host does not
    /// tell.
    pub fn of_busiest(process_id: u32) -> Option<ThreadWait> {
        let threads = threads(Path::new(&format!("/proc/{process_id}/task")));
        let busiest = threads.iter().max_by_key(|(_, scheduled)| scheduled.ran_ns);
        ThreadWait::open(&busiest?.0.join("schedstat"))
    }

    /// Of the thread that asks.
    pub fn of_this_thread() -> Option<ThreadWait> {
        ThreadWait::open(Path::new("/proc/thread-self/schedstat"))
    }

    fn open(file: &Path) -> Option<ThreadWait> {
        File::open(file).ok().map(ThreadWait)
    }

    /// The figure now; zero for a thread that has ended.
    pub fn so_far(&self) -> Duration {
        let mut text = [0; 128];
        let read = self.0.read_at(&mut text, 0).unwrap_or(0);
        let text = std::str::from_utf8(&text[..read]).unwrap_or_default();
        let scheduled = Scheduled::read(text).unwrap_or_default();
        Duration::from_nanos(scheduled.waited_ns)
    }
}

fn threads(tasks: &Path) -> BTreeMap<PathBuf, Scheduled> {
    let entries = std::fs::read_dir(tasks).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let text = std::fs::read_to_string(entry.path().join("schedstat")).ok()?;
            Some((entry.path(), Scheduled::read(&text)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_and_compared() {
        let earlier = Scheduled::read("100 20 3\n").unwrap();
        let later = Scheduled::read("250 90 4\n").unwrap();
        let expected = Scheduled {
            ran_ns: 150,
            waited_ns: 70,
        };
        assert_eq!(later.since(earlier), expected);
        assert_eq!(Scheduled::read("some text"), None);
    }

    #[test]
    fn the_wait_of_a_thread_never_becomes_less() {
        let wait = ThreadWait::of_this_thread().unwrap();
        let before = wait.so_far();
        std::thread::yield_now();
        assert!(wait.so_far() >= before);
        let busiest = ThreadWait::of_busiest(std::process::id());
        assert!(busiest.is_some());
        assert!(ThreadWait::of_busiest(u32::MAX).is_none());
    }

    #[test]
    fn a_process_that_is_gone_had_nothing_withheld() {
        let watch = Withheld {
            tasks: PathBuf::from("/proc/no process/task"),
            begun: BTreeMap::new(),
        };
        assert_eq!(watch.until_now(), Duration::ZERO);
    }
}
