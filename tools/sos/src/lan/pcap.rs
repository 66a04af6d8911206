//! Records frames into a pcap file that Wireshark and tcpdump read.
//!
//! Format: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html>, nanosecond variant.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::framing::FRAME_BYTES_MAX;

const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const LINKTYPE_ETHERNET: u32 = 1;

/// An open recording.
pub struct PcapWriter {
    file: BufWriter<File>,
}

impl PcapWriter {
    /// Creates the file and writes its header.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(256 * 1024, File::create(path)?);
        file.write_all(&MAGIC_NANOSECONDS.to_le_bytes())?;
        file.write_all(&2u16.to_le_bytes())?;
        file.write_all(&4u16.to_le_bytes())?;
        file.write_all(&[0; 8])?;
        file.write_all(&(FRAME_BYTES_MAX as u32).to_le_bytes())?;
        file.write_all(&LINKTYPE_ETHERNET.to_le_bytes())?;
        Ok(Self { file })
    }

    /// Appends one frame, stamped with the wall clock.
    pub fn record(&mut self, frame: &[u8]) -> io::Result<()> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.file.write_all(&(now.as_secs() as u32).to_le_bytes())?;
        self.file.write_all(&now.subsec_nanos().to_le_bytes())?;
        self.file.write_all(&(frame.len() as u32).to_le_bytes())?;
        self.file.write_all(&(frame.len() as u32).to_le_bytes())?;
        self.file.write_all(frame)
    }

    /// Makes what was recorded visible to readers of the file.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
