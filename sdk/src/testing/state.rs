//! What a simulated node is: the time, the instances, their network. Guarded by
//! [`Turns`](super::turns::Turns).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::Condvar;

use super::network::Network;
use super::{End, LogLine};
use crate::log::Level;

/// Sockets of one instance, unless [`super::InstanceBuilder::sockets`] says otherwise; the kernel's
/// default too.
const SOCKETS: usize = 256;
/// Wall time at which a node starts: 2026-01-01 00:00:00 UTC.
const START_WALL_NS: u64 = 1_767_225_600_000_000_000;
/// Bytes of a line of the log; longer ones are split.
const LOG_LINE_BYTES: usize = 1024;

/// One node.
pub struct State {
    /// Virtual time since the node started.
    pub now_ns: u64,
    /// Wall time at virtual time 0.
    pub start_wall_ns: u64,
    pub seed: u64,
    pub guests: Vec<Guest>,
    pub network: Network,
    /// Whose turn it is.
    pub running: usize,
    /// Counts changes that somebody may wait for.
    pub changes: u64,
    /// Calls since the turn began.
    pub calls: u32,
    /// Says why nobody can go on.
    pub deadlock: Option<String>,
}

/// One instance.
pub struct Guest {
    pub name: String,
    pub started_ns: u64,
    pub arguments: Vec<String>,
    pub config: BTreeMap<String, String>,
    pub log: Vec<LogLine>,
    pub console_output: Vec<u8>,
    pub console_input: VecDeque<u8>,
    pub random: Random,
    pub generation: u64,
    /// How often it went on, by [`RevivalKind`](crate::identity::RevivalKind).
    pub revivals: [u64; 3],
    pub phase: Phase,
    /// Whether it is to end at its next call.
    pub is_condemned: bool,
    /// Whether somebody was told how it ended.
    pub is_end_seen: bool,
    /// Signalled when its turn comes.
    pub turn: Arc<Condvar>,
}

/// What an instance does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// It computes, or could.
    Ready,
    /// It waits in a call.
    Waiting {
        call: &'static str,
        /// The number of changes at which it saw that it has to wait.
        seen_changes: u64,
        until_ns: Option<u64>,
    },
    /// It is over.
    Ended(End),
}

impl State {
    pub fn new(seed: u64) -> State {
        State {
            now_ns: 0,
            start_wall_ns: START_WALL_NS,
            seed,
            guests: Vec::new(),
            network: Network::default(),
            running: 0,
            changes: 0,
            calls: 0,
            deadlock: None,
        }
    }

    pub fn add_guest(&mut self, name: &str) -> usize {
        let number = self.network.join(name, SOCKETS);
        let mut random = Random(self.seed.wrapping_add(number as u64));
        let generation = random.next();
        self.guests.push(Guest {
            name: name.to_string(),
            started_ns: self.now_ns,
            arguments: Vec::new(),
            config: BTreeMap::new(),
            log: Vec::new(),
            console_output: Vec::new(),
            console_input: VecDeque::new(),
            random,
            generation,
            revivals: [0; 3],
            phase: Phase::Ready,
            is_condemned: false,
            is_end_seen: false,
            turn: Arc::default(),
        });
        number
    }

    pub fn guest(&mut self, me: usize) -> &mut Guest {
        &mut self.guests[me]
    }

    /// Lets what is due happen, and notes whether somebody's wait may be over.
    pub fn settle(&mut self) {
        self.network.advance(self.now_ns);
        if core::mem::take(&mut self.network.has_changed) {
            self.changes += 1;
        }
    }

    /// Who comes after `me`; moves the time on when everybody waits for it. Nobody when everybody
    /// waits for something else.
    pub fn next_turn(&mut self, me: usize) -> Option<usize> {
        loop {
            self.settle();
            let count = self.guests.len();
            let order = (1..=count).map(|step| (me + step) % count);
            let next = { order }.find(|&guest| self.is_ready(guest));
            if next.is_some() {
                return next;
            }
            let waits = self.guests.iter().filter_map(|guest| match guest.phase {
                Phase::Waiting { until_ns, .. } => until_ns,
                Phase::Ready | Phase::Ended(_) => None,
            });
            let event_ns = waits.chain(self.network.next_event_ns()).min()?;
            self.now_ns = self.now_ns.max(event_ns);
        }
    }

    /// Whether an instance can go on at this moment.
    pub fn is_ready(&self, guest: usize) -> bool {
        let guest = &self.guests[guest];
        match guest.phase {
            Phase::Ready => true,
            Phase::Waiting {
                seen_changes,
                until_ns,
                ..
            } => {
                guest.is_condemned
                    || seen_changes != self.changes
                    || until_ns.is_some_and(|until_ns| until_ns <= self.now_ns)
            }
            Phase::Ended(_) => false,
        }
    }

    /// Says who waits in which call.
    pub fn describe_waits(&self) -> String {
        let waits: Vec<String> = self
            .guests
            .iter()
            .map(|guest| match &guest.phase {
                Phase::Ready => format!("{} computes", guest.name),
                Phase::Waiting { call, .. } => format!("{} waits in `{call}`", guest.name),
                Phase::Ended(end) => format!("{} has {end}", guest.name),
            })
            .collect();
        waits.join(", ")
    }

    /// Appends text to an instance's log as the kernel does.
    pub fn log(&mut self, me: usize, level: Level, text: &[u8]) {
        let time_ns = self.now_ns;
        let text = String::from_utf8_lossy(text);
        for line in text.strip_suffix('\n').unwrap_or(&text).split('\n') {
            let mut rest = line.strip_suffix('\r').unwrap_or(line);
            loop {
                let (head, tail) = rest.split_at(rest.floor_char_boundary(LOG_LINE_BYTES));
                self.guests[me].log.push(LogLine {
                    time_ns,
                    level,
                    text: head.to_string(),
                });
                if tail.is_empty() {
                    break;
                }
                rest = tail;
            }
        }
    }
}

/// Random numbers that a seed repeats (splitmix64, Steele et al. 2014). Good for tests only.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}
