//! What operators see of the other nodes.

use super::super::{Kernel, VERSION};
use super::peers::Known;
use crate::control::{ControlError, NodeRow};
use crate::machine::{Machine, Time};
use alloc::string::ToString;
use alloc::vec::Vec;

impl Kernel {
    /// `nodes`: this one first, then the others in the order in which they became known.
    ///
    /// # Errors
    /// [`ControlError::NoCluster`] when the node takes part in none.
    pub(in super::super) fn node_rows(
        &mut self,
        machine: &dyn Machine,
    ) -> Result<Vec<NodeRow>, ControlError> {
        let now = self.clock.now();
        let memory = machine.memory_stats();
        let count = self.occupied().count() as u32;
        let node = &self.node;
        let network = node.network.as_ref().ok_or(ControlError::NoCluster)?;
        let address = network.addresses().find(|it| !is_link_local(it));
        let own = NodeRow {
            name: node.name.clone(),
            node: node.id().map_or_else(Default::default, |id| id.to_string()),
            address: address.map_or_else(Default::default, |ip| {
                core::net::SocketAddr::new(ip, network.tcp_port).to_string()
            }),
            version: VERSION.into(),
            memory_bytes: memory.total_bytes,
            free_bytes: memory.free_bytes,
            load_permille: node.status.load_permille,
            instances: count,
            state: "here".into(),
            detail: alloc::format!(
                "{} connections, {} peers refused",
                node.connections.len(),
                node.refusals.all
            ),
            seen_nanos: Some(0),
        };
        let own_address = |known: &&Known| !network.is_own(known.address);
        let others = node.peers.iter().filter(own_address);
        let others = others.map(|known| row_of(known, now));
        Ok([own].into_iter().chain(others).collect())
    }
}

fn row_of(known: &Known, now: Time) -> NodeRow {
    let status = known.status.clone().unwrap_or_default();
    let state = match (known.links, known.is_tried) {
        (1.., _) => "linked",
        (0, true) => "connecting",
        (0, false) => "lost",
    };
    NodeRow {
        name: known.name.clone(),
        node: known.id.map_or_else(Default::default, |id| id.to_string()),
        address: known.address.to_string(),
        version: status.version,
        memory_bytes: status.memory_bytes,
        free_bytes: status.free_bytes,
        load_permille: status.load_permille,
        instances: status.instances,
        state: state.into(),
        detail: known.problem.clone(),
        seen_nanos: known.seen.map(|seen| now.since(seen).as_nanos() as u64),
    }
}

pub(super) fn is_link_local(address: &core::net::IpAddr) -> bool {
    match address {
        core::net::IpAddr::V4(v4) => v4.is_link_local(),
        core::net::IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
