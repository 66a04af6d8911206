//! The counter's protocol: blocks in, proofs out. No I/O.
//!
//! A client sends blocks: a length (4 bytes, little-endian, at most [`BLOCK_BYTES`]) and that many
//! bytes. After each block the service answers 32 bytes, [`Proof`]: a client that keeps the same
//! sums sees every byte that was lost, repeated or changed, and every count that went back. A longer
//! block ends the connection.

/// Most bytes of a block.
pub const BLOCK_BYTES: usize = 64 * 1024;
/// Bytes of a proof.
pub const PROOF_BYTES: usize = 32;

/// The service's answer to a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proof {
    /// Blocks received on this connection.
    pub blocks: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Blocks received by the service since it started, on all connections.
    pub service_blocks: u64,
    /// CRC-32 (IEEE 802.3) of all the bytes of this connection.
    pub crc: u32,
    /// Bytes of the block that is answered.
    pub block_bytes: u32,
}

impl Proof {
    /// The wire form: the fields in order, little-endian.
    pub fn encode(&self) -> [u8; PROOF_BYTES] {
        let mut bytes = [0; PROOF_BYTES];
        bytes[0..8].copy_from_slice(&self.blocks.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.service_blocks.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.crc.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.block_bytes.to_le_bytes());
        bytes
    }

    /// The proof that the bytes mean.
    pub fn decode(bytes: &[u8; PROOF_BYTES]) -> Proof {
        let long = |at: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(field)
        };
        let last = long(24);
        Proof {
            blocks: long(0),
            bytes: long(8),
            service_blocks: long(16),
            crc: last as u32,
            block_bytes: (last >> 32) as u32,
        }
    }
}

/// The sums of one connection, as both ends keep them.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    blocks: u64,
    bytes: u64,
    crc: crc32fast::Hasher,
}

impl Tally {
    /// Adds a part of the current block.
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.crc.update(bytes);
    }

    /// Ends the current block and gives its proof.
    pub fn end_block(&mut self, block_bytes: u32, service_blocks: u64) -> Proof {
        self.blocks += 1;
        Proof {
            blocks: self.blocks,
            bytes: self.bytes,
            service_blocks,
            crc: self.crc.clone().finalize(),
            block_bytes,
        }
    }
}

/// A block was too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockTooLong;

/// Takes one connection's bytes as they come, cut anywhere.
#[derive(Debug, Default)]
pub struct Receiver {
    tally: Tally,
    length: [u8; 4],
    length_bytes: usize,
    /// Bytes of the current block that are still to come.
    remaining: u32,
}

impl Receiver {
    /// Takes bytes and appends the proofs of the blocks that end in them; `next_count` counts the
    /// service's blocks.
    ///
    /// # Errors
    /// [`BlockTooLong`], after which the connection cannot go on.
    pub fn receive(
        &mut self,
        mut bytes: &[u8],
        output: &mut Vec<u8>,
        mut next_count: impl FnMut() -> u64,
    ) -> Result<(), BlockTooLong> {
        while !bytes.is_empty() {
            if self.length_bytes < 4 {
                self.length[self.length_bytes] = bytes[0];
                self.length_bytes += 1;
                bytes = &bytes[1..];
                if self.length_bytes < 4 {
                    continue;
                }
                self.remaining = u32::from_le_bytes(self.length);
                if self.remaining as usize > BLOCK_BYTES {
                    return Err(BlockTooLong);
                }
            }
            let (part, rest) = bytes.split_at(bytes.len().min(self.remaining as usize));
            self.tally.add_bytes(part);
            self.remaining -= part.len() as u32;
            bytes = rest;
            if self.remaining == 0 {
                self.length_bytes = 0;
                let proof = self
                    .tally
                    .end_block(u32::from_le_bytes(self.length), next_count());
                output.extend_from_slice(&proof.encode());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proofs of these bytes when they come in pieces of `piece` bytes.
    fn proofs(stream: &[u8], piece: usize) -> Vec<Proof> {
        let (mut receiver, mut output, mut count) = (Receiver::default(), Vec::new(), 100);
        for bytes in stream.chunks(piece) {
            let next = || {
                count += 1;
                count
            };
            receiver.receive(bytes, &mut output, next).unwrap();
        }
        let (proofs, rest) = output.as_chunks();
        assert!(rest.is_empty());
        proofs.iter().map(Proof::decode).collect()
    }

    #[test]
    fn proofs_do_not_depend_on_how_the_bytes_are_cut() {
        let mut stream = Vec::new();
        for block in [&b"123456789"[..], b"", b"abc"] {
            stream.extend_from_slice(&(block.len() as u32).to_le_bytes());
            stream.extend_from_slice(block);
        }
        let whole = proofs(&stream, stream.len());
        // 0xcbf43926 is the check value of CRC-32 for "123456789".
        let first = Proof {
            blocks: 1,
            bytes: 9,
            service_blocks: 101,
            crc: 0xcbf4_3926,
            block_bytes: 9,
        };
        assert_eq!(whole[0], first);
        assert_eq!(
            whole[1],
            Proof {
                blocks: 2,
                service_blocks: 102,
                block_bytes: 0,
                ..first
            }
        );
        assert_eq!((whole[2].blocks, whole[2].bytes, whole.len()), (3, 12, 3));
        for piece in 1..stream.len() {
            assert_eq!(proofs(&stream, piece), whole, "{piece}");
        }
    }

    #[test]
    fn a_block_that_is_too_long_ends_it() {
        let mut receiver = Receiver::default();
        let length = (BLOCK_BYTES as u32 + 1).to_le_bytes();
        assert_eq!(
            receiver.receive(&length, &mut Vec::new(), || 0),
            Err(BlockTooLong)
        );
    }
}
