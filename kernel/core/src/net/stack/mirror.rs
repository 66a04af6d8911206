//! The bytes that a connection was given to send and that its peer has not acknowledged.
//!
//! A cut shares them with the connection ([`Unacknowledged`]) and copies none: hundreds of connections may have full
//! buffers. The connection's next write takes a copy, while nothing waits for the cut.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A mirror begins this large: most answers of a service fit.
const SMALL_BYTES: usize = 4096;

/// The bytes that a socket was given and that the peer has not acknowledged: smoltcp has them, and shows
/// nobody. The price is a copy of what is written, out of the cache; what else was thought of (reading the
/// socket's `Debug` form, having it retransmit into the void) costs a cut far more, or disturbs the connection.
#[derive(Debug, Default)]
pub(super) struct Mirror(Arc<VecDeque<u8>>);

impl Mirror {
    /// Adds bytes behind the `queued` ones that the socket still held before; at most `most` in all.
    pub(super) fn push(&mut self, bytes: &[u8], queued: usize, most: usize) {
        let acknowledged = self.0.len().saturating_sub(queued);
        let needed = queued + bytes.len();
        let capacity = if needed <= SMALL_BYTES.min(most) {
            SMALL_BYTES.min(most)
        } else {
            most.max(needed)
        };
        match Arc::get_mut(&mut self.0) {
            Some(own) => {
                own.drain(..acknowledged);
                if needed > own.capacity() {
                    own.reserve_exact(capacity - own.len());
                }
                own.extend(bytes);
            }
            None => {
                let mut own = VecDeque::with_capacity(capacity);
                for part in self.bytes(queued).parts() {
                    own.extend(part);
                }
                own.extend(bytes);
                self.0 = Arc::new(own);
            }
        }
    }

    /// Forgets everything, for another connection; the memory stays, if it is not a cut's too.
    pub(super) fn clear(&mut self) {
        match Arc::get_mut(&mut self.0) {
            Some(own) => own.clear(),
            None => self.0 = Arc::default(),
        }
    }

    /// The last `queued` bytes. Few are copied: they would keep all the memory of the mirror.
    pub(super) fn bytes(&self, queued: usize) -> Unacknowledged {
        let shared = Unacknowledged {
            bytes: self.0.clone(),
            from: self.0.len().saturating_sub(queued),
        };
        match shared.len() <= SMALL_BYTES {
            true => shared.to_vec().into(),
            false => shared,
        }
    }

    /// Heap that its bytes keep at most for a cut.
    pub(super) fn shared_bytes(&self) -> usize {
        self.0.capacity()
    }
}

/// Bytes that a peer has not acknowledged: the last of those of a mirror, which they are shared with.
#[derive(Debug, Clone, Default)]
pub struct Unacknowledged {
    bytes: Arc<VecDeque<u8>>,
    /// How many before them are none of them.
    from: usize,
}

impl Unacknowledged {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.from
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, in two parts.
    pub fn parts(&self) -> [&[u8]; 2] {
        let (front, back) = self.bytes.as_slices();
        let skipped = self.from.min(front.len());
        [&front[skipped..], &back[self.from - skipped..]]
    }

    /// The bytes, in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        self.parts().concat()
    }
}

impl From<Vec<u8>> for Unacknowledged {
    fn from(bytes: Vec<u8>) -> Unacknowledged {
        Unacknowledged {
            bytes: Arc::new(bytes.into()),
            from: 0,
        }
    }
}

impl PartialEq for Unacknowledged {
    fn eq(&self, other: &Unacknowledged) -> bool {
        self.bytes
            .range(self.from..)
            .eq(other.bytes.range(other.from..))
    }
}

impl Eq for Unacknowledged {}

impl Serialize for Unacknowledged {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.parts() {
            [bytes, []] | [[], bytes] => crate::plain::serialize(bytes, serializer),
            _ => crate::plain::serialize(&self.to_vec(), serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Unacknowledged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unacknowledged, D::Error> {
        crate::plain::deserialize(deserializer).map(Unacknowledged::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_mirror_keeps_what_the_socket_still_holds_and_no_more_than_it_may() {
        let mut mirror = Mirror::default();
        mirror.push(b"abcdef", 0, 100_000);
        assert!(mirror.0.capacity() < 2 * SMALL_BYTES);
        assert_eq!(mirror.bytes(4).to_vec(), b"cdef");
        mirror.push(b"gh", 2, 100_000);
        assert_eq!(mirror.bytes(4).to_vec(), b"efgh");
        mirror.push(&[7; 90_000], 4, 100_000);
        let capacity = mirror.0.capacity();
        for _ in 0..50 {
            mirror.push(&[8; 5000], 90_004, 100_000);
        }
        assert_eq!(mirror.0.capacity(), capacity);
        mirror.clear();
        assert!(mirror.bytes(0).is_empty());
    }

    #[test]
    fn what_was_cut_stays_while_the_connection_goes_on() {
        const MANY: usize = 2 * SMALL_BYTES;
        let mut mirror = Mirror::default();
        mirror.push(&[1; MANY], 0, 100_000);
        let cut = mirror.bytes(MANY - 1);
        assert!(Arc::ptr_eq(&cut.bytes, &mirror.0));
        mirror.push(b"gh", MANY - 2, 100_000);
        let later = mirror.bytes(MANY);
        assert_eq!(later.to_vec(), [&[1; MANY - 2][..], b"gh"].concat());
        mirror.clear();
        mirror.push(b"xy", 0, 100_000);
        assert_eq!(cut.to_vec(), [1; MANY - 1]);
        assert_eq!(later.to_vec(), [&[1; MANY - 2][..], b"gh"].concat());
        let few = mirror.bytes(2);
        assert_eq!(few.to_vec(), b"xy");
        assert!(!Arc::ptr_eq(&few.bytes, &mirror.0));
    }

    #[test]
    fn they_are_stored_as_plain_bytes_wherever_they_lie() {
        // In a ring whose end lies before its beginning.
        let mut mirror = Mirror::default();
        mirror.push(&[1; 60], 0, 64);
        mirror.push(&[2; 50], 10, 64);
        let told = Unacknowledged {
            bytes: mirror.0.clone(),
            from: mirror.0.len() - 55,
        };
        let [front, back] = told.parts();
        assert!(!front.is_empty() && !back.is_empty());
        let plain = [vec![1; 5], vec![2; 50]].concat();
        let stored = postcard::to_allocvec(&told).unwrap();
        assert_eq!(
            stored,
            postcard::to_allocvec(&crate::plain::Bytes(plain)).unwrap()
        );
        assert_eq!(postcard::from_bytes::<Unacknowledged>(&stored), Ok(told));
    }
}
