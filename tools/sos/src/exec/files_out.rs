//! What a program changed, brought back into the host's directory.
//!
//! Every name comes from a guest and is a claim. A path is taken apart into plain names, and each
//! directory is opened from the one above without following links, so that nothing outside the
//! directory is ever reached, whatever links lie or appear in it.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

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
    file: Option<Incoming>,
    number: u32,
}

/// A file whose bytes come.
#[derive(Debug)]
struct Incoming {
    /// None where the file cannot be made: its bytes are dropped.
    place: Option<Place>,
    left: u64,
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
    /// Opens the directory that is to be changed.
    ///
    /// # Errors
    /// When it is not there any more.
    pub fn open(directory: &Path) -> Result<Restorer> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(directory, flags, Mode::empty())
            .with_context(|| format!("open {} for what changed", directory.display()))?;
        Ok(Restorer {
            root,
            shown: directory.to_path_buf(),
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
                if let Change::File { bytes } = change {
                    self.file = Some(Incoming {
                        place: None,
                        left: *bytes,
                    });
                }
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
            Change::File { bytes } => {
                let place = self.begin(folder, name).with_context(context)?;
                self.file = Some(Incoming {
                    place: Some(place),
                    left: *bytes,
                });
                Ok(())
            }
        }
    }

    /// Takes the next bytes of the file that was named last.
    ///
    /// # Errors
    /// When there is none, or the host refuses.
    pub fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(incoming) = &mut self.file else {
            bail!("the node sent bytes of no file");
        };
        let Some(left) = incoming.left.checked_sub(bytes.len() as u64) else {
            bail!("the node sent more bytes of a file than it has");
        };
        incoming.left = left;
        match &mut incoming.place {
            Some(place) => place.file.write_all(bytes).context("write a file back"),
            None => Ok(()),
        }
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
            folder,
            temporary,
            name,
            ..
        } = place;
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

    fn file(restorer: &mut Restorer, path: &str, text: &str) {
        let bytes = text.len() as u64;
        restorer.change(path, &Change::File { bytes }).unwrap();
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
        let mut restorer = Restorer::open(folder.path()).unwrap();
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
        let mut restorer = Restorer::open(folder.path()).unwrap();
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
        let mut restorer = Restorer::open(folder.path()).unwrap();
        assert!(restorer.data(b"x").is_err());
        restorer.change("a", &Change::File { bytes: 2 }).unwrap();
        assert!(restorer.data(b"xyz").is_err());
        assert!(restorer.finish().is_err());
        assert!(!folder.path().join("a").exists());
    }
}
