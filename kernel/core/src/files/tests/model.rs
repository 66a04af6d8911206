//! Random operations against a model: paths in a map, files as plain vectors.

use super::random::Random;
use super::*;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const STEPS: u32 = 6000;

/// What a path names in the model.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Directory,
    File(usize),
    Link(String),
}

/// Paths without dots and links on the way.
#[derive(Default)]
struct Model {
    items: BTreeMap<String, Item>,
    files: Vec<Vec<u8>>,
}

fn parent(path: &str) -> &str {
    path.rfind('/').map_or("", |slash| &path[..slash])
}

impl Model {
    /// What is wrong with the way to `path`, if anything is.
    fn way(&self, path: &str) -> Result<(), FileError> {
        let slashes = path.match_indices('/').map(|(at, _)| at);
        for end in slashes {
            match self.items.get(&path[..end]) {
                Some(Item::Directory) => {}
                Some(Item::File(_)) => return Err(FileError::NotDirectory),
                // Texts of links name nothing.
                Some(Item::Link(_)) | None => return Err(FileError::NotFound),
            }
        }
        Ok(())
    }

    fn get(&self, path: &str) -> Result<Option<&Item>, FileError> {
        self.way(path)?;
        Ok(self.items.get(path))
    }

    fn below(&self, path: &str) -> Vec<String> {
        let prefix = format!("{path}/");
        let inside = self.items.keys().filter(|key| key.starts_with(&prefix));
        inside.cloned().collect()
    }

    fn add(&mut self, path: &str, item: Item) -> Result<(), FileError> {
        if self.get(path)?.is_some() {
            return Err(FileError::Exists);
        }
        self.items.insert(path.to_string(), item);
        Ok(())
    }

    fn create_file(&mut self, path: &str) -> Result<(), FileError> {
        self.files.push(Vec::new());
        self.add(path, Item::File(self.files.len() - 1))
    }

    fn remove_directory(&mut self, path: &str) -> Result<(), FileError> {
        match self.get(path)? {
            None => Err(FileError::NotFound),
            Some(Item::Directory) if !self.below(path).is_empty() => Err(FileError::NotEmpty),
            Some(Item::Directory) => {
                self.items.remove(path);
                Ok(())
            }
            Some(_) => Err(FileError::NotDirectory),
        }
    }

    fn unlink(&mut self, path: &str) -> Result<(), FileError> {
        match self.get(path)? {
            None => Err(FileError::NotFound),
            Some(Item::Directory) => Err(FileError::IsDirectory),
            Some(_) => {
                self.items.remove(path);
                Ok(())
            }
        }
    }

    fn link(&mut self, path: &str, new: &str) -> Result<(), FileError> {
        let item = self.get(path)?.ok_or(FileError::NotFound)?.clone();
        if self.get(new)?.is_some() {
            return Err(FileError::Exists);
        }
        if item == Item::Directory {
            return Err(FileError::NotPermitted);
        }
        self.add(new, item)
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<(), FileError> {
        let found = self.get(old)?.cloned();
        let replaced = self.get(new)?.cloned();
        let item = found.ok_or(FileError::NotFound)?;
        if item == Item::Directory && parent(new).starts_with(old) {
            let inside =
                parent(new).len() == old.len() || parent(new).as_bytes()[old.len()] == b'/';
            if inside {
                return Err(FileError::InvalidArgument);
            }
        }
        if old == new || (replaced.as_ref() == Some(&item) && matches!(item, Item::File(_))) {
            return Ok(());
        }
        if old.starts_with(&format!("{new}/")) {
            return Err(FileError::NotEmpty);
        }
        match (&item, &replaced) {
            (Item::Directory, Some(Item::Directory)) if !self.below(new).is_empty() => {
                return Err(FileError::NotEmpty);
            }
            (Item::Directory, None | Some(Item::Directory)) => {}
            (Item::Directory, Some(_)) => return Err(FileError::NotDirectory),
            (_, Some(Item::Directory)) => return Err(FileError::IsDirectory),
            (_, _) => {}
        }
        for key in self.below(old) {
            let moved = self.items.remove(&key).unwrap();
            self.items
                .insert(format!("{new}{}", &key[old.len()..]), moved);
        }
        self.items.remove(old);
        self.items.insert(new.to_string(), item);
        Ok(())
    }

    /// The bytes of the file at `path`, to be changed.
    fn file(&mut self, path: &str) -> Option<&mut Vec<u8>> {
        match self.get(path) {
            Ok(Some(&Item::File(index))) => Some(&mut self.files[index]),
            _ => None,
        }
    }
}

/// Everything below the root, by path, with bytes, texts and numbers of names.
fn contents(files: &mut FileSystem) -> BTreeMap<String, (Item, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![(ROOT, String::new())];
    while let Some((directory, path)) = waiting.pop() {
        let entries: Vec<_> = files
            .read_directory(directory, 2, 1)
            .unwrap()
            .map(|entry| (entry.inode, entry.kind, format!("{path}/{}", entry.name)))
            .collect();
        for (inode, kind, path) in entries {
            let key = path[1..].to_string();
            let value = match kind {
                FileKind::Directory => {
                    waiting.push((inode, path));
                    (Item::Directory, vec![])
                }
                FileKind::File => {
                    let bytes = get(files, &key).unwrap();
                    (Item::File(0), bytes)
                }
                FileKind::SymbolicLink => {
                    let text = files.read_link(ROOT, key.as_bytes(), 1).unwrap();
                    (Item::Link(text.to_string()), vec![])
                }
            };
            found.insert(key, value);
        }
    }
    found
}

fn compare(files: &mut FileSystem, model: &Model, seed: u64, step: u32) {
    let expected: BTreeMap<_, _> = model
        .items
        .iter()
        .map(|(path, item)| {
            let value = match item {
                Item::File(index) => (Item::File(0), model.files[*index].clone()),
                other => (other.clone(), vec![]),
            };
            (path.clone(), value)
        })
        .collect();
    assert_eq!(contents(files), expected, "seed {seed}, step {step}");
    assert_eq!(files.usage().files as usize, model.items.len());
}

/// A write, a new length or a read at the same place in both.
fn touch_bytes(files: &mut FileSystem, model: &mut Model, path: &str, random: &mut Random) {
    let Some(bytes) = model.file(path) else {
        return;
    };
    let inode = files
        .lookup(ROOT, path.as_bytes(), Follow::NoFollow)
        .unwrap();
    let offset = random.below(20_000) as usize;
    let length = random.below(9000) as usize;
    match random.below(4) {
        0 => {
            files.set_size(inode, offset as u64, 2).unwrap();
            bytes.resize(offset, 0);
        }
        1 => {
            let mut read = vec![0xEE; length];
            let count = files.read_at(inode, offset as u64, &mut read, 2).unwrap();
            let start = offset.min(bytes.len());
            let end = bytes.len().min(offset + length).max(start);
            assert_eq!(read[..count], bytes[start..end]);
        }
        kind => {
            let value = random.below(255) as u8 + 1;
            let offset = if kind == 2 { offset } else { bytes.len() };
            let written = files.write_at(inode, offset as u64, &vec![value; length], 2);
            assert_eq!(written, Ok(length));
            if length > 0 && bytes.len() < offset + length {
                bytes.resize(offset + length, 0);
            }
            bytes[offset.min(offset + length)..][..length].fill(value);
        }
    }
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let limits = FileLimits {
        bytes: u64::MAX,
        files: u32::MAX,
    };
    let mut files = FileSystem::new(limits, 1);
    let mut model = Model::default();
    for step in 0..STEPS {
        let (path, other) = (random.path(&NAMES), random.path(&NAMES));
        let (bytes, other_bytes) = (path.as_bytes(), other.as_bytes());
        let (was, is) = match random.below(9) {
            0 | 1 => (
                files.create_directory(ROOT, bytes, 2).map(|_| ()),
                model.add(&path, Item::Directory),
            ),
            2 => {
                let options = OpenOptions {
                    create: Create::Exclusive,
                    ..CREATE
                };
                let opened = files.open(ROOT, bytes, options, 2);
                opened.iter().for_each(|&inode| files.release(inode));
                (opened.map(|_| ()), model.create_file(&path))
            }
            3 => (
                files.remove_directory(ROOT, bytes, 2),
                model.remove_directory(&path),
            ),
            4 => (files.unlink(ROOT, bytes, 2), model.unlink(&path)),
            5 => (
                files.link(ROOT, bytes, Follow::NoFollow, ROOT, other_bytes, 2),
                model.link(&path, &other),
            ),
            6 => (
                files.rename(ROOT, bytes, ROOT, other_bytes, 2),
                model.rename(&path, &other),
            ),
            7 => (
                files.symbolic_link(b"nowhere", ROOT, bytes, 2).map(|_| ()),
                model.add(&path, Item::Link("nowhere".into())),
            ),
            _ => {
                touch_bytes(&mut files, &mut model, &path, &mut random);
                continue;
            }
        };
        // Two links with one text look like two names of one link to the model.
        let twins = was.is_ok() && is.is_ok();
        assert!(
            was == is || twins,
            "seed {seed}, step {step}: {path} {other}: {was:?} {is:?}"
        );
        if step % 100 == 0 {
            compare(&mut files, &model, seed, step);
        }
    }
    compare(&mut files, &model, seed, STEPS);
    let stored = postcard::to_allocvec(&files).unwrap();
    assert_eq!(postcard::from_bytes::<FileSystem>(&stored).unwrap(), files);
    for path in model.items.keys().rev() {
        let removed = files.unlink(ROOT, path.as_bytes(), 2);
        let removed = removed.or_else(|_| files.remove_directory(ROOT, path.as_bytes(), 2));
        removed.unwrap();
    }
    assert_eq!(files.usage(), FileUsage::default());
}

#[test]
fn random_operations_do_what_the_model_says() {
    for seed in 1..=4 {
        run(seed);
    }
}
