//! What a program changed, brought back into the host's directory.
//!
//! Every name comes from a guest and is a claim. A path is taken apart into plain names, and each
//! directory is opened from the one above without following links, so that nothing outside the
//! directory is ever reached, whatever links lie or appear in it.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use sos_core::operator::Change;

use crate::process::say;

/// Puts changes into a directory.
#[derive(Debug)]
pub struct Restorer {
    root: OwnedFd,
    shown: PathBuf,
    /// Paths below that are other directories of the host.
    left_out: Vec<String>,
    file: Option<Incoming>,
    number: u32,
}

/// A file whose bytes come.
#[derive(Debug)]
struct Incoming {
    /// None where the file cannot be made: its bytes are dropped.
    place: Option<Place>,
    /// How long it will be.
    size: u64,
    left: u64,
    modified_ns: u64,
}

impl Incoming {
    fn new(place: Option<Place>, size: u64, modified_ns: u64) -> Incoming {
        Incoming {
            place,
            size,
            left: size,
            modified_ns,
        }
    }
}

/// A new file under a name of its own, until all of its bytes are there.
#[derive(Debug)]
struct Place {
    file: File,
    folder: OwnedFd,
    temporary: String,
    name: String,
}

impl Restorer {
    /// Opens the directory that is to be changed, but for what lies at or below the paths of
    /// `left_out`.
    ///
    /// # Errors
    /// When it is not there any more.
    pub fn open(directory: &Path, left_out: Vec<String>) -> Result<Restorer> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(directory, flags, Mode::empty())
            .with_context(|| format!("open {} for what changed", directory.display()))?;
        Ok(Restorer {
            root,
            shown: directory.to_path_buf(),
            left_out,
            file: None,
            number: 0,
        })
    }

    /// Carries out one change.
    ///
    /// # Errors
    /// When the host refuses; what would leave the directory is only mentioned and left out.
    pub fn change(&mut self, path: &str, change: &Change) -> Result<()> {
        self.finish()?;
        if self
            .left_out
            .iter()
            .any(|other| is_at_or_below(other, path))
        {
            self.drop_bytes_of(change);
            return Ok(());
        }
        let shown = self.shown.join(path);
        let context = || format!("bring back {}", shown.display());
        let place = plain_names(path).map(|(folders, name)| (self.walk(&folders), name));
        let (folder, name) = match place {
            Some((Ok(folder), name)) => (folder, name),
            Some((Err(Errno::LOOP | Errno::NOTDIR), _)) | None => {
                say(format!(
                    "{}: leads out of the directory; left out",
                    shown.display()
                ));
                self.drop_bytes_of(change);
                return Ok(());
            }
            Some((Err(error), _)) => return Err(error).with_context(context),
        };
        match change {
            Change::Removed => remove(&folder, name).with_context(context),
            Change::Directory => match rustix::fs::mkdirat(&folder, name, Mode::from(0o777)) {
                Ok(()) | Err(Errno::EXIST) => Ok(()),
                Err(error) => Err(error).with_context(context),
            },
            Change::SymbolicLink(target) => {
                let depth = path.split('/').count() - 1;
                if !stays_inside(target, depth) {
                    say(format!("{}: a link to {target}; left out", shown.display()));
                    return Ok(());
                }
                match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => return Err(error).with_context(context),
                }
                rustix::fs::symlinkat(target.as_str(), &folder, name).with_context(context)
            }
            Change::File { bytes, modified_ns } => {
                let place = self.begin(folder, name).with_context(context)?;
                self.file = Some(Incoming::new(Some(place), *bytes, *modified_ns));
                Ok(())
            }
        }
    }

    /// Takes no notice of what belongs to a change that is not carried out.
    fn drop_bytes_of(&mut self, change: &Change) {
        if let Change::File { bytes, modified_ns } = change {
            self.file = Some(Incoming::new(None, *bytes, *modified_ns));
        }
    }

    /// Takes the next bytes of the file that was named last.
    ///
    /// # Errors
    /// When there is none, or the host refuses.
    pub fn data(&mut self, bytes: &[u8]) -> Result<()> {
        match self.advance(bytes.len() as u64)? {
            Some(place) => place.file.write_all(bytes).context("write a file back"),
            None => Ok(()),
        }
    }

    /// Leaves a hole in the file that was named last.
    ///
    /// # Errors
    /// As [`Restorer::data`].
    pub fn hole(&mut self, bytes: u64) -> Result<()> {
        let forward = i64::try_from(bytes).context("a hole that no file has")?;
        match self.advance(bytes)? {
            Some(place) => {
                let moved = place.file.seek(SeekFrom::Current(forward));
                moved.map(|_| ()).context("leave a hole in a file")
            }
            None => Ok(()),
        }
    }

    /// Counts bytes of the file that was named last, and says where they go.
    fn advance(&mut self, bytes: u64) -> Result<Option<&mut Place>> {
        let Some(incoming) = &mut self.file else {
            bail!("the node sent bytes of no file");
        };
        let Some(left) = incoming.left.checked_sub(bytes) else {
            bail!("the node sent more bytes of a file than it has");
        };
        incoming.left = left;
        Ok(incoming.place.as_mut())
    }

    /// Puts the last file into its place.
    ///
    /// # Errors
    /// When bytes of it are missing, or the host refuses.
    pub fn finish(&mut self) -> Result<()> {
        let Some(incoming) = self.file.take() else {
            return Ok(());
        };
        if incoming.left > 0 {
            bail!("the node sent a file whose end is missing");
        }
        let Some(place) = incoming.place else {
            return Ok(());
        };
        let Place {
            file,
            folder,
            temporary,
            name,
        } = place;
        // A hole at the end was only stepped over.
        let length = file.set_len(incoming.size);
        length.with_context(|| format!("make {name} as long as it was"))?;
        let modified = UNIX_EPOCH + Duration::from_nanos(incoming.modified_ns);
        // Some file systems keep no such times; the file is whole without.
        let _ = file.set_modified(modified);
        rustix::fs::renameat(&folder, temporary.as_str(), &folder, name.as_str())
            .with_context(|| format!("put {name} into its place"))
    }

    /// Opens a directory below, one plain name after another.
    fn walk(&self, folders: &[&str]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut folder = rustix::io::dup(&self.root)?;
        for name in folders {
            folder = rustix::fs::openat(&folder, *name, flags, Mode::empty())?;
        }
        Ok(folder)
    }

    /// Makes the file that will have the name, with the permissions of the one that has it now.
    fn begin(&mut self, folder: OwnedFd, name: &str) -> Result<Place> {
        self.number += 1;
        let temporary = format!(".sos-{}-{}.tmp", std::process::id(), self.number);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(
            &folder,
            temporary.as_str(),
            flags | OFlags::CLOEXEC,
            Mode::from(0o666),
        )?;
        if let Ok(old) = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)
            && rustix::fs::FileType::from_raw_mode(old.st_mode).is_file()
        {
            let kept = Mode::from_raw_mode(old.st_mode) & Mode::from(0o777);
            rustix::fs::fchmod(&file, kept)?;
        }
        Ok(Place {
            file: file.into(),
            folder,
            temporary,
            name: name.to_string(),
        })
    }
}

/// Whether one path is another or lies below it.
fn is_at_or_below(other: &str, path: &str) -> bool {
    let rest = path.strip_prefix(other);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The directories of a path and its last name; none when a part of it is no plain name.
fn plain_names(path: &str) -> Option<(Vec<&str>, &str)> {
    let mut names: Vec<&str> = path.split('/').collect();
    let is_plain = |name: &&str| !matches!(*name, "" | "." | "..") && !name.contains('\0');
    if !names.iter().all(is_plain) {
        return None;
    }
    let last = names.pop()?;
    Some((names, last))
}

/// Whether a link `depth` directories deep leads to a place inside, by its text alone.
fn stays_inside(target: &str, depth: usize) -> bool {
    let mut depth = depth;
    for name in target.split('/') {
        match name {
            ".." if depth == 0 => return false,
            ".." => depth -= 1,
            "" | "." => {}
            _ => depth += 1,
        }
    }
    !target.is_empty() && !target.starts_with('/') && !target.contains('\0')
}

/// Removes a file, a link, or a directory with all that is in it; links are not followed.
fn remove(folder: &OwnedFd, name: &str) -> Result<(), Errno> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        // What has no text for a name was not copied in and is left; the directory then stays.
        match entry.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) => remove(&directory, name)?,
        }
    }
    match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOTEMPTY) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// Seconds since 1970 at which the files of these tests were written.
    const WRITTEN: u64 = 1_000_000_000;

    fn new_file(bytes: u64) -> Change {
        Change::File {
            bytes,
            modified_ns: WRITTEN * 1_000_000_000,
        }
    }

    fn file(restorer: &mut Restorer, path: &str, text: &str) {
        restorer.change(path, &new_file(text.len() as u64)).unwrap();
        restorer.data(text.as_bytes()).unwrap();
        restorer.finish().unwrap();
    }

    #[test]
    fn changes_arrive_with_permissions_kept() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("old");
        fs::write(&old, "old").unwrap();
        fs::set_permissions(&old, fs::Permissions::from_mode(0o640)).unwrap();
        fs::create_dir_all(folder.path().join("gone/deep")).unwrap();
        fs::write(folder.path().join("gone/deep/file"), "x").unwrap();
        let mut restorer = Restorer::open(folder.path(), Vec::new()).unwrap();
        restorer.change("gone", &Change::Removed).unwrap();
        restorer.change("new", &Change::Directory).unwrap();
        file(&mut restorer, "new/file", "text");
        file(&mut restorer, "old", "newer");
        let link = Change::SymbolicLink("new/file".to_string());
        restorer.change("link", &link).unwrap();
        assert!(!folder.path().join("gone").exists());
        assert_eq!(
            fs::read_to_string(folder.path().join("link")).unwrap(),
            "text"
        );
        assert_eq!(fs::read_to_string(&old).unwrap(), "newer");
        assert_eq!(
            fs::metadata(&old).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn hostile_names_and_links_reach_nothing_outside() {
        let outside = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        symlink(outside.path(), folder.path().join("out")).unwrap();
        fs::write(outside.path().join("victim"), "safe").unwrap();
        let mut restorer = Restorer::open(folder.path(), Vec::new()).unwrap();
        let up = format!(
            "../{}/new",
            outside.path().file_name().unwrap().to_str().unwrap()
        );
        let absolute = outside.path().join("new");
        for path in [
            up.as_str(),
            absolute.to_str().unwrap(),
            "out/new",
            "a/./b",
            "",
        ] {
            file(&mut restorer, path, "bad");
        }
        restorer.change("out/victim", &Change::Removed).unwrap();
        for target in ["/etc/passwd", "../..", "a/../../b", ""] {
            let link = Change::SymbolicLink(target.to_string());
            restorer.change("link", &link).unwrap();
        }
        assert!(folder.path().join("link").symlink_metadata().is_err());
        // A file in place of a link replaces the link, not what it leads to.
        file(&mut restorer, "out", "plain");
        assert!(!folder.path().join("out").is_symlink());
        let left: Vec<_> = fs::read_dir(outside.path()).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(
            fs::read_to_string(outside.path().join("victim")).unwrap(),
            "safe"
        );
    }

    #[test]
    fn bytes_beyond_a_file_and_files_without_their_end_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut restorer = Restorer::open(folder.path(), Vec::new()).unwrap();
        assert!(restorer.data(b"x").is_err());
        restorer.change("a", &new_file(2)).unwrap();
        assert!(restorer.data(b"xyz").is_err());
        assert!(restorer.hole(3).is_err());
        assert!(restorer.finish().is_err());
        assert!(!folder.path().join("a").exists());
    }

    #[test]
    fn holes_stay_holes_and_the_time_of_writing_is_kept() {
        use std::os::unix::fs::MetadataExt;
        const SIZE: u64 = 1 << 40;
        let folder = tempfile::tempdir().unwrap();
        let mut restorer = Restorer::open(folder.path(), Vec::new()).unwrap();
        restorer.change("sparse", &new_file(SIZE)).unwrap();
        restorer.hole(1 << 20).unwrap();
        restorer.data(b"data").unwrap();
        restorer.hole(SIZE - (1 << 20) - 4).unwrap();
        restorer.finish().unwrap();
        let found = fs::metadata(folder.path().join("sparse")).unwrap();
        assert_eq!(found.len(), SIZE);
        assert!(found.blocks() * 512 < 1 << 20, "{} blocks", found.blocks());
        assert_eq!(found.mtime(), WRITTEN as i64);
    }

    #[test]
    fn what_lies_in_another_directory_is_left_to_that_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut restorer = Restorer::open(folder.path(), vec!["data".to_string()]).unwrap();
        file(&mut restorer, "data/new", "not here");
        restorer.change("data", &Change::Removed).unwrap();
        file(&mut restorer, "database", "here");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].file_name(), "database");
    }
}
