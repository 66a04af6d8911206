//! Files of WASI programs on a simulated node: what the standard library does with them, and what the
//! functions below it promise.

use sos_core::image::{FileContent, FileSpec, PreopenSpec};
use sos_core::machine::Duration;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::ImageBuilder;
use sos_tests::wasi_program;

/// Runs a program to its end and gives its console and how it ended.
fn run(image: ImageBuilder, name: &str) -> (String, (String, String)) {
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    for _ in 0..100 {
        cluster.run_for(Duration::from_millis(100));
        if cluster.state(0, name).0 != "running" {
            break;
        }
    }
    let state = cluster.state(0, name);
    let console = cluster.shell(0, &format!("console {name}"));
    cluster.type_text(0, "\u{1d}");
    let log = cluster.shell(0, &format!("logs {name}"));
    (format!("{console}\n{log}"), state)
}

fn file(path: &str, content: FileContent) -> FileSpec {
    FileSpec {
        path: path.into(),
        content,
    }
}

#[test]
fn the_standard_library_works_on_files() {
    let program = wasi_program("files", include_str!("../programs/rust/std_files.rs"));
    let mut image = ImageBuilder::new("files");
    let motd = image.blob(b"from the image");
    let image = image.instance("files", program).with(|spec| {
        spec.files = vec![
            file("/etc/motd", FileContent::Blob(motd)),
            file("/etc/link", FileContent::SymbolicLink("motd".into())),
            file("/var/empty", FileContent::Directory),
        ];
        spec.preopens = vec![
            PreopenSpec {
                name: "/".into(),
                directory: "/".into(),
            },
            PreopenSpec {
                name: "data".into(),
                directory: "/srv/data".into(),
            },
        ];
    });
    let (console, state) = run(image, "files");
    assert_eq!(state, ("exited".into(), "status 0".into()), "{console}");
    assert!(console.contains("all is well"), "{console}");
}

#[test]
fn the_functions_on_files_keep_their_promises() {
    let program = wasi_program("raw", include_str!("../programs/rust/raw_files.rs"));
    let image = ImageBuilder::new("files").instance("raw", program);
    let (console, state) = run(image, "raw");
    assert_eq!(state, ("exited".into(), "status 0".into()), "{console}");
    assert!(console.contains("all is well"), "{console}");
}

#[test]
fn a_c_library_works_on_files() {
    let module = sos::build::wasi_c_program("files").expect("a program in C");
    let program = std::fs::read(module).expect("its module");
    let image = ImageBuilder::new("files").instance("c", program);
    let (console, state) = run(image, "c");
    assert_eq!(state, ("exited".into(), "status 0".into()), "{console}");
    assert!(console.contains("all is well"), "{console}");
}

#[test]
fn files_that_fill_the_limit_end_in_an_error_and_not_in_a_trap() {
    let program = wasi_program(
        "full",
        r#"
        use std::io::{ErrorKind, Write};
        fn main() {
            let mut file = std::fs::File::create("/big").unwrap();
            let mut written = 0;
            let error = loop {
                match file.write(&[7; 10_000]) {
                    Ok(count) => written += count,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            assert_eq!(written, 1 << 20);
            drop(file);
            std::fs::remove_file("/big").unwrap();
            std::fs::write("/small", "fits again").unwrap();
            let error = (0..).find_map(|n| std::fs::write(format!("/{n}"), "").err());
            assert_eq!(error.unwrap().kind(), ErrorKind::StorageFull);
            println!("all is well");
        }
        "#,
    );
    let image = ImageBuilder::new("files")
        .instance("full", program)
        .with(|spec| {
            spec.limits.file_bytes = 1 << 20;
            spec.limits.files = 50;
        });
    let (console, state) = run(image, "full");
    assert_eq!(state, ("exited".into(), "status 0".into()), "{console}");
    assert!(console.contains("all is well"), "{console}");
}
