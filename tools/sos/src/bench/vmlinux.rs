//! Takes the uncompressed kernel out of a Linux boot file, so that QEMU can start it by PVH.
//!
//! Decompressing inside the emulated machine would cost Linux about half a second of each boot; a
//! tuned set-up does it once, on the host. Where the payload lies: `Documentation/x86/boot.rst` of
//! Linux (`setup_sects`, `payload_offset`, `payload_length`). Its form: the "legacy frame" and block
//! format of the LZ4 project (`lz4_Frame_format.md`, `lz4_Block_format.md`).

use std::fmt;

const BOOT_SECTOR_SECTIONS: usize = 0x1f1;
const BOOT_MAGIC: usize = 0x202;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR_BYTES: usize = 512;
const LEGACY_FRAME_MAGIC: u32 = 0x184c_2102;
/// Bytes of one block of a legacy frame, uncompressed, at most.
const BLOCK_BYTES_MAX: usize = 8 << 20;
const SHORTEST_MATCH: usize = 4;

/// Why a boot file cannot be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnpackError {
    /// No Linux boot header.
    NotABootFile,
    /// The payload is compressed in another form.
    NotLz4,
    /// The compressed data contradicts itself or ends early.
    Corrupt,
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotABootFile => "not a linux boot file",
            Self::NotLz4 => "the kernel inside the boot file is not compressed with lz4",
            Self::Corrupt => "the compressed kernel is corrupt: fetch the package again",
        })
    }
}

impl std::error::Error for UnpackError {}

/// Returns the ELF file inside a boot file.
pub fn unpack(boot_file: &[u8]) -> Result<Vec<u8>, UnpackError> {
    let payload = payload(boot_file)?;
    if word(payload, 0) != Some(LEGACY_FRAME_MAGIC) {
        return Err(UnpackError::NotLz4);
    }
    let mut output = Vec::new();
    let mut at = 4;
    // Behind the last block the kernel's build appends four bytes: the uncompressed size.
    while at + 4 < payload.len() {
        let length = word(payload, at).ok_or(UnpackError::Corrupt)? as usize;
        let block = payload
            .get(at + 4..at + 4 + length)
            .ok_or(UnpackError::Corrupt)?;
        decode_block(block, &mut output)?;
        at += 4 + length;
    }
    let size = word(payload, at).ok_or(UnpackError::Corrupt)?;
    if output.len() != size as usize {
        return Err(UnpackError::Corrupt);
    }
    Ok(output)
}

fn payload(boot_file: &[u8]) -> Result<&[u8], UnpackError> {
    let header = |at| word(boot_file, at).ok_or(UnpackError::NotABootFile);
    if boot_file.get(BOOT_MAGIC..BOOT_MAGIC + 4) != Some(b"HdrS") {
        return Err(UnpackError::NotABootFile);
    }
    let setup = (usize::from(boot_file[BOOT_SECTOR_SECTIONS]) + 1) * SECTOR_BYTES;
    let start = setup + header(PAYLOAD_OFFSET)? as usize;
    let end = start + header(PAYLOAD_LENGTH)? as usize;
    boot_file.get(start..end).ok_or(UnpackError::NotABootFile)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// Appends what one block holds; matches may not reach before the block.
fn decode_block(mut input: &[u8], output: &mut Vec<u8>) -> Result<(), UnpackError> {
    let start = output.len();
    loop {
        let (token, rest) = input.split_first().ok_or(UnpackError::Corrupt)?;
        input = rest;
        let literals = read_length(usize::from(token >> 4), &mut input)?;
        let (copied, rest) = input
            .split_at_checked(literals)
            .ok_or(UnpackError::Corrupt)?;
        output.extend_from_slice(copied);
        // Only the last sequence of a block has no match.
        let Some((distance, rest)) = rest.split_first_chunk::<2>() else {
            return if rest.is_empty() {
                Ok(())
            } else {
                Err(UnpackError::Corrupt)
            };
        };
        input = rest;
        let length = read_length(usize::from(token & 0xF), &mut input)? + SHORTEST_MATCH;
        let distance = usize::from(u16::from_le_bytes(*distance));
        if distance == 0
            || distance > output.len() - start
            || output.len() - start + length > BLOCK_BYTES_MAX
        {
            return Err(UnpackError::Corrupt);
        }
        // A match may overlap what it makes, so at most `distance` bytes are there to copy at once.
        let from = output.len() - distance;
        let end = output.len() + length;
        while output.len() < end {
            let piece = (end - output.len()).min(output.len() - from);
            output.extend_from_within(from..from + piece);
        }
    }
}

/// A length of four bits, continued by bytes while they are full.
fn read_length(nibble: usize, input: &mut &[u8]) -> Result<usize, UnpackError> {
    let mut length = nibble;
    let mut goes_on = nibble == 0xF;
    while goes_on {
        let (byte, rest) = input.split_first().ok_or(UnpackError::Corrupt)?;
        *input = rest;
        length += usize::from(*byte);
        goes_on = *byte == u8::MAX;
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_an_overlapping_match_are_decoded() {
        // "abc", then a match of 4 + 3 bytes at distance 3, then the literals "xyz".
        let block = [0x33, b'a', b'b', b'c', 3, 0, 0x30, b'x', b'y', b'z'];
        let mut output = Vec::new();
        decode_block(&block, &mut output).expect("a valid block");
        assert_eq!(output, b"abcabcabcaxyz");
    }

    #[test]
    fn long_lengths_continue_over_full_bytes() {
        let mut block = vec![0xF0, 255, 1];
        block.extend_from_slice(&[7; 15 + 255 + 1]);
        let mut output = Vec::new();
        decode_block(&block, &mut output).expect("a valid block");
        assert_eq!(output, vec![7; 271]);
    }

    #[test]
    fn a_match_before_the_block_is_refused() {
        let mut output = vec![1, 2, 3, 4];
        let block = [0x10, b'a', 2, 0, 0];
        assert_eq!(decode_block(&block, &mut output), Err(UnpackError::Corrupt));
    }

    /// A boot file with one setup sector behind the boot sector and this payload behind it.
    fn boot_file(payload: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 2 * SECTOR_BYTES];
        file[BOOT_SECTOR_SECTIONS] = 1;
        file[BOOT_MAGIC..BOOT_MAGIC + 4].copy_from_slice(b"HdrS");
        file[PAYLOAD_LENGTH] = payload.len() as u8;
        file.extend_from_slice(payload);
        file
    }

    #[test]
    fn a_boot_file_is_unpacked_and_every_cut_of_it_is_refused() {
        let mut payload = LEGACY_FRAME_MAGIC.to_le_bytes().to_vec();
        payload.extend_from_slice(&4u32.to_le_bytes());
        payload.extend_from_slice(&[0x30, b'E', b'L', b'F']);
        payload.extend_from_slice(&3u32.to_le_bytes());
        let file = boot_file(&payload);
        assert_eq!(unpack(&file).as_deref(), Ok(&b"ELF"[..]));
        for end in 0..file.len() {
            assert!(unpack(&file[..end]).is_err(), "cut at {end}");
        }
        for end in 0..payload.len() {
            assert!(
                unpack(&boot_file(&payload[..end])).is_err(),
                "payload cut at {end}"
            );
        }
    }
}
