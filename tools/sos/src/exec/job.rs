//! What shall run: the program, what it is given, and where that comes from on the host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sos_core::image::{
    AddressSpec, Attachment, BlobHash, InstanceSpec, LibrarySpec, ListenerSpec, PortSpec, blob_hash,
};
use sos_core::limits;

use super::files_in;
use super::nodes::SWITCH;

/// Value stack of a program that is run: what ordinary programs have elsewhere.
const STACK_BYTES: u64 = 8 << 20;
/// Nesting of calls of a program that is run.
const CALL_DEPTH: u64 = 100_000;
/// Bytes of files that a program may write.
const FILE_BYTES: u64 = 256 << 20;

/// A directory of the host that the program sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedDirectory {
    /// Where it is here.
    pub host: PathBuf,
    /// What the program calls it.
    pub guest: String,
}

/// A program and what it is given.
#[derive(Debug)]
pub struct Job {
    /// The instance that runs it.
    pub spec: InstanceSpec,
    /// Bytes of its modules and files.
    pub blobs: BTreeMap<BlobHash, Vec<u8>>,
    /// The directories that are copied in and out again.
    pub directories: Vec<Shared>,
}

/// A directory that was copied in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Where it is here.
    pub host: PathBuf,
    /// Where it is in the instance: an absolute path.
    pub inside: String,
}

/// Why a program cannot be run at all, apart from other errors: the statuses differ.
#[derive(Debug)]
pub enum Unusable {
    /// It is not there.
    Missing(anyhow::Error),
    /// It is no program.
    NotWasm(anyhow::Error),
}

impl Job {
    /// Reads a program.
    ///
    /// # Errors
    /// [`Unusable`] says what is wrong with the file.
    pub fn new(program: &Path, arguments: &[String]) -> Result<Job, Unusable> {
        let bytes = read_module(program)?;
        let hash = blob_hash(&bytes);
        let file = program.file_name().unwrap_or(program.as_os_str());
        let file = file.to_string_lossy();
        let mut spec = InstanceSpec::new(&instance_name(&file), hash, &file);
        spec.arguments = arguments.to_vec();
        spec.preopens.clear();
        spec.limits.stack_bytes = STACK_BYTES;
        spec.limits.call_depth = CALL_DEPTH;
        spec.limits.file_bytes = FILE_BYTES;
        Ok(Job {
            spec,
            blobs: [(hash, bytes)].into(),
            directories: Vec::new(),
        })
    }

    /// Adds a variable of the environment, as `NAME=VALUE`, or as `NAME` with the value it has here.
    ///
    /// # Errors
    /// When it has none here.
    pub fn add_variable(&mut self, text: &str) -> Result<()> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.to_string(), value.to_string()),
            None => {
                let value = std::env::var(text);
                let value = value.with_context(|| format!("--env {text}: not set here"))?;
                (text.to_string(), value)
            }
        };
        self.spec.environment.retain(|(known, _)| *known != name);
        self.spec.environment.push((name, value));
        Ok(())
    }

    /// Adds a library module, as `NAME=FILE`.
    ///
    /// # Errors
    /// When the file is no module.
    pub fn add_library(&mut self, text: &str) -> Result<()> {
        let Some((name, file)) = text.split_once('=') else {
            bail!("--library {text}: write NAME=FILE");
        };
        let bytes = read_module(Path::new(file)).map_err(Unusable::into_error)?;
        let module = blob_hash(&bytes);
        self.blobs.insert(module, bytes);
        self.spec.libraries.push(LibrarySpec {
            name: name.to_string(),
            module,
            module_name: file.to_string(),
        });
        Ok(())
    }

    /// Copies a directory in.
    ///
    /// # Errors
    /// When it cannot be read or is too large.
    pub fn add_directory(&mut self, directory: &SharedDirectory) -> Result<()> {
        let others = &self.directories;
        let shared = files_in::add(directory, others, &mut self.spec, &mut self.blobs)?;
        self.directories.push(shared);
        Ok(())
    }

    /// Lets the program find a listening socket open, and gives it a port on the node's switch.
    pub fn add_listener(&mut self, port: u16) {
        let address = None;
        self.spec.listeners.push(ListenerSpec { address, port });
        if self.spec.ports.is_empty() {
            self.spec.ports.push(PortSpec {
                name: "eth0".into(),
                attach: Attachment::Switch(SWITCH.into()),
                mac: None,
                addresses: vec![AddressSpec::Dhcp],
                gateways: Vec::new(),
                dns: Vec::new(),
            });
        }
    }
}

impl Unusable {
    /// The error itself.
    pub fn into_error(self) -> anyhow::Error {
        match self {
            Unusable::Missing(error) | Unusable::NotWasm(error) => error,
        }
    }
}

/// Reads a module file; text is turned into the binary form.
fn read_module(path: &Path) -> Result<Vec<u8>, Unusable> {
    let bytes = std::fs::read(path)
        .with_context(|| format!("read {}", path.display()))
        .map_err(Unusable::Missing)?;
    let binary = wat::parse_bytes(&bytes)
        .with_context(|| format!("{} is no WebAssembly", path.display()))
        .map_err(Unusable::NotWasm)?;
    let refusal = if !binary.starts_with(b"\0asm") {
        "is no WebAssembly: compile it for wasm32-wasip1"
    } else if !binary.starts_with(b"\0asm\x01\0\0\0") {
        "is a WebAssembly component or of another version; SOS runs modules: compile it for \
         wasm32-wasip1"
    } else {
        return Ok(binary.into_owned());
    };
    let error = anyhow::anyhow!("{} {refusal}", path.display());
    Err(Unusable::NotWasm(error))
}

/// A name for the instance in listings, from that of the file.
fn instance_name(file: &str) -> String {
    let stem = file.split('.').next().unwrap_or_default();
    let sound = |character: char| match character.to_ascii_lowercase() {
        character if character.is_ascii_alphanumeric() => character,
        _ => '-',
    };
    let name: String = stem.chars().map(sound).collect();
    let name = &name[..name.len().min(limits::NAME_BYTES)];
    match name.trim_matches('-') {
        "" => "program".to_string(),
        name => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_called_like_their_files() {
        assert_eq!(instance_name("Hello_World.wasm"), "hello-world");
        assert_eq!(instance_name("é.wasm"), "program");
        assert_eq!(instance_name(&"x".repeat(300)).len(), limits::NAME_BYTES);
    }

    #[test]
    fn files_that_are_no_programs_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let gone = Job::new(&folder.path().join("gone.wasm"), &[]).unwrap_err();
        assert!(matches!(gone, Unusable::Missing(_)), "{gone:?}");
        for (bytes, words) in [
            (&b"\x7fELF"[..], "no WebAssembly"),
            (b"\0asm\x0d\0\x01\0", "component"),
            (b"(module", "no WebAssembly"),
        ] {
            let file = folder.path().join("file.wasm");
            std::fs::write(&file, bytes).unwrap();
            let error = Job::new(&file, &[]).unwrap_err();
            assert!(matches!(error, Unusable::NotWasm(_)), "{error:?}");
            let text = format!("{:#}", error.into_error());
            assert!(text.contains(words) && text.contains("file.wasm"), "{text}");
        }
    }

    #[test]
    fn a_later_variable_replaces_an_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wat");
        std::fs::write(&file, "(module)").unwrap();
        let mut job = Job::new(&file, &[]).unwrap();
        job.add_variable("A=1").unwrap();
        job.add_variable("B=x=y").unwrap();
        job.add_variable("A=").unwrap();
        let expected = [("B", "x=y"), ("A", "")].map(|(k, v)| (k.to_string(), v.to_string()));
        assert_eq!(job.spec.environment, expected);
        let error = job.add_variable("NOT_SET_ANYWHERE_SURELY").unwrap_err();
        assert!(error.to_string().contains("NOT_SET_ANYWHERE_SURELY"));
    }
}
