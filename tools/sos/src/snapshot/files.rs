//! Files of snapshots on this host: one appears as a whole or not at all ([`OutFile`]), and is read
//! through before a node is bothered with it ([`check`]).

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use sos_core::keys::Key;
use sos_core::snapshot::format::{Summary, SummaryReader};
use tempfile::NamedTempFile;

use crate::exec::Signals;
use crate::process::say;

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;
/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 128 + libc::SIGINT;

/// The file that is being written, to be removed when the process is told to end.
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Lets Ctrl-C end the process at once, with no half of a file left behind. To be called before other
/// threads are started.
pub fn end_when_interrupted() {
    Signals::block().when_sent(|| {
        // Held until the end, so that no file is begun meanwhile.
        let unfinished = UNFINISHED.lock();
        if let Some(path) = unfinished.as_ref().ok().and_then(|path| path.as_ref()) {
            // That it cannot be removed is nothing that could be said to anybody later.
            let _ = std::fs::remove_file(path);
        }
        eprintln!();
        say("interrupted");
        std::process::exit(INTERRUPTED);
    });
}

/// A file that is written beside its place and gets there when it is complete.
#[derive(Debug)]
pub struct OutFile {
    file: NamedTempFile,
    place: PathBuf,
}

impl OutFile {
    /// Begins a file that only its owner may read: it holds all that an instance knows.
    ///
    /// # Errors
    /// When its folder cannot be written to.
    pub fn create(place: &Path) -> Result<OutFile> {
        let folder = place.parent().filter(|it| !it.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        builder.prefix(".sos-").suffix(".part");
        let mut unfinished = UNFINISHED.lock().unwrap_or_else(|it| it.into_inner());
        let file = builder.tempfile_in(folder.unwrap_or(Path::new(".")));
        let file = file.with_context(|| format!("write {}", place.display()))?;
        *unfinished = Some(file.path().to_path_buf());
        Ok(OutFile {
            file,
            place: place.to_path_buf(),
        })
    }

    /// Puts the file into its place, over what was there.
    ///
    /// # Errors
    /// When it cannot be written to the end.
    pub fn commit(self) -> Result<()> {
        let context = || format!("write {}", self.place.display());
        self.file.as_file().sync_all().with_context(context)?;
        let mut unfinished = UNFINISHED.lock().unwrap_or_else(|it| it.into_inner());
        self.file.persist(&self.place).with_context(context)?;
        *unfinished = None;
        Ok(())
    }
}

impl Write for OutFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

/// Reads a file to its end, sound or not, and compares its tag with that of `key`; `progress` is told how many bytes were read.
///
/// # Errors
/// When it cannot be read.
pub fn summary(path: &Path, key: Option<Key>, progress: &mut dyn FnMut(u64)) -> Result<Summary> {
    let context = || format!("read {}", path.display());
    let mut file = BufReader::with_capacity(READ_BYTES, File::open(path).with_context(context)?);
    let mut reader = SummaryReader::with_key(key);
    let mut buffer = vec![0; READ_BYTES];
    let mut done = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(reader.finish()),
            Ok(count) => {
                reader.read(&buffer[..count]);
                done += count as u64;
                progress(done);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).with_context(context),
        }
    }
}

/// Makes sure that a file is a whole and sound snapshot.
///
/// # Errors
/// What is wrong with it.
pub fn check(path: &Path, key: Option<Key>, progress: &mut dyn FnMut(u64)) -> Result<Summary> {
    let summary = summary(path, key, progress)?;
    match &summary.error {
        None => Ok(summary),
        Some(error) => bail!("{} is no sound snapshot: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_complete_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a.snap");
        let mut file = OutFile::create(&place).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!place.exists());
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut file = OutFile::create(&place).unwrap();
        file.write_all(b"whole").unwrap();
        file.commit().unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_snapshot_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a.snap");
        std::fs::write(&place, [0; 100]).unwrap();
        let error = check(&place, None, &mut |_| ()).unwrap_err().to_string();
        assert!(
            error.contains("a.snap") && error.contains("wrong magic"),
            "{error}"
        );
    }
}
