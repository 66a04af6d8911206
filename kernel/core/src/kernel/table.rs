//! The table of instances: an instance's key is its place, and places are used again.

use super::Kernel;
use super::record::{Record, State};
use crate::limits;

impl Kernel {
    /// Keys and records of all instances.
    pub(super) fn occupied(&self) -> impl Iterator<Item = (u32, &Record)> {
        let places = self.records.iter().enumerate();
        let taken = places.filter(|(_, record)| !record.vacant);
        taken.map(|(key, record)| (key as u32, record))
    }

    /// Puts a record into the table; none when the node has as many as it may have.
    pub(super) fn insert_record(&mut self, record: Record) -> Option<u32> {
        let vacant = self.records.iter().position(|record| record.vacant);
        match vacant {
            Some(key) => {
                self.records[key] = record;
                Some(key as u32)
            }
            None if self.records.len() < limits::INSTANCES => {
                self.records.push(record);
                Some(self.records.len() as u32 - 1)
            }
            None => None,
        }
    }

    /// Ends an instance if it runs and forgets it: nothing refers to its key afterwards.
    pub(super) fn remove_record(&mut self, key: u32) {
        if let State::Live(_) | State::Loading(_) = self.records[key as usize].state {
            // It runs, so it can be killed.
            let _ = self.kill(key);
        }
        self.give_up_suspended(key);
        let record = &mut self.records[key as usize];
        record.restart_due = None;
        self.set_timer(key);
        self.pings.retain(|ping| !ping.is_from(key));
        self.records[key as usize] = Record::vacant();
        // A switch or link that was made for it may have been left by the last.
        self.fabric.renew_wiring();
    }
}
