//! The node itself on its network.

use super::{Wiring, bound, validate_addresses};
use crate::image::{AddressSpec, Item, Manifest, ManifestError, NodeSpec};
use crate::limits;

impl Manifest {
    pub(super) fn validate_node<'a>(
        &'a self,
        node: &'a NodeSpec,
        wiring: &mut Wiring<'a>,
    ) -> Result<(), ManifestError> {
        let item = || Item::Node;
        if !self
            .switches
            .iter()
            .any(|switch| switch.name == node.switch)
        {
            return Err(ManifestError::UnknownSegment {
                port: item(),
                segment: node.switch.clone(),
            });
        }
        if node.port == 0 {
            return Err(ManifestError::OutOfRange {
                item: item(),
                key: "port",
                least: 1,
                most: u16::MAX.into(),
            });
        }
        bound(node.peers.len(), limits::CLUSTER_NODES, "peers", item)?;
        validate_addresses(&node.addresses, &node.gateways, &[], item)?;
        for address in &node.addresses {
            if let AddressSpec::Static { address, .. } = address
                && !wiring.addresses.insert((&node.switch, *address))
            {
                return Err(ManifestError::DuplicateAddress {
                    port: item(),
                    address: *address,
                });
            }
        }
        Ok(())
    }
}
