//! Programs by the sets of modules that they are made of: translated at their first use, and shared by
//! the instances that have the same set.

use super::{Kernel, admission};
use crate::image::{BlobBytes, BlobHash, InstanceSpec};
use crate::instance::engine::{MAIN, Program, Source};
use crate::machine::Machine;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What makes two sets the same: names and hashes of their modules, the program's first.
type SetKey = Vec<(String, BlobHash)>;

/// All programs of a node.
#[derive(Default)]
pub(super) struct Programs {
    sets: BTreeMap<SetKey, Entry>,
}

struct Entry {
    sources: Vec<Source>,
    compiled: Option<Arc<Program>>,
    translate_nanos: u64,
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

fn set_of(spec: &InstanceSpec) -> SetKey {
    modules(spec)
        .map(|(name, hash, _)| (name.into(), hash))
        .collect()
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
            compiled: None,
            translate_nanos: 0,
        };
        self.programs.sets.insert(set, entry);
        Ok(())
    }

    /// The program of an instance, translated at the first use.
    pub(super) fn program(
        &mut self,
        machine: &dyn Machine,
        key: u32,
    ) -> Result<Arc<Program>, String> {
        let spec = &self.records[key as usize].spec;
        let Some(entry) = self.programs.sets.get_mut(&set_of(spec)) else {
            return Err(
                "a module is missing or corrupt in the image; build the image again".into(),
            );
        };
        if let Some(program) = &entry.compiled {
            return Ok(program.clone());
        }
        admission::translation(machine, &entry.sources).map_err(|refusal| refusal.to_string())?;
        let begin = self.clock.now();
        let program = self
            .engine
            .load(entry.sources.clone())
            .map_err(|error| error.to_string())?;
        entry.translate_nanos = self.clock.now().since(begin).as_nanos() as u64;
        entry.compiled = Some(program.clone());
        Ok(program)
    }

    /// Drops the programs that no instance runs and that have modules which operators sent.
    pub(super) fn forget_unused_translations(&mut self) {
        let records = &self.records;
        self.programs.sets.retain(|set, entry| {
            let mut sources = entry.sources.iter();
            let sent = sources.any(|source| matches!(source.bytes, BlobBytes::Held(_)));
            !sent || records.iter().any(|record| set_of(&record.spec) == *set)
        });
    }
}
