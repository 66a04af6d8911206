//! The TCP/IP stack of one instance: an interface per port, and the sockets over them.

mod types;

pub use types::{
    AddressSpec, DhcpState, InterfaceConfig, InterfaceInfo, NetError, Protocol, Readiness,
    Shutdown, SocketId, SocketInfo, StackLimits,
};

use crate::machine::{Duration, Time};
use crate::net::fabric::Fabric;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// The TCP/IP stack of one instance.
pub struct Stack {
    limits: StackLimits,
}

#[allow(unused_variables, missing_docs, clippy::missing_errors_doc)]
impl Stack {
    pub fn new(limits: StackLimits, seed: u64) -> Stack {
        Stack { limits }
    }

    pub fn add_interface(&mut self, config: InterfaceConfig, now: Time) -> Result<usize, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn poll(&mut self, now: Time, fabric: &mut Fabric) {}

    pub fn next_poll(&mut self, now: Time) -> Option<Time> {
        None
    }

    pub fn tcp_listen(
        &mut self,
        local: Option<IpAddr>,
        port: u16,
        backlog: u16,
    ) -> Result<SocketId, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn tcp_accept(
        &mut self,
        listener: SocketId,
    ) -> Result<Option<(SocketId, SocketAddr)>, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn tcp_connect(&mut self, remote: SocketAddr, now: Time) -> Result<SocketId, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn tcp_connected(&mut self, id: SocketId) -> Result<bool, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn tcp_read(&mut self, id: SocketId, buffer: &mut [u8]) -> Result<Option<usize>, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn tcp_peek(&mut self, id: SocketId, buffer: &mut [u8]) -> Result<Option<usize>, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn tcp_write(&mut self, id: SocketId, bytes: &[u8]) -> Result<Option<usize>, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn tcp_shutdown(&mut self, id: SocketId, direction: Shutdown) -> Result<(), NetError> {
        Ok(())
    }

    pub fn tcp_set_nodelay(&mut self, id: SocketId, nodelay: bool) -> Result<(), NetError> {
        Ok(())
    }

    pub fn tcp_set_keepalive(
        &mut self,
        id: SocketId,
        interval: Option<Duration>,
    ) -> Result<(), NetError> {
        Ok(())
    }

    pub fn udp_bind(&mut self, local: Option<IpAddr>, port: u16) -> Result<SocketId, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn udp_send_to(
        &mut self,
        id: SocketId,
        bytes: &[u8],
        to: SocketAddr,
    ) -> Result<Option<usize>, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn udp_receive_from(
        &mut self,
        id: SocketId,
        buffer: &mut [u8],
    ) -> Result<Option<(usize, SocketAddr)>, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn local_address(&self, id: SocketId) -> Result<SocketAddr, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn peer_address(&self, id: SocketId) -> Result<SocketAddr, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn readiness(&mut self, id: SocketId) -> Readiness {
        Readiness::default()
    }

    pub fn close(&mut self, id: SocketId) {}

    pub fn abort(&mut self, id: SocketId) {}

    pub fn dns_start(&mut self, name: &str, now: Time) -> Result<SocketId, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn dns_poll(&mut self, query: SocketId) -> Result<Option<Vec<IpAddr>>, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn ping_start(&mut self, to: IpAddr, identifier: u16) -> Result<SocketId, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn ping_send(
        &mut self,
        id: SocketId,
        sequence: u16,
        payload_bytes: usize,
        now: Time,
    ) -> Result<(), NetError> {
        Ok(())
    }

    pub fn ping_receive(&mut self, id: SocketId) -> Result<Option<(u16, IpAddr)>, NetError> {
        Err(NetError::BadHandle)
    }

    pub fn interfaces(&self) -> Vec<InterfaceInfo> {
        Vec::new()
    }

    pub fn sockets(&self) -> Vec<SocketInfo> {
        Vec::new()
    }

    pub fn shutdown_all(&mut self) {}
}
