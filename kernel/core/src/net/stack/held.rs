//! Datagrams that were taken out of a UDP socket before the guest asked for them.

use crate::limits;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::net::SocketAddr;
use smoltcp::socket::udp;

/// As many datagrams and bytes as one queue of a socket has room for.
#[derive(Debug, Default)]
pub(super) struct Held {
    queue: VecDeque<(Box<[u8]>, SocketAddr)>,
    bytes: usize,
}

impl Held {
    /// Takes the oldest datagrams that `socket` received, as long as they fit.
    pub(super) fn take_from(&mut self, socket: &mut udp::Socket<'_>) {
        while let Ok((bytes, _)) = socket.peek()
            && self.has_room(bytes.len())
            && let Ok((bytes, metadata)) = socket.recv()
        {
            let from = metadata.endpoint;
            let from = SocketAddr::new(from.addr.into(), from.port);
            self.bytes += bytes.len();
            self.queue.push_back((bytes.into(), from));
        }
    }

    /// Adds a datagram; one that does not fit is dropped.
    pub(super) fn push(&mut self, bytes: &[u8], from: SocketAddr) {
        if self.has_room(bytes.len()) {
            self.bytes += bytes.len();
            self.queue.push_back((bytes.into(), from));
        }
    }

    pub(super) fn pop(&mut self) -> Option<(Box<[u8]>, SocketAddr)> {
        let (bytes, from) = self.queue.pop_front()?;
        self.bytes -= bytes.len();
        Some((bytes, from))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The datagrams, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> {
        self.queue.iter().map(|(bytes, from)| (&**bytes, *from))
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.queue.len() < limits::UDP_DATAGRAMS && self.bytes + bytes <= limits::UDP_BUFFER_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_in_datagrams_and_in_bytes_and_the_oldest_stay() {
        let from = SocketAddr::from(([10, 0, 0, 1], 7));
        let mut held = Held::default();
        for number in 0..limits::UDP_DATAGRAMS as u8 + 5 {
            held.push(&[number], from);
        }
        assert_eq!(held.iter().count(), limits::UDP_DATAGRAMS);
        assert_eq!(held.pop().map(|(bytes, _)| bytes[0]), Some(0));
        let mut held = Held::default();
        for _ in 0..10 {
            held.push(&[0; limits::UDP_BUFFER_BYTES / 4 + 1], from);
        }
        assert_eq!(held.iter().count(), 3);
        while held.pop().is_some() {}
        assert!(held.is_empty() && held.bytes() == 0);
    }
}
