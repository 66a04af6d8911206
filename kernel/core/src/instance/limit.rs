//! Limits of the manifest that an instance has reached: each is told once as an event, since the guest only
//! sees a call that fails, and its operator would see nothing.

use core::fmt;

/// A limit that makes calls fail rather than the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `memory`: growing was refused.
    Memory,
    /// `tables`: growing was refused.
    Tables,
    /// `sockets`: opening or accepting was refused.
    Sockets,
    /// `log`: old lines were dropped.
    Log,
    /// `file_bytes` or `files`: writing or making a file was refused.
    Files,
}

/// Some limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitSet(u8);

impl Limit {
    const ALL: [Limit; 5] = [
        Limit::Memory,
        Limit::Tables,
        Limit::Sockets,
        Limit::Log,
        Limit::Files,
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl LimitSet {
    /// The set as a number, a bit for each limit.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The set that a number means, if it means one.
    pub fn from_bits(bits: u8) -> Option<LimitSet> {
        let known = Limit::ALL
            .iter()
            .fold(0, |known, limit| known | limit.bit());
        (bits & !known == 0).then_some(LimitSet(bits))
    }

    /// Adds one.
    pub fn insert(&mut self, limit: Limit) {
        self.0 |= limit.bit();
    }

    /// Those of both.
    pub fn union(self, other: LimitSet) -> LimitSet {
        LimitSet(self.0 | other.0)
    }

    /// Those that `other` does not have.
    pub fn without(self, other: LimitSet) -> LimitSet {
        LimitSet(self.0 & !other.0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Limit> {
        let here = move |limit: &Limit| self.0 & limit.bit() != 0;
        Limit::ALL.into_iter().filter(here)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::Memory => "memory: growing was refused; raise `memory`",
            Limit::Tables => "tables: growing was refused; raise `tables`",
            Limit::Sockets => "sockets: another one was refused; raise `sockets`",
            Limit::Log => "log: old lines were dropped; raise `log`",
            Limit::Files => "files: a write was refused; raise `file_bytes` or `files`",
        })
    }
}
