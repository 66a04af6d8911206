//! Who the instance is, where it runs, and what became of it since it started.
//!
//! An operator may pause an instance, restore an earlier state of it, or clone it, at any moment and
//! without its doing. Mostly that is no concern of its: connections and timers go on. It is for what
//! must not be used twice (keys, tokens, numbers that shall be unique) and for what went on meanwhile
//! outside (wall time, leases). [`on_revival`] is told in programs that wait in [`crate::task`], in
//! [`crate::poll`] or in a server on it; others ask a [`RevivalWatch`] before they use what may be stale:
//!
//! ```
//! use sos_sdk::identity::RevivalWatch;
//! use sos_sdk::random;
//!
//! struct Tokens {
//!     watch: RevivalWatch,
//!     secret: u64,
//!     issued: u64,
//! }
//!
//! impl Tokens {
//!     fn new() -> Tokens {
//!         Tokens { watch: RevivalWatch::new(), secret: random::next_u64(), issued: 0 }
//!     }
//!
//!     fn issue(&mut self) -> (u64, u64) {
//!         loop {
//!             self.issued += 1;
//!             let token = (self.secret, self.issued);
//!             // Asked after it was made: another instance may go on with the same secret and count.
//!             match self.watch.look() {
//!                 Some(revival) if revival.is_copy() => *self = Tokens::new(),
//!                 _ => return token,
//!             }
//!         }
//!     }
//! }
//! # let node = sos_sdk::testing::Node::new();
//! # let mut tokens = Tokens::new();
//! # assert_ne!(tokens.issue(), tokens.issue());
//! ```

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use sos_abi::{REVIVAL_ANY, REVIVAL_CLONED, REVIVAL_RESTORED, REVIVAL_RESUMED};

use crate::{sys, task};

/// The instance's name.
pub fn instance_name() -> String {
    sys::instance_name().unwrap_or_default()
}

/// The name of the node that runs the instance now.
pub fn node_name() -> String {
    sys::node_name().unwrap_or_default()
}

/// A number that changes when the instance has become a copy of another: secrets that were drawn
/// before are then no longer its own alone.
pub fn generation() -> u64 {
    sys::generation()
}

/// A way in which an instance goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevivalKind {
    /// After a pause, here or on another node. Wall time went on, and peers may have given up.
    Resumed,
    /// From an earlier state than it had reached: what it did since is undone in it, and nowhere else.
    Restored,
    /// As a clone: with another name and other addresses, and without the original's connections.
    Cloned,
}

/// How often the instance went on since it was asked last, in each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Revival {
    /// [`RevivalKind::Resumed`].
    pub resumed: u64,
    /// [`RevivalKind::Restored`].
    pub restored: u64,
    /// [`RevivalKind::Cloned`].
    pub cloned: u64,
}

impl Revival {
    /// Whether others may have the same memory: secrets that were drawn before are not its own alone.
    pub fn is_copy(self) -> bool {
        self.restored > 0 || self.cloned > 0
    }

    /// Since the instance started.
    fn since_start() -> Revival {
        Revival {
            resumed: sys::revivals(REVIVAL_RESUMED),
            restored: sys::revivals(REVIVAL_RESTORED),
            cloned: sys::revivals(REVIVAL_CLONED),
        }
    }

    fn total(self) -> u64 {
        self.resumed + self.restored + self.cloned
    }
}

/// Remembers what it was told, so that it tells each revival once.
#[derive(Debug, Clone)]
pub struct RevivalWatch {
    seen: Revival,
}

impl RevivalWatch {
    /// A watch from now on.
    pub fn new() -> RevivalWatch {
        RevivalWatch {
            seen: Revival::since_start(),
        }
    }

    /// What became of the instance since it was asked last; nothing, mostly, which costs one host call.
    pub fn look(&mut self) -> Option<Revival> {
        if sys::revivals(REVIVAL_ANY) == self.seen.total() {
            return None;
        }
        let now = Revival::since_start();
        let before = core::mem::replace(&mut self.seen, now);
        Some(Revival {
            resumed: now.resumed.saturating_sub(before.resumed),
            restored: now.restored.saturating_sub(before.restored),
            cloned: now.cloned.saturating_sub(before.cloned),
        })
    }
}

impl Default for RevivalWatch {
    fn default() -> RevivalWatch {
        RevivalWatch::new()
    }
}

/// Has `hook` called when the instance went on after a pause, from an earlier state or as a clone:
/// after the wait in [`crate::task`] or [`crate::poll`] during which it happened, before what became
/// ready is handled. Hooks stay for the life of the instance.
///
/// A cut may be taken between any two instructions: what a program makes between two waits (a token from
/// a secret that was read before), its copy may make too. What must be unique is therefore checked with
/// [`RevivalWatch::look`] after it was made and before it is given out; a clone that is cut behind the
/// check has no connection of the original's to give it out on.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use sos_sdk::{identity, random};
///
/// # let node = sos_sdk::testing::Node::new();
/// let secret = Rc::new(Cell::new(random::next_u64()));
/// let shared = secret.clone();
/// identity::on_revival(move |revival| {
///     if revival.is_copy() {
///         shared.set(random::next_u64());
///     }
/// });
/// ```
pub fn on_revival(hook: impl FnMut(Revival) + 'static) {
    let hook: Hook = Box::new(hook);
    let watch = RevivalWatch::new();
    task::with_hooks(|hooks| {
        hooks.watch.get_or_insert(watch);
        hooks.hooks.push(hook);
    });
}

type Hook = Box<dyn FnMut(Revival)>;

/// What is to be called at the next revival.
pub(crate) struct Hooks {
    /// There as soon as there is a hook.
    watch: Option<RevivalWatch>,
    hooks: Vec<Hook>,
    /// Whether they are being called: one that waits comes here again.
    are_running: bool,
}

impl Hooks {
    pub(crate) const fn new() -> Hooks {
        Hooks {
            watch: None,
            hooks: Vec::new(),
            are_running: false,
        }
    }

    /// Takes the hooks out to be called, if there is something to tell them.
    fn take(&mut self) -> Option<(Revival, Vec<Hook>)> {
        if self.are_running {
            return None;
        }
        let revival = self.watch.as_mut()?.look()?;
        self.are_running = true;
        Some((revival, core::mem::take(&mut self.hooks)))
    }

    /// Puts them back before those that they added.
    fn put_back(&mut self, mut hooks: Vec<Hook>) {
        hooks.append(&mut self.hooks);
        self.hooks = hooks;
        self.are_running = false;
    }
}

/// Calls the hooks if the instance was revived since. After each wait.
///
/// A hook may wait itself: what becomes of the instance meanwhile is told to all of them when it is done.
pub(crate) fn run_hooks() {
    // Hooks are foreign code: they run outside of what they may use, and may add others.
    while let Some((revival, mut hooks)) = task::with_hooks(Hooks::take) {
        for hook in &mut hooks {
            hook(revival);
        }
        task::with_hooks(|state| state.put_back(hooks));
    }
}
