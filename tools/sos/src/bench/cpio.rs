//! A writer of the archive that Linux takes as its first root: cpio, "newc" form.
//!
//! Format: `Documentation/driver-api/early-userspace/buffer-format.rst` of Linux. Each entry is a
//! header of 6 + 13 * 8 hexadecimal characters, the name with a NUL, and the data, both padded to
//! four bytes.

/// Type and permissions of a directory.
const DIRECTORY: u32 = 0o040_755;
/// Type and permissions of an executable file.
const EXECUTABLE: u32 = 0o100_755;
/// Type and permissions of a character device.
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive in the making.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds an empty directory.
    pub fn directory(&mut self, name: &str) {
        self.entry(name, DIRECTORY, (0, 0), &[]);
    }

    /// Adds a file that may be executed.
    pub fn file(&mut self, name: &str, data: &[u8]) {
        self.entry(name, EXECUTABLE, (0, 0), data);
    }

    /// Adds a character device with its major and minor number.
    pub fn character_device(&mut self, name: &str, number: (u32, u32)) {
        self.entry(name, CHARACTER_DEVICE, number, &[]);
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), data: &[u8]) {
        self.entries += 1;
        let links = 1;
        let (size, name_size) = (data.len() as u32, name.len() as u32 + 1);
        // ino, mode, uid, gid, nlink, mtime, filesize, dev (2), rdev (2), namesize, check.
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            size,
            0,
            0,
            device.0,
            device.1,
            name_size,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn entries_are_aligned_and_carry_name_and_data() {
        let mut archive = Archive::default();
        archive.directory("proc");
        archive.file("init", b"hello");
        let bytes = archive.finish();
        let at = |needle: &[u8]| {
            bytes
                .windows(needle.len())
                .position(|window| window == needle)
        };
        // 110 bytes of header, 5 of name: padded to 116.
        assert_eq!(at(b"proc\0"), Some(110));
        assert_eq!(&bytes[116..122], b"070701");
        assert_eq!(&bytes[116 + 6 + 6 * 8..116 + 6 + 7 * 8], b"00000005");
        assert_eq!(at(b"hello").map(|offset| offset % 4), Some(0));
        assert!(at(b"TRAILER!!!\0").is_some());
        assert_eq!(bytes.len() % 4, 0);
    }
}
