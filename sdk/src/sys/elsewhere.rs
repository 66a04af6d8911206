//! The host calls where there is no SOS kernel: those of the [`testing`](crate::testing) instance
//! that runs on this thread. On other threads every call fails with `UNSUPPORTED`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use sos_abi::{CALL_BYTES, ErrorCode, NONBLOCK, PEEK, PollEntry, SocketAddress};

use crate::error::Result;
use crate::log::Level;
use crate::testing::{End, Guest, Network, Seat, Stop, seat};

fn current() -> Result<Seat> {
    Ok(seat().ok_or(ErrorCode::Unsupported)?)
}

/// A fact about the instance.
fn fact<T>(get: impl FnOnce(&mut Guest) -> T) -> Result<T> {
    Ok(current()?.call(|state, me| get(state.guest(me))))
}

/// A call on the network that never waits.
fn network<T>(
    act: impl FnOnce(&mut Network, usize) -> core::result::Result<T, ErrorCode>,
) -> Result<T> {
    Ok(current()?.call(|state, me| act(&mut state.network, me))?)
}

/// A call on the network that waits unless told otherwise.
fn network_wait<T>(
    call: &'static str,
    flags: u32,
    mut act: impl FnMut(&mut Network, usize) -> core::result::Result<Option<T>, ErrorCode>,
) -> Result<T> {
    let seat = current()?;
    let timeout_ns = (flags & NONBLOCK != 0).then_some(0);
    let answer = seat.wait(call, timeout_ns, |state, me| act(&mut state.network, me))?;
    answer.ok_or_else(|| {
        seat.yield_turn();
        ErrorCode::WouldBlock.into()
    })
}

fn bounded(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(CALL_BYTES)]
}

fn bounded_mut(bytes: &mut [u8]) -> &mut [u8] {
    let length = bytes.len().min(CALL_BYTES);
    &mut bytes[..length]
}

pub fn log(level: u32, text: &[u8]) -> Result<usize> {
    let level = match level {
        sos_abi::LOG_ERROR => Level::Error,
        sos_abi::LOG_WARNING => Level::Warning,
        sos_abi::LOG_INFORMATION => Level::Information,
        sos_abi::LOG_DEBUG => Level::Debug,
        _ => return Err(ErrorCode::InvalidArgument.into()),
    };
    let text = bounded(text);
    current()?.call(|state, me| state.log(me, level, text));
    Ok(text.len())
}

pub fn console_write(bytes: &[u8]) -> Result<usize> {
    let bytes = bounded(bytes);
    fact(|guest| guest.console_output.extend_from_slice(bytes))?;
    Ok(bytes.len())
}

pub fn console_read(buffer: &mut [u8], flags: u32) -> Result<usize> {
    if buffer.is_empty() {
        return Ok(0);
    }
    let seat = current()?;
    let timeout_ns = (flags & NONBLOCK != 0).then_some(0);
    let read = seat.wait("console_read", timeout_ns, |state, me| {
        let input = &mut state.guest(me).console_input;
        let count = buffer.len().min(input.len());
        for (to, from) in buffer.iter_mut().zip(input.drain(..count)) {
            *to = from;
        }
        Ok((count > 0).then_some(count))
    })?;
    read.ok_or_else(|| {
        seat.yield_turn();
        ErrorCode::WouldBlock.into()
    })
}

pub fn clock_monotonic() -> u64 {
    let now =
        current().map(|seat| seat.call(|state, me| state.now_ns - state.guests[me].started_ns));
    now.unwrap_or(0)
}

pub fn clock_wall() -> u64 {
    let now = current().map(|seat| seat.call(|state, _| state.start_wall_ns + state.now_ns));
    now.unwrap_or(0)
}

pub fn sleep(duration_ns: i64) {
    let (Ok(seat), Ok(duration_ns)) = (current(), u64::try_from(duration_ns)) else {
        return;
    };
    // Nothing but the time ends it; so there is no answer.
    let _ = seat.wait("sleep", Some(duration_ns), |_, _| Ok(None::<()>));
}

pub fn yield_now() {
    if let Ok(seat) = current() {
        seat.yield_turn();
    }
}

pub fn random(buffer: &mut [u8]) -> Result<usize> {
    let buffer = bounded_mut(buffer);
    fact(|guest| guest.random.fill(buffer))?;
    Ok(buffer.len())
}

pub fn args_count() -> Result<u32> {
    // A test gives no more arguments than fit.
    fact(|guest| guest.arguments.len() as u32)
}

pub fn arg_get(index: u32) -> Result<String> {
    let argument = fact(|guest| guest.arguments.get(index as usize).cloned())?;
    Ok(argument.ok_or(ErrorCode::NotFound)?)
}

pub fn config_get(key: &str) -> Result<String> {
    Ok(fact(|guest| guest.config.get(key).cloned())?.ok_or(ErrorCode::NotFound)?)
}

pub fn config_key(index: u32) -> Result<String> {
    let key = fact(|guest| guest.config.keys().nth(index as usize).cloned())?;
    Ok(key.ok_or(ErrorCode::NotFound)?)
}

pub fn instance_name() -> Result<String> {
    fact(|guest| guest.name.clone())
}

pub fn node_name() -> Result<String> {
    fact(|_| crate::testing::NODE_NAME.to_string())
}

pub fn generation() -> u64 {
    fact(|guest| guest.generation).unwrap_or(0)
}

pub fn revivals(kind: u32) -> u64 {
    let count = |counts: [u64; 3]| match kind {
        0 => counts.iter().sum(),
        _ => counts.get(kind as usize - 1).copied().unwrap_or(0),
    };
    fact(|guest| count(guest.revivals)).unwrap_or(0)
}

pub fn exit(status: i32) {
    if std::thread::panicking() {
        // The thread is ending already.
        return;
    }
    match current() {
        Ok(seat) if seat.guest == 0 => panic!("the test itself called `exit({status})`"),
        Ok(_) => std::panic::resume_unwind(alloc::boxed::Box::new(Stop(End::Exited(status)))),
        Err(_) => {}
    }
}

pub fn tcp_listen(address: &SocketAddress, backlog: u16) -> Result<u32> {
    let address = address.decode()?;
    network(|network, me| network.tcp_listen(me, address, backlog))
}

pub fn tcp_accept(listener: u32, flags: u32, peer: Option<&mut SocketAddress>) -> Result<u32> {
    let (handle, from) = network_wait("tcp_accept", flags, |network, me| {
        network.tcp_accept(me, listener)
    })?;
    if let Some(peer) = peer {
        *peer = SocketAddress::encode(from);
    }
    Ok(handle)
}

pub fn tcp_connect(address: &SocketAddress, flags: u32) -> Result<u32> {
    let address = address.decode()?;
    let seat = current()?;
    let handle = seat.call(|state, me| {
        let now_ns = state.now_ns;
        state.network.tcp_connect(me, address, now_ns)
    })?;
    if flags & NONBLOCK != 0 {
        return Ok(handle);
    }
    let connected = network_wait("tcp_connect", 0, |network, me| {
        Ok(network.tcp_connected(me, handle)?.then_some(handle))
    });
    if connected.is_err() {
        close(handle)?;
    }
    connected
}

pub fn tcp_connect_status(handle: u32) -> Result<()> {
    network_wait("tcp_connect_status", NONBLOCK, |network, me| {
        Ok(network.tcp_connected(me, handle)?.then_some(()))
    })
}

pub fn tcp_read(handle: u32, buffer: &mut [u8], flags: u32) -> Result<usize> {
    let buffer = bounded_mut(buffer);
    network_wait("tcp_read", flags, |network, me| match buffer.len() {
        0 => network.local_address(me, handle).map(|_| Some(0)),
        _ => network.tcp_read(me, handle, buffer, flags & PEEK != 0),
    })
}

pub fn tcp_write(handle: u32, bytes: &[u8], flags: u32) -> Result<usize> {
    let bytes = bounded(bytes);
    network_wait("tcp_write", flags, |network, me| match bytes.len() {
        0 => network.local_address(me, handle).map(|_| Some(0)),
        _ => network.tcp_write(me, handle, bytes),
    })
}

pub fn tcp_shutdown(handle: u32, how: u32) -> Result<()> {
    network(|network, me| network.tcp_shutdown(me, handle, how))
}

pub fn tcp_set_option(handle: u32, option: u32, value: i64) -> Result<()> {
    network(|network, me| network.tcp_set_option(me, handle, option, value))
}

pub fn udp_bind(address: &SocketAddress) -> Result<u32> {
    let address = address.decode()?;
    network(|network, me| network.udp_bind(me, address))
}

pub fn udp_send_to(handle: u32, bytes: &[u8], to: &SocketAddress, _flags: u32) -> Result<usize> {
    let to = to.decode()?;
    network(|network, me| network.udp_send_to(me, handle, bytes, to))
}

pub fn udp_receive_from(
    handle: u32,
    buffer: &mut [u8],
    peer: &mut SocketAddress,
    flags: u32,
) -> Result<usize> {
    let buffer = bounded_mut(buffer);
    let (length, from) = network_wait("udp_receive_from", flags, |network, me| {
        network.udp_receive_from(me, handle, buffer)
    })?;
    *peer = SocketAddress::encode(from);
    Ok(length)
}

pub fn socket_local_address(handle: u32) -> Result<SocketAddress> {
    network(|network, me| network.local_address(me, handle)).map(SocketAddress::encode)
}

pub fn socket_peer_address(handle: u32) -> Result<SocketAddress> {
    network(|network, me| network.peer_address(me, handle)).map(SocketAddress::encode)
}

pub fn close(handle: u32) -> Result<()> {
    if std::thread::panicking() {
        // Under the kernel an instance that is ended runs no destructor: its sockets break off.
        return Ok(());
    }
    network(|network, me| network.close(me, handle))
}

/// There is no WASI beside a service that is tested.
#[cfg(all(feature = "std", unix))]
pub fn wasi_descriptor(_handle: u32) -> Result<u32> {
    Err(ErrorCode::Unsupported.into())
}

pub fn poll(entries: &mut [PollEntry], timeout_ns: i64) -> Result<usize> {
    let seat = current()?;
    let timeout_ns = u64::try_from(timeout_ns).ok();
    let ready = seat.wait("poll", timeout_ns, |state, me| {
        let count = state.network.poll(me, entries)?;
        Ok((count > 0).then_some(count))
    })?;
    if ready.is_none() && timeout_ns == Some(0) {
        seat.yield_turn();
    }
    Ok(ready.unwrap_or(0))
}

pub fn dns_lookup(name: &str) -> Result<Vec<SocketAddress>> {
    let addresses = network(|network, _| network.lookup(name))?;
    Ok(addresses
        .into_iter()
        .map(SocketAddress::encode_ip)
        .collect())
}
