//! Sets of modules on a simulated node: a program in Rust with a library in C, and sets that are refused.

use sos_core::image::RestartPolicy;
use sos_core::machine::Duration;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::ImageBuilder;

/// The library of the example by hand, as those find it who have no clang.
const CRC32: &str = include_str!("../../guests/sums/crc32/crc32.wat");

fn boot(image: ImageBuilder) -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(Duration::from_millis(200));
    cluster
}

/// What the example logs with this library.
fn sums_with(library: &[u8]) -> String {
    let [sums] = sos_tests::guests(["sums"]);
    let image = ImageBuilder::new("sums")
        .instance("sums", sums)
        .library("crc32", library)
        .with(|spec| spec.arguments = vec!["123456789".into(), "hello".into(), String::new()]);
    let mut cluster = boot(image);
    assert_eq!(cluster.state(0, "sums").0, "exited");
    cluster.shell(0, "logs sums")
}

/// The check value of CRC-32/ISO-HDLC, and two more from zlib's `crc32`.
fn assert_sums(logs: &str) {
    for line in ["cbf43926 123456789", "3610a686 hello", "00000000 "] {
        assert!(logs.contains(line), "{line}: {logs}");
    }
}

#[test]
fn a_rust_program_uses_a_library_written_by_hand() {
    assert_sums(&sums_with(CRC32.as_bytes()));
}

#[test]
fn a_rust_program_uses_a_library_in_c() {
    let source = sos::paths::workspace()
        .expect("the workspace")
        .join("guests/sums/crc32/crc32.c");
    sos::setup::ensure_clang().unwrap_or_else(|error| panic!("clang: {error:#}"));
    let module = sos::build::c_library(&source).unwrap_or_else(|error| panic!("{error:#}"));
    let module = std::fs::read(module).expect("the library");
    assert_sums(&sums_with(&module));
}

#[test]
fn a_set_that_cannot_be_linked_fails_by_name_and_leaves_the_others_alone() {
    let main = r#"(module (import "lib" "f" (func $f)) (func (export "_start") (call $f)))"#;
    let circle =
        |from: &str| format!(r#"(module (import "{from}" "f" (func)) (func (export "f")))"#);
    let image = ImageBuilder::new("refused")
        .instance("missing", main)
        .instance("typed", main)
        .library("lib", r#"(module (func (export "f") (param i32)))"#)
        .instance("circle", main)
        .library("lib", circle("other"))
        .library("other", circle("lib"))
        .instance("sound", main)
        .library("lib", r#"(module (func (export "f")))"#);
    let mut cluster = boot(image);
    for (name, words) in [
        ("missing", "there is no module 'lib'"),
        ("typed", "'lib' exports a function (i32) -> ()"),
        ("circle", "in a circle: lib -> other -> lib"),
    ] {
        let (state, detail) = cluster.state(0, name);
        assert_eq!(state, "failed", "{name}");
        assert!(detail.contains(words), "{name}: {detail}");
    }
    assert_eq!(cluster.state(0, "sound").0, "exited");
}

#[test]
fn a_trap_in_a_library_is_reported_with_its_module() {
    let main = r#"(module (import "lib" "f" (func $f)) (func (export "_start") (call $f)))"#;
    let lib = r#"(module (func (export "f") (call $broken)) (func $broken unreachable))"#;
    let image = ImageBuilder::new("traps")
        .instance("traps", main)
        .library("lib", lib);
    let mut cluster = boot(image);
    let (state, detail) = cluster.state(0, "traps");
    assert_eq!(state, "trapped");
    assert!(detail.contains("of module 'lib'"), "{detail}");
    let info = cluster.shell(0, "info traps");
    assert!(info.contains("library      lib (lib.wasm)"), "{info}");
}

#[test]
fn a_set_is_translated_once_for_all_instances_that_have_it() {
    let main = r#"(module (import "lib" "f" (func $f)) (func (export "_start") (call $f)))"#;
    let lib = r#"(module (func (export "f")))"#;
    let other = r#"(module (func (export "f")) (memory 1))"#;
    let mut image = ImageBuilder::new("shared");
    for name in ["a", "b"] {
        image = image
            .instance(name, main)
            .library("lib", lib)
            .with(|spec| spec.restart = RestartPolicy::Always);
    }
    let image = image.instance("c", main).library("lib", other);
    let mut cluster = boot(image);
    let bytes = |cluster: &mut Cluster, name: &str| {
        let detail = cluster.json(0, &format!("info {name} --json"));
        detail["module_bytes"].as_u64().expect("a length")
    };
    let (a, b) = (bytes(&mut cluster, "a"), bytes(&mut cluster, "b"));
    assert_eq!(a, b);
    assert!(
        bytes(&mut cluster, "c") > a,
        "the bytes of all modules of the set"
    );
    cluster.run_for(Duration::from_secs(5));
    for name in ["a", "b", "c"] {
        assert_ne!(cluster.state(0, name).0, "failed");
    }
}
