//! Projects made by `sos new` compile and pack as they are, and pass the tests that they come with.

use std::path::{Path, PathBuf};
use std::process::Command;

use sos::project::Template;
use sos_core::image::blob_hash;

/// Makes a project and packs it as it is.
fn pack(folder: &Path, template: Template) -> PathBuf {
    let project = folder.join("greeter");
    sos::project::create(&project, template).unwrap();
    let image = sos::image::from_manifest(&project.join("sos.toml"))
        .unwrap_or_else(|error| panic!("{template:?}: {error:#}"));
    let greeter = image.manifest.instance("greeter").unwrap();
    let parsed = sos_core::image::Image::parse(&image.bytes).unwrap();
    let module = parsed.blob(&greeter.module).unwrap();
    assert!(module.starts_with(b"\0asm"));
    assert_eq!(blob_hash(module), greeter.module);
    project
}

/// Runs a project's own tests on this machine.
fn test(project: &Path) {
    let target = std::env::var_os("CARGO_TARGET_TMPDIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| project.join("target"));
    let output = Command::new(env!("CARGO"))
        .args(["test", "--quiet"])
        .current_dir(project)
        .env("CARGO_TARGET_DIR", target.join("new-project"))
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
fn a_new_project_becomes_an_image_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    test(&pack(folder.path(), Template::Http));
}

#[test]
fn a_new_asynchronous_service_becomes_an_image_and_passes_its_test() {
    let folder = tempfile::tempdir().unwrap();
    test(&pack(folder.path(), Template::Async));
}

#[test]
fn a_new_program_for_wasi_becomes_an_image() {
    let folder = tempfile::tempdir().unwrap();
    pack(folder.path(), Template::Wasi);
}

#[test]
fn a_new_service_in_c_becomes_an_image() {
    let folder = tempfile::tempdir().unwrap();
    pack(folder.path(), Template::C);
}
