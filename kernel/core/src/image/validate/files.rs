//! What an instance finds in its file system: sound paths, and directories where they are needed.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;

use super::{bound, require_text};
use crate::image::{FileContent, InstanceSpec, Item, ManifestError, PreopenSpec};
use crate::limits;

/// Says what is wrong with an instance's files and preopened directories, if anything is.
pub(super) fn validate(instance: &InstanceSpec) -> Result<(), ManifestError> {
    let mut entries: BTreeMap<&str, &FileContent> = BTreeMap::new();
    for file in &instance.files {
        let item = || file_item(instance, &file.path);
        require_path(&file.path, item)?;
        if let FileContent::SymbolicLink(target) = &file.content {
            require_text(target, "link", item)?;
            if target.is_empty() || target.contains('\0') {
                return Err(ManifestError::BadText {
                    item: item(),
                    what: "link",
                    wanted: "a path",
                });
            }
        }
        if file.path == "/" && file.content != FileContent::Directory {
            return Err(not_a_directory(item(), "/"));
        }
        if entries.insert(&file.path, &file.content).is_some() {
            return Err(ManifestError::DuplicateName { item: item() });
        }
    }
    let mut names: BTreeSet<&str> = entries.keys().copied().collect();
    for file in &instance.files {
        for parent in parents(&file.path) {
            require_directory(&entries, parent, || file_item(instance, &file.path))?;
            names.insert(parent);
        }
    }
    validate_preopens(instance, &entries, &mut names)?;
    names.remove("/");
    let most = instance.limits.files as usize;
    bound(names.len(), most, "files for `limits.files`", || {
        Item::Instance(instance.name.clone())
    })
}

/// A preopened directory that no file implies is made, empty.
fn validate_preopens<'a>(
    instance: &'a InstanceSpec,
    entries: &BTreeMap<&str, &FileContent>,
    names: &mut BTreeSet<&'a str>,
) -> Result<(), ManifestError> {
    let count = instance.preopens.len();
    bound(count, limits::PREOPENS, "preopened directories", || {
        Item::Instance(instance.name.clone())
    })?;
    let mut taken = BTreeSet::new();
    for PreopenSpec { name, directory } in &instance.preopens {
        let item = || Item::Preopen {
            instance: instance.name.clone(),
            name: name.clone(),
        };
        require_text(name, "name", item)?;
        if name.is_empty() || name.contains('\0') {
            return Err(ManifestError::BadText {
                item: item(),
                what: "name",
                wanted: "a path, such as `/` or `.`",
            });
        }
        if !taken.insert(name) {
            return Err(ManifestError::DuplicateName { item: item() });
        }
        require_path(directory, item)?;
        for path in parents(directory).chain([directory.as_str()]) {
            require_directory(entries, path, item)?;
            names.insert(path);
        }
    }
    Ok(())
}

fn file_item(instance: &InstanceSpec, path: &str) -> Item {
    Item::File {
        instance: instance.name.clone(),
        path: path.to_string(),
    }
}

fn not_a_directory(item: Item, path: &str) -> ManifestError {
    ManifestError::NotADirectory {
        item,
        path: path.to_string(),
    }
}

/// The directories above a sound path, the root left out: `/a` and `/a/b` of `/a/b/c`.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/')
        .skip(1)
        .map(|(index, _)| &path[..index])
}

fn require_directory(
    entries: &BTreeMap<&str, &FileContent>,
    path: &str,
    item: impl FnOnce() -> Item,
) -> Result<(), ManifestError> {
    match entries.get(path) {
        None | Some(FileContent::Directory) => Ok(()),
        Some(FileContent::Blob(_) | FileContent::SymbolicLink(_)) => {
            Err(not_a_directory(item(), path))
        }
    }
}

/// An absolute path without `.`, `..` and empty parts; `/` alone is the root.
fn require_path(path: &str, item: impl FnOnce() -> Item) -> Result<(), ManifestError> {
    let sound_part = |part: &str| {
        (1..=limits::FILE_NAME_BYTES).contains(&part.len())
            && !matches!(part, "." | "..")
            && !part.contains('\0')
    };
    let sound = path.len() <= limits::TEXT_BYTES
        && path
            .strip_prefix('/')
            .is_some_and(|rest| rest.is_empty() || rest.split('/').all(sound_part));
    if sound {
        Ok(())
    } else {
        Err(ManifestError::BadPath {
            item: item(),
            path: path.to_string(),
        })
    }
}
