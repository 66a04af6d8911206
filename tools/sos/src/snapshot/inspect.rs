//! What is in a snapshot file, in words and in JSON. Nothing of it is believed: what a file says of itself
//! is printed with everything but plain characters taken out.

use std::fmt::Write;

use serde::Serialize;
use sos_core::shell::render::{self, Table};
use sos_core::snapshot::About;
use sos_core::snapshot::format::{Maker, Seal, SectionKind, Summary};

use super::state::{self, State};

/// A file that was read.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// What it holds.
    #[serde(flatten)]
    pub summary: Summary,
    /// What it says of its instance, if that can be read.
    pub about: Option<About>,
    /// What the instance was doing, as far as that can be read.
    pub state: State,
}

impl Inspection {
    /// Looks into what was read of a file, sound or not.
    pub fn new(mut summary: Summary) -> Inspection {
        let about: Option<About> = state::decode(&mut summary, SectionKind::About);
        let state = State::read(&mut summary, about.as_ref());
        Inspection {
            summary,
            about,
            state,
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
        let _ = self.write_state(&mut text);
        self.write_contents(&mut text);
        text
    }

    fn write_header(&self, text: &mut String) -> std::fmt::Result {
        let summary = &self.summary;
        let size = render::bytes(summary.file_bytes);
        match &summary.error {
            None => writeln!(text, "snapshot   sound, {size}")?,
            Some(error) => writeln!(text, "snapshot   UNSOUND, {size}: {}", plain(error))?,
        }
        if let Some(header) = &summary.header {
            let maker = match (header.seal, summary.maker) {
                (Seal::None | Seal::Sha256, _) => "unknown: it has no tag",
                (Seal::Keyed, Maker::Own) => "the node with this key",
                (Seal::Keyed, Maker::Elsewhere | Maker::Unknown) => {
                    "a node with another key than is at hand (--key-file)"
                }
            };
            writeln!(text, "made by    {maker}")?;
            writeln!(text, "id         {}", header.id)?;
            match header.parent {
                Some(parent) => writeln!(text, "adds to    {parent}, which its node needs too")?,
                None => writeln!(text, "adds to    nothing: it stands alone")?,
            }
        }
        Ok(())
    }

    fn write_about(&self, text: &mut String) -> std::fmt::Result {
        let Some(about) = &self.about else {
            return writeln!(text, "instance   unreadable");
        };
        let spec = &about.spec;
        let (name, node) = (plain(&about.name), plain(&about.node));
        let when = render::wall(about.wall_nanos);
        writeln!(text, "name       {name}, taken {} at {when}", about.taken)?;
        writeln!(text, "node       {node}, kernel {}", plain(&about.kernel))?;
        writeln!(text, "instance   {}", plain(&spec.name))?;
        let main = [(&spec.module_name, spec.module)];
        let libraries = spec.libraries.iter().map(|it| (&it.name, it.module));
        for (name, hash) in main.into_iter().chain(libraries) {
            let here = self.summary.blobs.iter();
            let here = here.filter(|blob| blob.hash == hash.to_string());
            let size = match here.map(|blob| blob.bytes).next() {
                Some(bytes) => render::bytes(bytes),
                None => "not in the file".into(),
            };
            writeln!(text, "module     {} ({size}), {hash}", plain(name))?;
        }
        let limit = render::bytes(spec.limits.memory_bytes);
        writeln!(
            text,
            "limits     memory {limit}, {} sockets",
            spec.limits.sockets
        )?;
        for (port, mac) in spec.ports.iter().zip(&about.macs) {
            let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(text, "port       {} {}", plain(&port.name), mac.join(":"))?;
        }
        Ok(())
    }

    fn write_state(&self, text: &mut String) -> std::fmt::Result {
        let state = &self.state;
        if let Some(doing) = &state.doing {
            writeln!(text, "program    {doing}, after {} of guest time", {
                render::span(state.guest_nanos)
            })?;
        }
        for (number, call) in state.calls.iter().enumerate() {
            let head = if number == 0 { "calls" } else { "" };
            writeln!(text, "{head:<10} {:>3} {}", call.depth, call.place)?;
        }
        if state.calls_left_out > 0 {
            writeln!(text, "{:<10} ... and {} more", "", state.calls_left_out)?;
        }
        if let Some(files) = &state.files {
            let written = render::bytes(files.written_bytes);
            writeln!(text, "files      {}, {written} written", files.names)?;
        }
        if state.sockets.is_empty() {
            return Ok(());
        }
        let mut table =
            Table::new(&["SOCKET", "LOCAL", "REMOTE", "STATE", "UNREAD", "UNSENT"]).right(&[4, 5]);
        for socket in &state.sockets {
            table.row(vec![
                socket.kind.into(),
                socket.local.clone(),
                socket.remote.clone(),
                socket.state.clone(),
                render::bytes(socket.unread_bytes),
                render::bytes(socket.unacknowledged_bytes),
            ]);
        }
        write!(text, "\n{}", table.render())
    }

    /// What takes room in the file.
    fn write_contents(&self, text: &mut String) {
        let summary = &self.summary;
        let mut table = Table::new(&["CONTENTS", "SIZE", "IN FILE", "DETAIL"]).right(&[1, 2]);
        for object in &summary.objects {
            let size = render::bytes(object.bytes);
            let detail = format!("version {}", object.version);
            table.row(vec![object.kind.name().into(), size.clone(), size, detail]);
        }
        for blob in &summary.blobs {
            let size = render::bytes(blob.bytes);
            let short = blob.hash.get(..16).unwrap_or(&blob.hash);
            table.row(vec![
                "module or file".into(),
                size.clone(),
                size,
                short.into(),
            ]);
        }
        for memory in &summary.memories {
            table.row(vec![
                format!("memory {}", memory.head.number),
                render::bytes(memory.head.bytes),
                render::bytes(memory.stored_bytes),
                format!(
                    "{} pages stored, {} of them compressed; {} repeated, {} zeroed",
                    memory.stored_pages,
                    memory.compressed_pages,
                    memory.repeated_pages,
                    memory.zero_pages
                ),
            ]);
        }
        text.push('\n');
        text.push_str(&table.render());
    }
}

/// Text from a file without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
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
        let inspection = Inspection::new(Summary::read(&[0; 100]));
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
