//! Directories of the host as files of an instance.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sos_core::image::{BlobHash, FileContent, FileSpec, InstanceSpec, PreopenSpec, blob_hash};
use sos_core::limits;

use super::job::{Shared, SharedDirectory};
use crate::process::say;

/// Adds a directory to those that the program finds open: its files, and that it is open. Where one
/// lies inside another it hides what the other has there, as a mounted one does.
///
/// # Errors
/// When something in it cannot be read, or is too large or too much.
pub(super) fn add(
    directory: &SharedDirectory,
    others: &[Shared],
    spec: &mut InstanceSpec,
    blobs: &mut BTreeMap<BlobHash, Vec<u8>>,
) -> Result<Shared> {
    let host = directory.host.as_path();
    if !host.is_dir() {
        bail!("--dir {}: no such directory", host.display());
    }
    let inside = place(&directory.guest, others.len());
    if spec.preopens.iter().any(|open| open.directory == inside) {
        bail!("--dir {}: there are two of that name", directory.guest);
    }
    spec.files.retain(|file| {
        let hidden = below(&inside, &file.path).is_some();
        !hidden
            || others
                .iter()
                .any(|other| is_nested(&inside, other, &file.path))
    });
    let nested = others.iter().filter_map(|other| {
        let path = below(&inside, &other.inside)?;
        (!path.is_empty()).then(|| other.inside.clone())
    });
    let nested = nested.collect();
    let mut copier = Copier {
        spec,
        blobs,
        nested,
    };
    copier.copy_directory(host, &inside)?;
    spec.preopens.push(PreopenSpec {
        name: directory.guest.clone(),
        directory: inside.clone(),
    });
    Ok(Shared {
        host: host.to_path_buf(),
        inside,
    })
}

/// Where the directory that a program calls `name` lies in its file system. A name that leads
/// upwards has no place of its own there and gets one.
fn place(name: &str, number: usize) -> String {
    let parts = name.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<&str> = parts.collect();
    if parts.contains(&"..") {
        return format!("/directory-{number}");
    }
    format!("/{}", parts.join("/"))
}

/// The rest of `path` below `directory`, both absolute, empty for the directory itself; none when it
/// does not lie there.
pub(super) fn below<'a>(directory: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(directory.trim_end_matches('/'))?;
    match rest.strip_prefix('/') {
        Some(rest) => Some(rest),
        None => rest.is_empty().then_some(rest),
    }
}

/// Whether `path` belongs to a directory that lies inside `inside` and was added before.
fn is_nested(inside: &str, other: &Shared, path: &str) -> bool {
    below(inside, &other.inside).is_some() && below(&other.inside, path).is_some()
}

struct Copier<'a> {
    spec: &'a mut InstanceSpec,
    blobs: &'a mut BTreeMap<BlobHash, Vec<u8>>,
    /// Where other directories lie inside this one.
    nested: Vec<String>,
}

impl Copier<'_> {
    fn copy_directory(&mut self, host: &Path, inside: &str) -> Result<()> {
        if inside != "/" {
            self.add(inside.to_string(), FileContent::Directory)?;
        }
        let context = || format!("read the directory {}", host.display());
        let mut entries = fs::read_dir(host)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(context)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                say(format!("{}: its name is no text; left out", path.display()));
                continue;
            };
            let inside = format!("{}/{name}", inside.trim_end_matches('/'));
            if self.nested.contains(&inside) {
                continue;
            }
            let kind = entry.file_type().with_context(context)?;
            if kind.is_dir() {
                self.copy_directory(&path, &inside)?;
            } else if kind.is_symlink() {
                self.copy_link(&path, inside)?;
            } else if kind.is_file() {
                self.copy_file(&path, inside)?;
            } else {
                say(format!("{}: no ordinary file; left out", path.display()));
            }
        }
        Ok(())
    }

    fn copy_file(&mut self, host: &Path, inside: String) -> Result<()> {
        let bytes = fs::read(host).with_context(|| format!("read {}", host.display()))?;
        if bytes.len() > limits::BLOB_BYTES {
            bail!(
                "{} has {} bytes, more than {}: leave it out of the directory",
                host.display(),
                bytes.len(),
                limits::BLOB_BYTES
            );
        }
        let hash = blob_hash(&bytes);
        self.blobs.entry(hash).or_insert(bytes);
        self.add(inside, FileContent::Blob(hash))
    }

    fn copy_link(&mut self, host: &Path, inside: String) -> Result<()> {
        let target = fs::read_link(host).with_context(|| format!("read {}", host.display()))?;
        match target.to_str() {
            Some(text) => self.add(inside, FileContent::SymbolicLink(text.to_string())),
            None => {
                say(format!(
                    "{}: its target is no text; left out",
                    host.display()
                ));
                Ok(())
            }
        }
    }

    fn add(&mut self, path: String, content: FileContent) -> Result<()> {
        let most = self.spec.limits.files as usize;
        if self.spec.files.len() >= most {
            bail!("the directories have more than {most} files");
        }
        self.spec.files.push(FileSpec { path, content });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_places_in_the_instance() {
        assert_eq!(place("/", 0), "/");
        assert_eq!(place(".", 0), "/");
        assert_eq!(place("/data", 0), "/data");
        assert_eq!(place("./a//b/", 0), "/a/b");
        assert_eq!(place("../up", 3), "/directory-3");
    }

    #[test]
    fn a_directory_is_copied_with_all_that_can_be() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sub/empty")).unwrap();
        fs::write(folder.path().join("sub/file"), b"text").unwrap();
        std::os::unix::fs::symlink("sub/file", folder.path().join("link")).unwrap();
        let mut spec = InstanceSpec::new("a", BlobHash::default(), "a");
        spec.preopens.clear();
        let mut blobs = BTreeMap::new();
        let directory = SharedDirectory {
            host: folder.path().to_path_buf(),
            guest: "/d".to_string(),
        };
        let shared = add(&directory, &[], &mut spec, &mut blobs).unwrap();
        assert_eq!(shared.inside, "/d");
        let paths: Vec<&str> = spec.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            paths,
            ["/d", "/d/link", "/d/sub", "/d/sub/empty", "/d/sub/file"]
        );
        assert_eq!(blobs[&blob_hash(b"text")], b"text");
        assert_eq!(
            spec.files[1].content,
            FileContent::SymbolicLink("sub/file".to_string())
        );
        let again = add(&directory, &[shared], &mut spec, &mut blobs).unwrap_err();
        assert!(again.to_string().contains("two"), "{again}");
    }

    #[test]
    fn a_directory_inside_another_hides_what_that_has_there_in_either_order() {
        let (outer, inner) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(outer.path().join("data")).unwrap();
        fs::write(outer.path().join("data/hidden"), b"x").unwrap();
        fs::write(outer.path().join("seen"), b"x").unwrap();
        fs::write(inner.path().join("file"), b"y").unwrap();
        let shared = |host: &Path, guest: &str| SharedDirectory {
            host: host.to_path_buf(),
            guest: guest.to_string(),
        };
        let mut both = [shared(outer.path(), "."), shared(inner.path(), "/data")];
        for _ in 0..2 {
            let mut spec = InstanceSpec::new("a", BlobHash::default(), "a");
            spec.preopens.clear();
            let mut blobs = BTreeMap::new();
            let mut others = Vec::new();
            for directory in &both {
                others.push(add(directory, &others, &mut spec, &mut blobs).unwrap());
            }
            let mut paths: Vec<&str> = spec.files.iter().map(|file| file.path.as_str()).collect();
            paths.sort_unstable();
            assert_eq!(paths, ["/data", "/data/file", "/seen"]);
            both.reverse();
        }
    }
}
