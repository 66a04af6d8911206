//! The identity of clones (D6): their names, station addresses, addresses, and where they are plugged in.
//!
//! A clone is plugged in where its original is, with a station address of its own. Addresses come by DHCP
//! as the original's do, or from the operator; a static one of the original's is not had twice. Where
//! instances are cloned with a network that only they are on, it is made anew for them, and there they keep
//! their addresses.

use super::Kernel;
use super::record::State;
use crate::control::{ControlError, PortAddress};
use crate::image::{
    AddressSpec, Attachment, InstanceSpec, Manifest, ManifestError, PortSpec, SwitchSpec,
};
use crate::net::stack::Surroundings;
use crate::snapshot::Cut;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

/// What became of a clone's ports.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The network behind each.
    pub surroundings: Vec<Surroundings>,
    /// Those that are plugged into nothing.
    pub unplugged: Vec<String>,
    /// Those without an address.
    pub unaddressed: Vec<String>,
}

/// Addresses that clones of one request get, on which switch or link, and who gets them: they are in no record yet.
pub(super) type Claimed = BTreeMap<(String, IpAddr), String>;

impl Kernel {
    /// Gives a cut an identity of its own: `name`, new station addresses, the addresses that the operator gave,
    /// and a place in the network. `segments` are cloned with it, under the names that they have here; `claimed` is
    /// what those get that are made with it.
    ///
    /// # Errors
    /// [`ControlError::NameTaken`], [`ControlError::AddressTaken`], or that an address is no sound one.
    pub(super) fn make_anew(
        &mut self,
        cut: &mut Cut,
        name: &str,
        given: &[(String, AddressSpec)],
        segments: &BTreeMap<String, String>,
        claimed: &mut Claimed,
    ) -> Result<Place, ControlError> {
        if self.key_of(name).is_ok() {
            return Err(ControlError::NameTaken(name.into()));
        }
        let original = core::mem::replace(&mut cut.spec.name, name.into());
        cut.macs = cut.spec.ports.iter().map(|_| self.draw_mac()).collect();
        let mut place = Place::default();
        for port in &mut cut.spec.ports {
            port.mac = None;
            let own = given.iter().filter(|(of, _)| *of == port.name);
            let own: Vec<AddressSpec> = own.map(|(_, address)| *address).collect();
            let surroundings = match port.attach.segment().and_then(|it| segments.get(it)) {
                Some(_) if !own.is_empty() => {
                    return Err(ControlError::NoPortFor(port.name.clone()));
                }
                Some(segment) => {
                    let (Attachment::Switch(at) | Attachment::Link(at)) = &mut port.attach else {
                        continue;
                    };
                    at.clone_from(segment);
                    Surroundings::Cloned
                }
                None => {
                    self.plug_in(port, &original, &own, &mut place);
                    self.claim(port, name, claimed)?;
                    Surroundings::New
                }
            };
            place.surroundings.push(surroundings);
        }
        // What is taken away from a sound manifest leaves a sound one.
        if !given.is_empty() || !segments.is_empty() {
            require_sound(&cut.spec).map_err(|error| ControlError::StartFailed {
                name: name.into(),
                reason: error.to_string(),
            })?;
        }
        Ok(place)
    }

    /// Finds a place for a port beside the original's.
    fn plug_in(&self, port: &mut PortSpec, original: &str, own: &[AddressSpec], place: &mut Place) {
        if let Attachment::Link(link) = &port.attach
            && !self.has_free_end(link, original)
        {
            port.attach = Attachment::Unplugged;
            place.unplugged.push(port.name.clone());
        }
        let had_any = !port.addresses.is_empty();
        if own.is_empty() {
            port.addresses.retain(|it| *it == AddressSpec::Dhcp);
        } else {
            port.addresses = own.to_vec();
        }
        if !port.addresses.iter().any(is_static) {
            // Those of the original's network, of which the port has no address; DHCP names its own.
            port.gateways.clear();
        }
        if had_any && port.addresses.is_empty() && port.attach != Attachment::Unplugged {
            place.unaddressed.push(port.name.clone());
        }
    }

    /// Sees to it that nobody else has or gets the addresses of a port of the clone `name`.
    fn claim(
        &self,
        port: &PortSpec,
        name: &str,
        claimed: &mut Claimed,
    ) -> Result<(), ControlError> {
        let Some(segment) = port.attach.segment() else {
            return Ok(());
        };
        for address in &port.addresses {
            let AddressSpec::Static { address, .. } = *address else {
                continue;
            };
            let place = (segment.into(), address);
            let holder = self.holder_of(segment, address);
            if let Some(instance) = holder.or_else(|| claimed.insert(place, name.into())) {
                return Err(ControlError::AddressTaken { address, instance });
            }
        }
        Ok(())
    }

    /// Whether a link has an end that is not the original's to have.
    fn has_free_end(&self, link: &str, original: &str) -> bool {
        let mut segments = self.fabric.segments(self.clock.now());
        let Some(segment) = segments.find(|segment| segment.name == link) else {
            return false;
        };
        let is_originals = |port: &crate::net::fabric::PortInfo| {
            let key = self.owners.get(&port.id);
            key.is_some_and(|&key| self.records[key as usize].spec.name == original)
        };
        segment.ports.len() < 2 && !segment.ports.iter().any(is_originals)
    }

    /// The instance that has an address on a switch or link.
    fn holder_of(&self, segment: &str, address: IpAddr) -> Option<String> {
        let mut records = self.occupied().map(|(_, record)| record);
        let holder = records.find(|record| {
            let mut ports = record.spec.ports.iter().enumerate();
            ports.any(|(number, port)| {
                let is_configured = |it: &AddressSpec| matches!(it, AddressSpec::Static { address: own, .. } if *own == address);
                let has_now = match &record.state {
                    State::Live(live) => {
                        let interfaces = live.execution.guest().stack.interfaces();
                        let own = interfaces.get(number).map(|it| &it.addresses[..]);
                        own.unwrap_or_default().iter().any(|(own, _)| *own == address)
                    }
                    State::Ended(..) | State::Loading(_) => false,
                };
                port.attach.segment() == Some(segment)
                    && (port.addresses.iter().any(is_configured) || has_now)
            })
        });
        holder.map(|record| record.spec.name.clone())
    }
}

fn is_static(address: &AddressSpec) -> bool {
    matches!(address, AddressSpec::Static { .. })
}

/// Whether every address is for a port of one of `specs`, and there are enough of them for `count` clones.
///
/// # Errors
/// [`ControlError::NoPortFor`], [`ControlError::AddressesEnd`].
pub(super) fn check_addresses(
    addresses: &[PortAddress],
    specs: &[&InstanceSpec],
    count: u32,
) -> Result<(), ControlError> {
    for given in addresses {
        let is_meant = |spec: &&&InstanceSpec| match &given.instance {
            Some(name) => spec.name == *name,
            None => specs.len() == 1,
        };
        let mut ports = specs.iter().filter(is_meant).flat_map(|spec| &spec.ports);
        if !ports.any(|port| port.name == given.port) {
            let instance = given.instance.as_ref();
            return Err(ControlError::NoPortFor(match instance {
                Some(instance) => format!("{instance}.{}", given.port),
                None => given.port.clone(),
            }));
        }
        let room = room_of(given.address);
        if let AddressSpec::Static {
            address,
            prefix_length,
        } = given.address
            && room < count
        {
            return Err(ControlError::AddressesEnd {
                address,
                prefix_length,
                room,
            });
        }
    }
    Ok(())
}

/// The addresses of the `number`th clone of an instance, by its ports.
pub(super) fn addresses_of(
    addresses: &[PortAddress],
    instance: &str,
    number: u32,
) -> Vec<(String, AddressSpec)> {
    let own = addresses.iter().filter(|given| {
        let meant = given.instance.as_deref();
        meant.is_none_or(|name| name == instance)
    });
    own.map(|given| (given.port.clone(), counted_up(given.address, number)))
        .collect()
}

/// How many addresses of its network there are from an address on.
fn room_of(address: AddressSpec) -> u32 {
    let AddressSpec::Static {
        address,
        prefix_length,
    } = address
    else {
        return u32::MAX;
    };
    let prefix = u32::from(prefix_length);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shr(prefix).unwrap_or(0);
            // The last one is everybody's, but in networks of one or two (RFC 3021).
            let last = if prefix < 31 {
                mask.saturating_sub(1)
            } else {
                mask
            };
            let host = address.to_bits() & mask;
            last.checked_sub(host)
                .map_or(0, |rest| rest.saturating_add(1))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shr(prefix).unwrap_or(0);
            let rest = mask - (address.to_bits() & mask);
            u32::try_from(rest).unwrap_or(u32::MAX).saturating_add(1)
        }
    }
}

/// The address `number` behind a static one, of whose room it is; DHCP's are not counted.
fn counted_up(address: AddressSpec, number: u32) -> AddressSpec {
    match address {
        AddressSpec::Dhcp => AddressSpec::Dhcp,
        AddressSpec::Static {
            address,
            prefix_length,
        } => AddressSpec::Static {
            address: match address {
                IpAddr::V4(address) => IpAddr::V4(address.to_bits().wrapping_add(number).into()),
                IpAddr::V6(address) => {
                    IpAddr::V6(address.to_bits().wrapping_add(number.into()).into())
                }
            },
            prefix_length,
        },
    }
}

/// Whether an instance could stand in a manifest, wherever its ports lead.
///
/// # Errors
/// As for a manifest.
pub(super) fn require_sound(spec: &InstanceSpec) -> Result<(), ManifestError> {
    let mut spec = spec.clone();
    let mut names = BTreeSet::new();
    for port in &mut spec.ports {
        if let Some(segment) = port.attach.segment().map(String::from) {
            // A link has its other end elsewhere.
            names.insert(segment.clone());
            port.attach = Attachment::Switch(segment);
        }
    }
    let switch = |name| SwitchSpec {
        name,
        uplink: None,
        mtu_bytes: None,
    };
    let manifest = Manifest {
        name: "node".into(),
        switches: names.into_iter().map(switch).collect(),
        instances: [spec].into(),
        ..Manifest::default()
    };
    manifest.validate()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(address: &str, prefix_length: u8) -> AddressSpec {
        AddressSpec::Static {
            address: address.parse().unwrap(),
            prefix_length,
        }
    }

    #[test]
    fn addresses_are_counted_up_to_the_end_of_their_network() {
        assert_eq!(room_of(fixed("10.0.0.250", 24)), 5);
        assert_eq!(room_of(fixed("10.0.0.255", 24)), 0);
        assert_eq!(room_of(fixed("10.0.0.1", 32)), 1);
        assert_eq!(room_of(fixed("10.0.0.0", 31)), 2);
        assert_eq!(
            room_of(fixed("10.0.0.1", 0)),
            u32::MAX - 1 - 0x0a00_0001 + 1
        );
        assert_eq!(room_of(fixed("fd00::fffe", 112)), 2);
        assert_eq!(room_of(fixed("fd00::1", 64)), u32::MAX);
        assert_eq!(room_of(AddressSpec::Dhcp), u32::MAX);
        assert_eq!(
            counted_up(fixed("10.0.0.254", 16), 3),
            fixed("10.0.1.1", 16)
        );
        assert_eq!(counted_up(fixed("fd00::ff", 64), 1), fixed("fd00::100", 64));
        assert_eq!(counted_up(AddressSpec::Dhcp, 7), AddressSpec::Dhcp);
    }
}
