//! A project made by `sos new` compiles and packs as it is.

use sos_core::image::blob_hash;

#[test]
fn a_new_project_becomes_an_image_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("greeter");
    sos::project::create(&project).unwrap();
    let image = sos::image::from_manifest(&project.join("sos.toml")).unwrap();
    let greeter = image.manifest.instance("greeter").unwrap();
    let parsed = sos_core::image::Image::parse(&image.bytes).unwrap();
    let module = parsed.blob(&greeter.module).unwrap();
    assert!(module.starts_with(b"\0asm"));
    assert_eq!(blob_hash(module), greeter.module);
}
