//! The keys of an instance that are about its program: files, preopened directories, listeners and
//! the health check.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sos_core::image::{BlobHash, FileContent, FileSpec, HealthCheck, HealthSpec, PreopenSpec};

use super::file::FormError;
use super::values::Millis;

/// Where the content of a guest's file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSource {
    /// A file of this machine.
    Host(PathBuf),
    /// The manifest itself.
    Text(String),
}

/// The sources of all files, by instance and path in the instance.
pub type FileSources = BTreeMap<(String, String), FileSource>;

/// One value of `files`: the path of a file or folder of this machine, or what else there is.
#[derive(Debug)]
pub enum FileEntry {
    Host(String),
    Made(MadeFile),
}

/// A file that does not come from this machine; one of the keys.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MadeFile {
    Text(String),
    Symlink(String),
    Directory {},
}

impl<'de> Deserialize<'de> for FileEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = FileEntry;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(
                    "the path of a file or folder, or { symlink = \"…\" }, { text = \"…\" } or { directory = {} }",
                )
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<FileEntry, E> {
                Ok(FileEntry::Host(text.to_string()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FileEntry, A::Error> {
                MadeFile::deserialize(MapAccessDeserializer::new(map)).map(FileEntry::Made)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// Reads `files`: folders of this machine become their contents, below `folder`.
pub fn expand_files(
    instance: &str,
    entries: Vec<(String, FileEntry)>,
    folder: &Path,
    sources: &mut FileSources,
) -> Result<Vec<FileSpec>, FormError> {
    let mut files = Vec::new();
    for (path, entry) in entries {
        let refused = |message: String| FormError {
            path: ["instance", instance, "files", &path]
                .map(str::to_string)
                .to_vec(),
            message,
        };
        let content = match entry {
            FileEntry::Host(host) => {
                let mut walk = Walk {
                    instance,
                    files: &mut files,
                    sources,
                };
                walk.add(&path, &folder.join(host)).map_err(refused)?;
                continue;
            }
            FileEntry::Made(MadeFile::Text(text)) => {
                let key = (instance.to_string(), path.clone());
                sources.insert(key, FileSource::Text(text));
                FileContent::Blob(BlobHash::default())
            }
            FileEntry::Made(MadeFile::Symlink(target)) => FileContent::SymbolicLink(target),
            FileEntry::Made(MadeFile::Directory {}) => FileContent::Directory,
        };
        files.push(FileSpec { path, content });
    }
    Ok(files)
}

/// A walk over a folder of this machine.
struct Walk<'a> {
    instance: &'a str,
    files: &'a mut Vec<FileSpec>,
    sources: &'a mut FileSources,
}

impl Walk<'_> {
    /// Adds what lies at `host` as `path`, in the order of names, so that the same folder gives the
    /// same image.
    fn add(&mut self, path: &str, host: &Path) -> Result<(), String> {
        let failed = |error| format!("cannot read {}: {error}", host.display());
        let kind = host.symlink_metadata().map_err(failed)?.file_type();
        // Nothing may have a folder's name when it is mapped to the root.
        let inner = |name: &str| format!("{}/{name}", path.strip_suffix('/').unwrap_or(path));
        let content = if kind.is_dir() {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(host).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                let name = name.into_string().map_err(|name| {
                    format!(
                        "{} holds {name:?}, whose name is not UTF-8: rename it",
                        host.display()
                    )
                })?;
                names.push(name);
            }
            names.sort();
            self.files.push(FileSpec {
                path: path.to_string(),
                content: FileContent::Directory,
            });
            return names
                .iter()
                .try_for_each(|name| self.add(&inner(name), &host.join(name)));
        } else if kind.is_symlink() {
            let target = std::fs::read_link(host).map_err(failed)?;
            let target = target.into_os_string().into_string().map_err(|_| {
                format!(
                    "the link {} leads to a name that is not UTF-8",
                    host.display()
                )
            })?;
            FileContent::SymbolicLink(target)
        } else if kind.is_file() {
            let key = (self.instance.to_string(), path.to_string());
            self.sources
                .insert(key, FileSource::Host(host.to_path_buf()));
            FileContent::Blob(BlobHash::default())
        } else {
            return Err(format!(
                "{} is no file, folder or link: leave it out",
                host.display()
            ));
        };
        self.files.push(FileSpec {
            path: path.to_string(),
            content,
        });
        Ok(())
    }
}

/// `preopen`: directories, or names for directories.
#[derive(Debug)]
pub struct Preopens(pub Vec<PreopenSpec>);

impl<'de> Deserialize<'de> for Preopens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Preopens;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(
                    "a directory, a list of directories, or a table such as { \".\" = \"/work\" }",
                )
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Preopens, E> {
                Ok(Preopens(vec![preopen(text.to_string(), text.to_string())]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Preopens, A::Error> {
                let mut found = Vec::new();
                while let Some(name) = list.next_element::<String>()? {
                    found.push(preopen(name.clone(), name));
                }
                Ok(Preopens(found))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Preopens, A::Error> {
                let mut found = Vec::new();
                while let Some((name, directory)) = map.next_entry()? {
                    found.push(preopen(name, directory));
                }
                Ok(Preopens(found))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

fn preopen(name: String, directory: String) -> PreopenSpec {
    PreopenSpec { name, directory }
}

/// `health`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthFile {
    http: Option<String>,
    tcp: Option<bool>,
    port: u16,
    interval: Option<Millis>,
    timeout: Option<Millis>,
    failures: Option<u32>,
    grace: Option<Millis>,
}

impl HealthFile {
    /// Takes the usual figures where the file names none.
    pub fn into_spec(self, instance: &str) -> Result<HealthSpec, FormError> {
        let port = self.port;
        let check = match (self.http, self.tcp) {
            (Some(path), None | Some(false)) => HealthCheck::Http { port, path },
            (None, Some(true)) => HealthCheck::Tcp { port },
            (Some(_), Some(true)) | (None, None | Some(false)) => {
                return Err(FormError {
                    path: ["instance", instance, "health"]
                        .map(str::to_string)
                        .to_vec(),
                    message: format!(
                        "the health check of `{instance}` must name one of `http = \"/path\"` and `tcp = true`"
                    ),
                });
            }
        };
        let millis = |given: Option<Millis>, usual| given.map_or(usual, |given| given.0);
        Ok(HealthSpec {
            check,
            interval_ms: millis(self.interval, 5000),
            timeout_ms: millis(self.timeout, 1000),
            failures: self.failures.unwrap_or(3),
            grace_ms: millis(self.grace, 5000),
        })
    }
}
