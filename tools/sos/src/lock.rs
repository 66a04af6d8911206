//! A lock between processes, so that tests which run side by side install and build once.

use std::fs::File;

use anyhow::{Context, Result};

use crate::paths;

/// Held until it is dropped; the system lets go of it when its process dies.
#[derive(Debug)]
pub struct ProcessLock {
    _file: File,
}

impl ProcessLock {
    /// Waits for the lock `name` of this workspace.
    pub fn acquire(name: &str) -> Result<ProcessLock> {
        let path = paths::cache()?.join(format!("{name}.lock"));
        let file = File::create(&path).with_context(|| format!("open {}", path.display()))?;
        file.lock()
            .with_context(|| format!("lock {}", path.display()))?;
        Ok(ProcessLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let holders = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _lock = ProcessLock::acquire("test-of-lock").unwrap();
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        holders.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
