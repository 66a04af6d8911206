//! The three byte-stream services, each a small state machine without I/O of its own.
//!
//! - *sink*: reads to the end of the stream, then answers the count as 8 bytes, little-endian;
//! - *source*: reads a count of 8 bytes, little-endian, then sends that many bytes and closes;
//! - *echo*: sends back what it reads.
//!
//! The counts let the load generator check that no byte was lost.

/// How many bytes one read or write moves at most.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// The port of the sink.
pub const SINK_PORT: u16 = 9001;
/// The port of the source.
pub const SOURCE_PORT: u16 = 9002;
/// The port of the echo.
pub const ECHO_PORT: u16 = 9003;

/// What the source has been asked for and still owes.
#[derive(Debug, Default)]
pub struct Source {
    request: [u8; 8],
    request_len: usize,
    remaining_bytes: u64,
}

impl Source {
    /// Takes what the client sent; bytes beyond the count are ignored.
    pub fn receive(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.request_len == self.request.len() {
                return;
            }
            self.request[self.request_len] = byte;
            self.request_len += 1;
            if self.request_len == self.request.len() {
                self.remaining_bytes = u64::from_le_bytes(self.request);
            }
        }
    }

    /// Whether the client has said how much it wants.
    pub fn is_asked(&self) -> bool {
        self.request_len == self.request.len()
    }

    /// How many bytes to write next; zero when all are sent.
    pub fn next_write_bytes(&self) -> usize {
        self.remaining_bytes.min(CHUNK_BYTES as u64) as usize
    }

    /// Notes that a write took this many bytes.
    pub fn written(&mut self, bytes: usize) {
        self.remaining_bytes -= bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_arrives_in_pieces_is_owed_in_full() {
        let mut source = Source::default();
        let count = (CHUNK_BYTES as u64 + 5).to_le_bytes();
        source.receive(&count[..3]);
        assert!(!source.is_asked());
        source.receive(&count[3..]);
        assert!(source.is_asked());
        assert_eq!(source.next_write_bytes(), CHUNK_BYTES);
        source.written(CHUNK_BYTES);
        assert_eq!(source.next_write_bytes(), 5);
        source.written(5);
        assert_eq!(source.next_write_bytes(), 0);
    }

    #[test]
    fn bytes_beyond_the_count_change_nothing() {
        let mut source = Source::default();
        source.receive(&[1, 0, 0, 0, 0, 0, 0, 0, 9, 9]);
        assert_eq!(source.next_write_bytes(), 1);
    }
}
