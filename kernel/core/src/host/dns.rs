//! The call that looks up a name.

use sos_abi::{ErrorCode, NAME_BYTES, SocketAddress};

use super::guest::Guest;
use super::memory::{Arguments, GuestSlice};
use super::pending::{Step, StepResult, Wait};
use super::tcp::error_code;
use crate::limits;
use crate::net::stack::SocketId;

impl Guest {
    pub(super) fn dns_lookup(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
        wait: Option<Wait>,
    ) -> StepResult {
        let out = addresses_out(arguments)?;
        out.get(memory)?;
        let query = match wait {
            Some(Wait::Lookup(query)) => query,
            _ => self.start_lookup(memory, arguments)?,
        };
        match self.stack.dns_poll(query) {
            Ok(None) => Ok(Step::Wait(Wait::Lookup(query))),
            Ok(Some(addresses)) => {
                self.stack.close(query);
                let entries = out.get_mut(memory)?.chunks_exact_mut(SocketAddress::BYTES);
                let mut count = 0;
                for (entry, address) in entries.zip(addresses) {
                    entry.copy_from_slice(SocketAddress::encode_ip(address).as_bytes());
                    count += 1;
                }
                Ok(Step::Done(count))
            }
            Err(error) => {
                self.stack.close(query);
                Err(error_code(error))
            }
        }
    }

    fn start_lookup(
        &mut self,
        memory: &[u8],
        arguments: Arguments<'_>,
    ) -> Result<SocketId, ErrorCode> {
        let name = arguments.slice(0).get(memory)?;
        if name.is_empty() || name.len() > NAME_BYTES {
            return Err(ErrorCode::InvalidArgument);
        }
        let name = core::str::from_utf8(name).map_err(|_| ErrorCode::InvalidArgument)?;
        let now = self.clock.now();
        self.stack.dns_start(name, now).map_err(error_code)
    }
}

/// The array of addresses that the guest offers.
fn addresses_out(arguments: Arguments<'_>) -> Result<GuestSlice, ErrorCode> {
    let capacity = arguments.u32(3);
    let bytes = capacity.checked_mul(SocketAddress::BYTES as u32);
    match bytes {
        Some(bytes) if bytes as usize <= limits::HOST_CALL_BYTES => {
            Ok(GuestSlice::new(arguments.u32(2), bytes))
        }
        _ => Err(ErrorCode::InvalidArgument),
    }
}
