//! From a manifest to a boot image: builds or reads modules and files, names them by hash, packs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sos_core::image::{self, BlobBytes, FileContent, HealthCheck, Image, Manifest, blob_hash};
use sos_core::instance::engine::{self, Engine, Source};

use crate::build::{self, Workspace};
use crate::manifest::{self, Draft, FileSource, Placement};

/// A boot image and what it runs.
#[derive(Clone, Debug)]
pub struct BootImage {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// The manifest inside.
    pub manifest: Manifest,
    /// On which nodes of several its instances start. Known of a manifest's file only: an image is for one node.
    pub placements: Vec<Placement>,
}

impl BootImage {
    /// Writes the image to `path`, at once or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        BootImage::write_bytes(&self.bytes, path)
    }

    /// Writes a boot module to `path`, at once or not at all.
    pub fn write_bytes(bytes: &[u8], path: &Path) -> Result<()> {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)
            .with_context(|| format!("make the folder {}", folder.display()))?;
        let context = || format!("write the image {}", path.display());
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(context)?;
        std::io::Write::write_all(&mut file, bytes).with_context(context)?;
        file.persist(path).with_context(context)?;
        Ok(())
    }

    /// Reads an image file and checks all of it.
    pub fn read(path: &Path) -> Result<BootImage> {
        let context = || format!("read the image {}", path.display());
        let bytes = std::fs::read(path).with_context(context)?;
        let image = Image::parse(&bytes).with_context(context)?;
        for (hash, _) in image.blobs() {
            image.blob(&hash).with_context(context)?;
        }
        let manifest = image.manifest().clone();
        Ok(BootImage {
            bytes,
            manifest,
            placements: Vec::new(),
        })
    }
}

/// Makes the image of a manifest file, building the guests that it names.
pub fn from_manifest(path: &Path) -> Result<BootImage> {
    from_draft(manifest::read(path)?)
}

/// Makes the image of a manifest given as text; its relative paths start at `folder`.
pub fn from_text(text: &str, folder: &Path) -> Result<BootImage> {
    from_draft(manifest::parse(text, "manifest", folder)?)
}

/// Makes the image of a manifest, of modules given by the names that it uses, and of contents given
/// by instance and path.
pub fn from_parts(
    mut manifest: Manifest,
    modules: &BTreeMap<&str, Vec<u8>>,
    files: &BTreeMap<(String, String), Vec<u8>>,
) -> Result<BootImage> {
    for instance in &mut manifest.instances {
        let owner = &instance.name;
        let module = |name: &str| match modules.get(name) {
            Some(bytes) => Ok(blob_hash(bytes)),
            None => bail!("no module `{name}` for instance `{owner}`"),
        };
        instance.module = module(&instance.module_name)?;
        for library in &mut instance.libraries {
            library.module = module(&library.module_name)?;
        }
        for file in &mut instance.files {
            if let FileContent::Blob(hash) = &mut file.content {
                let key = (owner.clone(), file.path.clone());
                let Some(bytes) = files.get(&key) else {
                    bail!("no content for file `{}` of instance `{owner}`", file.path);
                };
                *hash = blob_hash(bytes);
            }
        }
    }
    let blobs: Vec<&[u8]> = modules
        .values()
        .chain(files.values())
        .map(Vec::as_slice)
        .collect();
    let bytes = image::encode(&manifest, &blobs).context("pack the image")?;
    Ok(BootImage {
        bytes,
        manifest,
        placements: Vec::new(),
    })
}

/// Translates and links the modules of every instance as a node does, so that what a node would refuse is
/// found before it is started.
pub fn check(image: &BootImage) -> Result<()> {
    let parsed = Image::parse(&image.bytes)?;
    let engine = Engine::new();
    let mut checked = BTreeSet::new();
    for instance in &parsed.manifest().instances {
        let libraries = instance.libraries.iter();
        let libraries = libraries.map(|it| (&*it.name, it.module, &*it.module_name));
        let main = (engine::MAIN, instance.module, &*instance.module_name);
        let set: Vec<_> = [main].into_iter().chain(libraries).collect();
        if !checked.insert(set.clone()) {
            continue;
        }
        let mut sources = Vec::new();
        for (name, hash, file) in set {
            sources.push(Source {
                name: name.into(),
                file: file.into(),
                bytes: BlobBytes::Held(parsed.blob(&hash)?.into()),
            });
        }
        if let Err(error) = engine.load(sources) {
            bail!("instance `{}`: {error}", instance.name);
        }
    }
    Ok(())
}

/// Builds the guests that a manifest file names and returns the files of all its modules.
pub fn modules_of(path: &Path) -> Result<Vec<PathBuf>> {
    Ok(module_files(&manifest::read(path)?)?
        .into_values()
        .collect())
}

fn from_draft(draft: Draft) -> Result<BootImage> {
    let mut modules = BTreeMap::new();
    for (name, file) in module_files(&draft)? {
        modules.insert(name, read_module(&file)?);
    }
    let mut files = BTreeMap::new();
    for (key, source) in &draft.files {
        let bytes = match source {
            FileSource::Text(text) => text.clone().into_bytes(),
            FileSource::Host(path) => std::fs::read(path).with_context(|| {
                format!(
                    "read {} for `{}` of instance `{}`",
                    path.display(),
                    key.1,
                    key.0
                )
            })?,
        };
        files.insert(key.clone(), bytes);
    }
    let image = from_parts(draft.manifest.clone(), &modules, &files)?;
    Ok(BootImage {
        placements: draft.placements.clone(),
        ..image
    })
}

/// What a module is to its set.
#[derive(Clone, Copy)]
enum Role {
    Program,
    Library,
}

/// Where the file of each module lies, once the guests among them are built.
fn module_files(draft: &Draft) -> Result<BTreeMap<&str, PathBuf>> {
    let mut files = BTreeMap::new();
    let mut own = Vec::new();
    let mut of_sos = Vec::new();
    let mut workspace = None;
    let instances = draft.manifest.instances.iter();
    let names = instances.flat_map(|instance| {
        let libraries = instance.libraries.iter();
        let libraries = libraries.map(|library| (library.module_name.as_str(), Role::Library));
        [(instance.module_name.as_str(), Role::Program)]
            .into_iter()
            .chain(libraries)
    });
    for (name, role) in names {
        if files.contains_key(name) {
            continue;
        }
        if name.ends_with(build::C_SOURCE) {
            let source = draft.folder.join(name);
            let file = match role {
                Role::Program => build::c_service(&source)?,
                Role::Library => build::c_library(&source)?,
            };
            files.insert(name, file);
            continue;
        }
        if is_path(name) {
            files.insert(name, draft.folder.join(name));
            continue;
        }
        if workspace.is_none() {
            workspace = Some(Workspace::around(&draft.folder)?);
        }
        let around = workspace.as_ref().and_then(Option::as_ref);
        let list = match around {
            Some(project) if !project.is_sos() && project.guest(name).is_some() => &mut own,
            _ => &mut of_sos,
        };
        if !list.contains(&name) {
            list.push(name);
        }
    }
    if let Some(project) = workspace.flatten() {
        files.extend(own.iter().copied().zip(build::guest_in(&project, &own)?));
    }
    files.extend(of_sos.iter().copied().zip(build::guests(&of_sos)?));
    Ok(files)
}

fn is_path(module: &str) -> bool {
    module.contains('/') || module.ends_with(".wasm") || module.ends_with(".wat")
}

/// Reads a module file; text is turned into the binary form.
fn read_module(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("read module {}", path.display()))?;
    let bytes = wat::parse_bytes(&bytes)
        .with_context(|| format!("translate module {}", path.display()))?
        .into_owned();
    if !bytes.starts_with(b"\0asm\x01\0\0\0") {
        bail!(
            "{} is no WebAssembly module: compile it for wasm32",
            path.display()
        );
    }
    Ok(bytes)
}

/// What an image holds, for people.
pub fn describe(image: &BootImage) -> Result<String> {
    let parsed = Image::parse(&image.bytes)?;
    let manifest = parsed.manifest();
    let mut text = String::new();
    writeln!(
        text,
        "image    {} ({} bytes)",
        manifest.name,
        image.bytes.len()
    )?;
    for (hash, bytes) in parsed.blobs() {
        let uses = uses_of(manifest, &hash).join(", ");
        writeln!(text, "blob     {hash:#}… {bytes:>9} bytes, {uses}")?;
    }
    for switch in &manifest.switches {
        let uplink = switch.uplink.as_deref().unwrap_or("none");
        writeln!(text, "switch   {:<12} uplink {uplink}", switch.name)?;
    }
    for link in &manifest.links {
        writeln!(text, "link     {}", link.name)?;
    }
    for instance in &manifest.instances {
        writeln!(
            text,
            "instance {:<12} module {}, memory {} KiB, restart {}",
            instance.name,
            instance.module_name,
            instance.limits.memory_bytes / 1024,
            instance.restart
        )?;
        for library in &instance.libraries {
            let (name, module) = (&library.name, &library.module_name);
            writeln!(text, "  library {name:<12} module {module}")?;
        }
        for file in &instance.files {
            match &file.content {
                FileContent::Blob(hash) => writeln!(text, "  file    {} {hash:#}…", file.path)?,
                FileContent::Directory => writeln!(text, "  folder  {}", file.path)?,
                FileContent::SymbolicLink(target) => {
                    writeln!(text, "  link    {} -> {target}", file.path)?;
                }
            }
        }
        for listener in &instance.listeners {
            let address = listener.address.map_or("*".into(), |it| it.to_string());
            writeln!(text, "  listens {address}:{}", listener.port)?;
        }
        if let Some(health) = &instance.health {
            let (most, interval) = (health.failures, health.interval_ms);
            let what = match &health.check {
                HealthCheck::Tcp { port } => format!("tcp on {port}"),
                HealthCheck::Http { port, path } => format!("http on {port} {path}"),
            };
            writeln!(
                text,
                "  health  {what} every {interval} ms, {most} failures"
            )?;
        }
        for port in &instance.ports {
            writeln!(
                text,
                "  port    {:<12} on {}",
                port.name,
                port.attach.segment().unwrap_or("nothing")
            )?;
        }
    }
    for forward in &manifest.forwards {
        let (instance, port) = (&forward.instance, forward.instance_port);
        let (host, protocol) = (forward.host_port, forward.protocol);
        writeln!(text, "forward  {host}/{protocol} to {instance}:{port}")?;
    }
    Ok(text)
}

/// Who runs a module or has a file with this content.
fn uses_of(manifest: &Manifest, hash: &image::BlobHash) -> Vec<String> {
    let mut uses = Vec::new();
    for instance in &manifest.instances {
        let name = &instance.name;
        if instance.module == *hash {
            uses.push(format!("run by {name}"));
        }
        let libraries = instance.libraries.iter();
        let libraries = libraries.filter(|library| library.module == *hash);
        uses.extend(libraries.map(|library| format!("library {} of {name}", library.name)));
        let files = instance.files.iter();
        let files = files.filter(|file| file.content == FileContent::Blob(*hash));
        uses.extend(files.map(|file| format!("{name}:{}", file.path)));
    }
    uses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_in_text_form_is_packed_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("nothing.wat"), "(module)").unwrap();
        let text = "name = \"one\"\n[instance.a]\nmodule = \"nothing.wat\"\n";
        let image = from_text(text, folder.path()).unwrap();
        let file = folder.path().join("sub/one.sosimg");
        image.write(&file).unwrap();
        let read = BootImage::read(&file).unwrap();
        assert_eq!(
            (&read.bytes, &read.manifest),
            (&image.bytes, &image.manifest)
        );
        assert!(describe(&read).unwrap().contains("run by a"));
    }

    #[test]
    fn a_corrupt_module_in_an_image_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("nothing.wat"), "(module)").unwrap();
        let text = "name = \"one\"\n[instance.a]\nmodule = \"nothing.wat\"\n";
        let mut image = from_text(text, folder.path()).unwrap();
        *image.bytes.last_mut().unwrap() ^= 1;
        let file = folder.path().join("one.sosimg");
        image.write(&file).unwrap();
        let error = format!("{:#}", BootImage::read(&file).unwrap_err());
        assert!(
            error.contains("one.sosimg") && error.contains("corrupt"),
            "{error}"
        );
    }

    #[test]
    fn libraries_and_files_are_packed_once_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("nothing.wat"), "(module)").unwrap();
        std::fs::write(folder.path().join("motd.txt"), "hello").unwrap();
        let text = r#"
            name = "one"
            [instance.a]
            module = "nothing.wat"
            libraries = { empty = "nothing.wat" }
            listen = [":80"]
            files = { "/motd" = "motd.txt", "/copy" = { text = "hello" }, "/l" = { symlink = "motd" } }
        "#;
        let image = from_text(text, folder.path()).unwrap();
        let described = describe(&image).unwrap();
        assert_eq!(described.matches("\nblob ").count(), 2, "{described}");
        for words in [
            "run by a, library empty of a",
            "a:/motd, a:/copy",
            "/l -> motd",
            "listens *:80",
        ] {
            assert!(described.contains(words), "{words}: {described}");
        }
    }

    #[test]
    fn what_a_node_would_refuse_to_link_is_found_before() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("lib.wat", r#"(module (func (export "twice") (param i32)))"#);
        let main = |import: &str| {
            write(
                "main.wat",
                &format!(r#"(module (import "lib" {import}) (func (export "_start")))"#),
            );
            let text = "name = \"one\"\n[instance.a]\nmodule = \"main.wat\"\nlibraries = { lib = \"lib.wat\" }\n";
            check(&from_text(text, folder.path()).unwrap()).map_err(|error| error.to_string())
        };
        assert_eq!(main(r#""twice" (func (param i32))"#), Ok(()));
        let error = main(r#""twice" (func)"#).unwrap_err();
        assert!(error.contains("instance `a`: module 'main.wat'"), "{error}");
        assert!(error.contains("as a function () -> ()"), "{error}");
        let error = main(r#""twcie" (func)"#).unwrap_err();
        assert!(error.contains("near it are twice"), "{error}");
    }

    #[test]
    fn missing_and_foreign_modules_are_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("foreign.wasm"), b"\x7fELF").unwrap();
        for (module, words) in [("gone.wasm", "gone.wasm"), ("foreign.wasm", "foreign.wasm")] {
            let text = format!("name = \"one\"\n[instance.a]\nmodule = \"{module}\"\n");
            let error = format!("{:#}", from_text(&text, folder.path()).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
