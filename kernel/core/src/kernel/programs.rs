//! Programs by the sets of modules that they are made of: translated at their first use, shared by the
//! instances that have the same set, and kept for later ones as long as there is room.

use super::Kernel;
use super::record::{Record, State};
use crate::image::{BlobBytes, BlobHash, InstanceSpec};
use crate::instance::engine::{Loading, MAIN, Program, Source};
use crate::limits;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What makes two sets the same: names and hashes of their modules, the program's first.
pub(super) type SetKey = Vec<(String, BlobHash)>;

/// All programs of a node.
#[derive(Default)]
pub(super) struct Programs {
    sets: BTreeMap<SetKey, Entry>,
    /// Counts uses, to know which program was not used for longest.
    uses: u64,
}

/// A program that instances may run.
pub(super) struct Entry {
    pub sources: Vec<Source>,
    pub translation: Translation,
    /// How long its last translation took, without what ran in between.
    pub translate_nanos: u64,
    last_use: u64,
}

/// How far the translation of a program is.
pub(super) enum Translation {
    No,
    Loading(Box<Loading>),
    /// Done; how many bytes it takes.
    Ready(Arc<Program>, u64),
}

/// Names, hashes and files of the modules of an instance, the program first.
fn modules(spec: &InstanceSpec) -> impl Iterator<Item = (&str, BlobHash, &str)> {
    let libraries = spec.libraries.iter();
    let libraries =
        libraries.map(|library| (&*library.name, library.module, &*library.module_name));
    [(MAIN, spec.module, &*spec.module_name)]
        .into_iter()
        .chain(libraries)
}

pub(super) fn set_of(spec: &InstanceSpec) -> SetKey {
    modules(spec)
        .map(|(name, hash, _)| (name.into(), hash))
        .collect()
}

impl Entry {
    fn translated_bytes(&self) -> u64 {
        match self.translation {
            Translation::Ready(_, bytes) => bytes,
            Translation::No | Translation::Loading(_) => 0,
        }
    }

    /// Whether its translation is there and runs in no instance.
    fn is_unused(&self) -> bool {
        matches!(&self.translation, Translation::Ready(program, _) if Arc::strong_count(program) == 1)
    }

    fn is_sent_by_operator(&self) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|source| matches!(source.bytes, BlobBytes::Held(_)))
    }
}

impl Programs {
    /// Bytes of the modules of an instance.
    pub fn bytes(&self, spec: &InstanceSpec) -> u64 {
        let entry = self.sets.get(&set_of(spec));
        let sources = entry.into_iter().flat_map(|entry| &entry.sources);
        sources.map(|source| source.bytes.len() as u64).sum()
    }

    /// Nanoseconds that their translation took; zero before it.
    pub fn translate_nanos(&self, spec: &InstanceSpec) -> u64 {
        let entry = self.sets.get(&set_of(spec));
        entry.map_or(0, |entry| entry.translate_nanos)
    }

    /// Bytes that their translation takes; zero while there is none.
    pub fn translated_bytes(&self, spec: &InstanceSpec) -> u64 {
        let entry = self.sets.get(&set_of(spec));
        entry.map_or(0, Entry::translated_bytes)
    }

    /// How much of them is translated, in hundredths.
    pub fn percent(&self, spec: &InstanceSpec) -> u64 {
        match self.sets.get(&set_of(spec)).map(|it| &it.translation) {
            None | Some(Translation::No) => 0,
            Some(Translation::Loading(loading)) => {
                loading.done_bytes() as u64 * 100 / loading.of_bytes().max(1) as u64
            }
            Some(Translation::Ready(..)) => 100,
        }
    }

    /// The program of a set.
    pub fn entry(&mut self, set: &SetKey) -> Option<&mut Entry> {
        self.sets.get_mut(set)
    }

    /// The translation of a set, if it is there; it counts as used now.
    pub fn ready(&mut self, set: &SetKey) -> Option<Arc<Program>> {
        self.uses += 1;
        let entry = self.sets.get_mut(set)?;
        entry.last_use = self.uses;
        match &entry.translation {
            Translation::Ready(program, _) => Some(program.clone()),
            Translation::No | Translation::Loading(_) => None,
        }
    }

    /// Whether more is kept than shall be.
    pub fn are_too_many(&self) -> bool {
        let bytes = self.sets.values().map(Entry::translated_bytes);
        bytes.sum::<u64>() > limits::TRANSLATED_BYTES
    }

    /// Drops the unused translation that was not used for longest. Tells whether there was one.
    fn forget_one(&mut self) -> bool {
        let unused = self.sets.values_mut().filter(|entry| entry.is_unused());
        match unused.min_by_key(|entry| entry.last_use) {
            Some(entry) => {
                entry.translation = Translation::No;
                true
            }
            None => false,
        }
    }
}

impl Kernel {
    /// Makes the program of an instance known, which is to be translated at its first use.
    ///
    /// # Errors
    /// In words, when bytes of a module are missing or corrupt.
    pub(super) fn add_program(&mut self, spec: &InstanceSpec) -> Result<(), String> {
        let set = set_of(spec);
        if self.programs.sets.contains_key(&set) {
            return Ok(());
        }
        let sources = modules(spec).map(|(name, hash, file)| {
            Ok(Source {
                name: name.into(),
                file: file.into(),
                bytes: self.blobs.get(&hash)?,
            })
        });
        let entry = Entry {
            sources: sources.collect::<Result<_, String>>()?,
            translation: Translation::No,
            translate_nanos: 0,
            last_use: 0,
        };
        self.programs.sets.insert(set, entry);
        Ok(())
    }

    /// Makes the program of an instance known again if it was forgotten while no record named it. One whose
    /// modules are gone fails to translate.
    pub(super) fn recall_program(&mut self, key: u32) {
        let spec = &self.records[key as usize].spec;
        if !self.programs.sets.contains_key(&set_of(spec)) {
            let spec = spec.clone();
            let _ = self.add_program(&spec);
        }
    }

    /// How many instances run the program of `spec`.
    pub(super) fn instances_of(&self, spec: &InstanceSpec) -> usize {
        let set = set_of(spec);
        let runs =
            |record: &Record| matches!(record.state, State::Live(_)) && set_of(&record.spec) == set;
        self.occupied().filter(|(_, record)| runs(record)).count()
    }

    /// Gives memory back: drops the unused translation that was not used for longest. Tells whether
    /// there was one.
    pub(super) fn forget_translation(&mut self) -> bool {
        let forgotten = self.programs.forget_one();
        // Of a program that an operator sent and no instance names, nothing is kept.
        let records = &self.records;
        self.programs.sets.retain(|set, entry| {
            !matches!(entry.translation, Translation::No)
                || !entry.is_sent_by_operator()
                || records.iter().any(|record| set_of(&record.spec) == *set)
        });
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::engine::Engine;

    /// Programs 0 to 2, translated, used in this order.
    fn three() -> Programs {
        let mut programs = Programs::default();
        let wasm = wat::parse_str(r#"(module (func (export "_start")))"#).unwrap();
        for number in 0..3 {
            let program = Engine::new().compile(&wasm).unwrap();
            let bytes = program.translated_bytes();
            let entry = Entry {
                sources: Vec::new(),
                translation: Translation::Ready(program, bytes),
                translate_nanos: 0,
                last_use: number,
            };
            programs.sets.insert(key(number), entry);
        }
        programs.uses = 3;
        programs
    }

    fn key(number: u64) -> SetKey {
        alloc::vec![(alloc::format!("{number}"), crate::image::blob_hash(&[]))]
    }

    #[test]
    fn the_translation_that_was_unused_for_longest_goes_first() {
        let mut programs = three();
        let used = programs.ready(&key(0)).expect("translated");
        assert!(programs.forget_one());
        assert!(programs.ready(&key(1)).is_none(), "0 was used since");
        assert!(programs.forget_one());
        assert!(programs.ready(&key(2)).is_none());
        assert!(!programs.forget_one(), "an instance runs 0");
        drop(used);
        assert!(programs.forget_one());
        assert!(programs.ready(&key(0)).is_none());
    }
}
