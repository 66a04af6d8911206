//! Ephemeral ports (RFC 6335 section 6: 49152 to 65535), from a start that the seed gives.

const FIRST: u16 = 49152;
const COUNT: u16 = u16::MAX - FIRST + 1;

#[derive(Debug)]
pub(super) struct EphemeralPorts {
    next: u16,
}

impl EphemeralPorts {
    pub(super) fn new(seed: u64) -> EphemeralPorts {
        EphemeralPorts {
            next: (seed % u64::from(COUNT)) as u16,
        }
    }

    /// Ports that go on at a place that [`EphemeralPorts::next`] told.
    pub(super) fn at(next: u16) -> EphemeralPorts {
        EphemeralPorts { next: next % COUNT }
    }

    /// The place of the port that is tried next.
    pub(super) fn next(&self) -> u16 {
        self.next
    }

    /// Whether there is such a place.
    pub(super) fn is_valid(next: u16) -> bool {
        next < COUNT
    }

    /// The next port that is not in use; nothing when all are.
    pub(super) fn allocate(&mut self, mut is_used: impl FnMut(u16) -> bool) -> Option<u16> {
        for _ in 0..COUNT {
            let port = FIRST + self.next;
            self.next = (self.next + 1) % COUNT;
            if !is_used(port) {
                return Some(port);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_in_turn_and_used_ones_are_passed_over() {
        let mut ports = EphemeralPorts::new(u64::from(COUNT) - 1);
        assert_eq!(ports.allocate(|_| false), Some(65535));
        assert_eq!(ports.allocate(|port| port == FIRST), Some(FIRST + 1));
        assert_eq!(ports.allocate(|_| true), None);
    }
}
