//! Instances that leave together: a group that an operator names, and those that an evacuation finds linked.

use super::super::Kernel;
use super::orders::refusal;
use crate::control::{ControlError, MigrateOptions};
use crate::limits;
use crate::machine::Machine;
use crate::migrate::{HandoverId, NodeId};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Instances that have to leave, together if there are several.
pub(super) struct Evacuee {
    pub names: Vec<String>,
    pub to: NodeId,
    pub options: MigrateOptions,
}

impl Kernel {
    /// Begins to hand instances over to another node, together.
    ///
    /// # Errors
    /// One does not run or is being handed over already, or there is no such node: nothing is changed.
    pub(in crate::kernel) fn migrate_group(
        &mut self,
        machine: &mut dyn Machine,
        names: &[String],
        to: &str,
        options: MigrateOptions,
    ) -> Result<(), ControlError> {
        let peer = self.find_node(to)?;
        self.migrate_together(machine, names, peer, options)?;
        Ok(())
    }

    pub(super) fn migrate_together(
        &mut self,
        machine: &mut dyn Machine,
        names: &[String],
        peer: NodeId,
        mut options: MigrateOptions,
    ) -> Result<Vec<HandoverId>, ControlError> {
        let keys = self.keys_of(names)?;
        // The bound is for all of them.
        options.bandwidth = options.bandwidth.map(|bytes| bytes / names.len() as u64);
        let mut orders = Vec::new();
        for &key in &keys {
            orders.push(self.order(key, peer, options)?);
        }
        let now = self.clock.now();
        let begun = self.hub().begin_group(now, orders);
        let handovers =
            begun.map_err(|(number, error)| refusal(&names[number], &error.to_string()))?;
        let (group, node) = (names.join(" "), self.node_name(peer));
        for (&handover, key) in handovers.iter().zip(keys) {
            let detail = format!("to {node}, as one of {group}");
            self.note_leaving(handover, key, peer, options, detail);
            self.moves.groups.insert(handover, group.clone());
        }
        self.carry_out(machine);
        Ok(handovers)
    }

    /// The names of instances, with each other where private networks join them. More than an evacuation has under way
    /// at once go one by one: their networks are carried meanwhile.
    pub(super) fn linked_together(&self, keys: &[u32]) -> Vec<Vec<String>> {
        let networks = |key: u32| -> BTreeSet<&str> {
            let ports = self.records[key as usize].spec.ports.iter();
            let segments = ports.filter_map(|port| port.attach.segment());
            segments.filter(|name| self.is_private(name)).collect()
        };
        let mut sets: Vec<(BTreeSet<&str>, Vec<u32>)> = Vec::new();
        for &key in keys {
            let mut joined = (networks(key), [key].to_vec());
            let (with, apart) = sets
                .into_iter()
                .partition::<Vec<_>, _>(|(names, _)| !names.is_disjoint(&joined.0));
            sets = apart;
            for (names, members) in with {
                joined.0.extend(names);
                joined.1.extend(members);
            }
            sets.push(joined);
        }
        let name = |key: &u32| self.records[*key as usize].spec.name.clone();
        let mut together = Vec::new();
        for (_, mut members) in sets {
            members.sort_unstable();
            let names: Vec<String> = members.iter().map(name).collect();
            match names.len() <= limits::EVACUATIONS {
                true => together.push(names),
                false => together.extend(names.into_iter().map(|name| [name].to_vec())),
            }
        }
        together
    }

    fn is_private(&self, segment: &str) -> bool {
        let segment = self.fabric.find(segment);
        segment.is_some_and(|segment| self.fabric.is_private(segment))
    }
}
