//! Calls of UDP.

use sos_abi::{ErrorCode, NONBLOCK};

use super::guest::Guest;
use super::handles::Handle;
use super::memory::{AddressOut, Arguments, read_address};
use super::pending::{Step, StepResult, done_bytes};
use super::tcp::{error_code, would_block};
use crate::limits;

impl Guest {
    pub(super) fn udp_bind(&mut self, memory: &[u8], arguments: Arguments<'_>) -> StepResult {
        let address = read_address(memory, arguments.u32(0))?;
        self.handles.check_room()?;
        let local = Some(address.ip()).filter(|ip| !ip.is_unspecified());
        let socket = self
            .stack
            .udp_bind(local, address.port())
            .map_err(error_code)?;
        Ok(Step::Done(self.handles.insert(socket)?.result()))
    }

    pub(super) fn udp_send_to(&mut self, memory: &[u8], arguments: Arguments<'_>) -> StepResult {
        let socket = self.handles.get(Handle(arguments.u32(0)))?;
        let bytes = arguments.slice(1).get(memory)?;
        let peer = read_address(memory, arguments.u32(3))?;
        let flags = arguments.flags(4, NONBLOCK)?;
        // A datagram goes whole or not at all.
        if bytes.len() > limits::HOST_CALL_BYTES {
            return Err(ErrorCode::MessageTooLarge);
        }
        match self
            .stack
            .udp_send_to(socket, bytes, peer)
            .map_err(error_code)?
        {
            None => would_block(flags),
            Some(bytes) => {
                self.charge_bytes(bytes);
                Ok(done_bytes(bytes))
            }
        }
    }

    pub(super) fn udp_receive_from(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> StepResult {
        let socket = self.handles.get(Handle(arguments.u32(0)))?;
        let peer_out = AddressOut::optional(memory, arguments.u32(3))?;
        let flags = arguments.flags(4, NONBLOCK)?;
        let buffer = arguments.slice(1).get_bounded_mut(memory)?;
        match self
            .stack
            .udp_receive_from(socket, buffer)
            .map_err(error_code)?
        {
            None => would_block(flags),
            Some((bytes, peer)) => {
                peer_out.write(memory, peer)?;
                self.charge_bytes(bytes);
                Ok(done_bytes(bytes))
            }
        }
    }
}
