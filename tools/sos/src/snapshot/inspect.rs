//! What is in a snapshot file, in words and in JSON. Nothing of it is believed: what a file says of itself
//! is printed with everything but plain characters taken out.

use std::fmt::Write;

use serde::Serialize;
use sos_core::snapshot::About;
use sos_core::snapshot::format::{PAGE_BYTES, SectionKind, Summary};
use sos_core::snapshot::parts;

/// A file that was read.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// What it holds.
    #[serde(flatten)]
    pub summary: Summary,
    /// What it says of its instance, if that can be read.
    pub about: Option<About>,
}

impl Inspection {
    /// Reads a file, sound or not.
    pub fn of(bytes: &[u8]) -> Inspection {
        let summary = Summary::read(bytes);
        let about = parts::decode(SectionKind::About, Some(&summary.about));
        Inspection {
            about: about.ok(),
            summary,
        }
    }

    /// For programs, on one line.
    pub fn json(&self) -> String {
        // Numbers, text and lists, which JSON can always hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_header(&mut text);
        let _ = self.write_about(&mut text);
        let _ = self.write_contents(&mut text);
        text
    }

    fn write_header(&self, text: &mut String) -> std::fmt::Result {
        let summary = &self.summary;
        match &summary.error {
            None => writeln!(text, "snapshot  sound, {}", size(summary.file_bytes))?,
            Some(error) => writeln!(
                text,
                "snapshot  UNSOUND, {}: {}",
                size(summary.file_bytes),
                plain(error)
            )?,
        }
        if let Some(header) = &summary.header {
            writeln!(text, "id        {}", header.id)?;
            match header.parent {
                Some(parent) => writeln!(text, "adds to   {parent}")?,
                None => writeln!(text, "adds to   nothing: it stands alone")?,
            }
        }
        Ok(())
    }

    fn write_about(&self, text: &mut String) -> std::fmt::Result {
        let Some(about) = &self.about else {
            return writeln!(text, "instance  unreadable");
        };
        let spec = &about.spec;
        let (name, node) = (plain(&about.name), plain(&about.node));
        writeln!(text, "name      {name}, taken {} on {node}", about.taken)?;
        writeln!(text, "kernel    {}", plain(&about.kernel))?;
        writeln!(
            text,
            "taken at  {} s since 1970",
            about.wall_nanos / 1_000_000_000
        )?;
        writeln!(text, "instance  {}", plain(&spec.name))?;
        writeln!(
            text,
            "module    {} {}",
            spec.module,
            plain(&spec.module_name)
        )?;
        for library in &spec.libraries {
            writeln!(
                text,
                "library   {} {}",
                library.module,
                plain(&library.name)
            )?;
        }
        let limit = size(spec.limits.memory_bytes);
        writeln!(
            text,
            "limits    memory {limit}, {} sockets",
            spec.limits.sockets
        )?;
        for (port, mac) in spec.ports.iter().zip(&about.macs) {
            let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(text, "port      {} {}", plain(&port.name), mac.join(":"))?;
        }
        Ok(())
    }

    fn write_contents(&self, text: &mut String) -> std::fmt::Result {
        for object in &self.summary.objects {
            let (kind, version) = (object.kind.name(), object.version);
            writeln!(
                text,
                "state     {kind:<10} {}, version {version}",
                size(object.bytes)
            )?;
        }
        for blob in &self.summary.blobs {
            writeln!(text, "embedded  {} {}", blob.hash, size(blob.bytes))?;
        }
        for memory in &self.summary.memories {
            writeln!(
                text,
                "memory {}  {}: {} pages stored in {} ({} compressed), {} repeated, {} zeroed",
                memory.head.number,
                size(memory.head.bytes),
                memory.stored_pages,
                size(memory.stored_bytes),
                memory.compressed_pages,
                memory.repeated_pages,
                memory.zero_pages
            )?;
        }
        let pages: u64 = self.summary.memories.iter().map(|it| it.stored_pages).sum();
        writeln!(text, "pages     {}", size(pages * PAGE_BYTES as u64))
    }
}

/// A number of bytes with its unit.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Text from a file without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars()
        .map(|character| match character.is_control() {
            true => '?',
            false => character,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_snapshot_is_said_to_be_none() {
        let inspection = Inspection::of(&[0; 100]);
        let text = inspection.text();
        assert!(
            text.contains("UNSOUND") && text.contains("no SOS snapshot"),
            "{text}"
        );
        assert!(inspection.json().contains("\"complete\":false"));
    }

    #[test]
    fn a_terminal_obeys_nothing_from_a_file() {
        assert_eq!(plain("a\x1b[2Jb\n"), "a?[2Jb?");
    }
}
