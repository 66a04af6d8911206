//! Name lookup: both address families of a name, from the name servers of an interface.

use super::Stack;
use super::capture::state::QueryState;
use super::handles::Entry;
use super::interface::Interface;
use super::types::{NetError, Readiness, SocketId};
use crate::machine::{Duration, Time};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use smoltcp::socket::dns::{GetQueryResultError, QueryHandle, Socket, StartQueryError};
use smoltcp::wire::DnsQueryType;

/// smoltcp gives each server ten seconds; a failure before that is the server's answer.
const SERVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Which addresses of a name are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// Those of IPv4.
    V4,
    /// Those of IPv6.
    V6,
}

/// A name being looked up.
pub(super) struct Query {
    pub(super) interface: usize,
    pub(super) name: String,
    /// The lookups under way.
    pub(super) pending: Vec<(Family, QueryHandle)>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) started: Time,
    pub(super) ended: Time,
}

impl Stack {
    /// Begins to look a name up. An address in text form is its own answer.
    ///
    /// # Errors
    /// [`NetError::NoNameServer`], [`NetError::NoSuchName`] for what cannot be a name,
    /// [`NetError::TooManySockets`].
    pub fn dns_start(&mut self, name: &str, now: Time) -> Result<SocketId, NetError> {
        self.now = self.now.max(now);
        self.handles.check_room()?;
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(self.handles.insert(Entry::Query(Query {
                interface: 0,
                name: name.into(),
                pending: Vec::new(),
                addresses: vec![address],
                started: now,
                ended: now,
            })));
        }
        let interface = self.name_server_interface()?;
        let query = self.look_up(interface, name, &[Family::V4, Family::V6], now)?;
        Ok(self.handles.insert(Entry::Query(query)))
    }

    /// Asks the name servers of an interface for the addresses of these families.
    pub(super) fn look_up(
        &mut self,
        interface: usize,
        name: &str,
        families: &[Family],
        now: Time,
    ) -> Result<Query, NetError> {
        let place = &mut self.interfaces[interface];
        let socket = place.services.get_mut::<Socket>(place.dns);
        place.touched = true;
        let mut pending = Vec::new();
        for &family in families {
            let kind = match family {
                Family::V4 => DnsQueryType::A,
                Family::V6 => DnsQueryType::Aaaa,
            };
            let refusal = match socket.start_query(place.inner.context(), name, kind) {
                Ok(handle) => {
                    pending.push((family, handle));
                    continue;
                }
                Err(StartQueryError::InvalidName | StartQueryError::NameTooLong) => {
                    NetError::NoSuchName
                }
                Err(StartQueryError::NoFreeSlot) => NetError::TooManySockets,
            };
            // The lookup of the other family must not keep its slot.
            for (_, handle) in pending {
                socket.cancel_query(handle);
            }
            return Err(refusal);
        }
        Ok(Query {
            interface,
            name: name.into(),
            pending,
            addresses: Vec::new(),
            started: now,
            ended: now,
        })
    }

    /// The first interface that leads to a name server of its own; failing that, the first that
    /// has one.
    fn name_server_interface(&self) -> Result<usize, NetError> {
        let interfaces = &self.interfaces;
        let leads = |interface: &Interface| {
            interface
                .servers
                .iter()
                .any(|server| interface.is_on_link(*server) || interface.has_gateway(*server))
        };
        interfaces
            .iter()
            .position(leads)
            .or_else(|| {
                interfaces
                    .iter()
                    .position(|place| !place.servers.is_empty())
            })
            .ok_or(NetError::NoNameServer)
    }

    /// The addresses of a name, IPv4 first; `None` while the servers are asked. Stays until closed.
    ///
    /// # Errors
    /// [`NetError::NoSuchName`], [`NetError::NameServerFailed`].
    pub fn dns_poll(&mut self, query: SocketId) -> Result<Option<Vec<IpAddr>>, NetError> {
        let Entry::Query(query) = self.handles.get_mut(query)? else {
            return Err(NetError::WrongSocketKind);
        };
        if let Some(interface) = self.interfaces.get_mut(query.interface) {
            let socket = interface.services.get_mut::<Socket>(interface.dns);
            let addresses = &mut query.addresses;
            let before = query.pending.len();
            query
                .pending
                .retain(|(_, handle)| match socket.get_query_result(*handle) {
                    Ok(found) => {
                        addresses.extend(found.into_iter().map(IpAddr::from));
                        false
                    }
                    Err(GetQueryResultError::Failed) => false,
                    Err(GetQueryResultError::Pending) => true,
                });
            if query.pending.len() < before {
                query.ended = self.now;
            }
        }
        if !query.pending.is_empty() {
            return Ok(None);
        }
        if !query.addresses.is_empty() {
            query.addresses.sort_by_key(IpAddr::is_ipv6);
            return Ok(Some(query.addresses.clone()));
        }
        if query.ended.since(query.started) < SERVER_TIMEOUT {
            Err(NetError::NoSuchName)
        } else {
            Err(NetError::NameServerFailed)
        }
    }

    /// Collects what is there and tells whether the lookup is over.
    pub(super) fn query_readiness(&mut self, id: SocketId) -> Readiness {
        let answer = self.dns_poll(id);
        Readiness {
            readable: !matches!(answer, Ok(None)),
            failed: answer.is_err(),
            ..Readiness::default()
        }
    }

    pub(super) fn close_query(&mut self, query: Query) {
        let Some(interface) = self.interfaces.get_mut(query.interface) else {
            return;
        };
        let socket = interface.services.get_mut::<Socket>(interface.dns);
        for (_, handle) in query.pending {
            socket.cancel_query(handle);
        }
    }
}

impl Query {
    /// One that is over.
    pub(super) fn answered(interface: usize, name: &str, state: &QueryState) -> Query {
        Query {
            interface,
            name: name.into(),
            pending: Vec::new(),
            addresses: state.addresses.clone(),
            started: state.started,
            ended: state.ended,
        }
    }

    /// The families that are still asked for.
    pub(super) fn families(&self) -> impl Iterator<Item = Family> {
        self.pending.iter().map(|(family, _)| *family)
    }
}
