//! What an image says of an instance's program: libraries, files, environment, listeners, health.

use super::*;

const LIBRARY: &[u8] = b"\0asm\x01\0\0\0 library";
const MOTD: &[u8] = b"welcome\n";

fn file(path: &str, content: FileContent) -> FileSpec {
    FileSpec {
        path: path.to_string(),
        content,
    }
}

fn preopen(name: &str, directory: &str) -> PreopenSpec {
    PreopenSpec {
        name: name.to_string(),
        directory: directory.to_string(),
    }
}

/// The demo in which `web` uses everything that a program can be given.
fn manifest() -> Manifest {
    let mut manifest = demo();
    let web = &mut manifest.instances[0];
    web.libraries = vec![LibrarySpec {
        name: "zip".to_string(),
        module: blob_hash(LIBRARY),
        module_name: "zip.wasm".to_string(),
    }];
    web.environment = vec![("RUST_LOG".to_string(), "info".to_string())];
    web.files = vec![
        file("/etc/motd", FileContent::Blob(blob_hash(MOTD))),
        file("/etc/issue", FileContent::SymbolicLink("motd".to_string())),
        file("/var", FileContent::Directory),
    ];
    web.preopens = vec![preopen("/", "/"), preopen(".", "/work")];
    web.listeners = vec![ListenerSpec {
        address: None,
        port: 8080,
    }];
    web.health = Some(HealthSpec {
        check: HealthCheck::Http {
            port: 80,
            path: "/health".to_string(),
        },
        interval_ms: 5000,
        timeout_ms: 1000,
        failures: 3,
        grace_ms: 0,
    });
    manifest
}

pub(super) fn image() -> Vec<u8> {
    encode(&manifest(), &[WEB_MODULE, STORE_MODULE, LIBRARY, MOTD]).unwrap()
}

/// Applies `change` to the instance `web` and returns what `validate` says.
fn refusal(change: impl FnOnce(&mut InstanceSpec)) -> String {
    let mut manifest = manifest();
    change(&mut manifest.instances[0]);
    manifest.validate().unwrap_err().to_string()
}

#[test]
fn a_program_with_all_it_can_have_survives_the_round_trip() {
    let bytes = image();
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(*image.manifest(), manifest());
    assert_eq!(image.blobs().count(), 4);
    assert_eq!(image.blob(&blob_hash(MOTD)), Ok(MOTD));
}

#[test]
fn libraries_and_files_that_the_image_lacks_are_named() {
    let missing = |blobs: &[&[u8]]| encode(&manifest(), blobs).unwrap_err().to_string();
    let error = missing(&[WEB_MODULE, STORE_MODULE, MOTD]);
    assert!(error.contains("`web` runs module `zip.wasm`"), "{error}");
    let error = missing(&[WEB_MODULE, STORE_MODULE, LIBRARY]);
    assert!(error.contains("file `/etc/motd`"), "{error}");
}

#[test]
fn unsound_libraries_are_refused() {
    for name in ["main", "sos", "wasi_snapshot_preview1"] {
        let error = refusal(|web| web.libraries[0].name = name.to_string());
        assert!(
            error.contains(&alloc::format!("library `{name}` of instance `web`")),
            "{error}"
        );
        assert!(error.contains("choose another"), "{error}");
    }
    for name in ["", "a b", &"z".repeat(limits::NAME_BYTES + 1)] {
        let error = refusal(|web| web.libraries[0].name = name.to_string());
        assert!(error.contains("unusable name"), "{name}: {error}");
    }
    assert!(refusal(|web| web.libraries.push(web.libraries[0].clone())).contains("taken"));
    let many = |web: &mut InstanceSpec| {
        let one = web.libraries[0].clone();
        web.libraries = (0..=limits::LIBRARIES)
            .map(|number| LibrarySpec {
                name: alloc::format!("l{number}"),
                ..one.clone()
            })
            .collect();
    };
    assert!(refusal(many).contains("too many libraries"));
}

#[test]
fn unsound_paths_are_refused() {
    let long = alloc::format!("/{}", "a".repeat(limits::FILE_NAME_BYTES + 1));
    for path in [
        "", "etc", "/etc/", "//etc", "/./a", "/a/../b", "/..", "/a\0b", &long,
    ] {
        let error = refusal(|web| web.files[0].path = path.to_string());
        assert!(error.contains("write an absolute one"), "{path}: {error}");
        let error = refusal(|web| web.preopens[1].directory = path.to_string());
        assert!(error.contains("write an absolute one"), "{path}: {error}");
    }
    assert!(refusal(|web| web.files.push(web.files[0].clone())).contains("taken"));
}

#[test]
fn a_file_where_a_directory_is_needed_is_refused() {
    let below = |path: &str| refusal(|web| web.files.push(file(path, FileContent::Directory)));
    assert!(below("/etc/motd/today").contains("needs the directory `/etc/motd`"));
    assert!(below("/etc/issue/a/b").contains("needs the directory `/etc/issue`"));
    let error = refusal(|web| web.preopens[1].directory = "/etc/motd".to_string());
    assert!(error.contains("preopened `.`"), "{error}");
    let error = refusal(|web| web.files[0].path = "/".to_string());
    assert!(error.contains("needs the directory `/`"), "{error}");

    let mut sound = manifest();
    sound.instances[0]
        .files
        .push(file("/", FileContent::Directory));
    sound.validate().unwrap();
}

#[test]
fn directories_that_are_implied_count_as_files() {
    let mut sound = manifest();
    // /etc, /etc/motd, /etc/issue, /var, /work
    sound.instances[0].limits.files = 5;
    sound.validate().unwrap();
    let error = refusal(|web| web.limits.files = 4);
    assert!(error.contains("at most 4"), "{error}");
}

#[test]
fn unsound_links_environment_and_preopens_are_refused() {
    let link = FileContent::SymbolicLink(String::new());
    assert!(refusal(|web| web.files[1].content = link).contains("unusable link"));
    for key in ["", "A=B", "A\0"] {
        let error = refusal(|web| web.environment[0].0 = key.to_string());
        assert!(error.contains("unusable key"), "{error}");
    }
    assert!(refusal(|web| web.environment[0].1 = "a\0".to_string()).contains("unusable value"));
    assert!(refusal(|web| web.environment.push(web.environment[0].clone())).contains("taken"));
    assert!(refusal(|web| web.preopens[1].name = "/".to_string()).contains("taken"));
    assert!(refusal(|web| web.preopens[1].name = String::new()).contains("unusable name"));
}

#[test]
fn unsound_listeners_are_refused() {
    let listeners = |list: &[(Option<[u8; 4]>, u16)]| {
        refusal(|web| {
            let list = list.iter().map(|&(address, port)| ListenerSpec {
                address: address.map(IpAddr::from),
                port,
            });
            web.listeners = list.collect();
        })
    };
    assert!(listeners(&[(None, 0)]).contains("unusable port"));
    let own = Some([10, 1, 0, 1]);
    assert!(listeners(&[(None, 80), (own, 80)]).contains("another listener"));
    assert!(listeners(&[(own, 80), (own, 80)]).contains("another listener"));
    assert!(listeners(&[(Some([224, 0, 0, 1]), 80)]).contains("single host"));
    // Guests have no loopback interface.
    assert!(listeners(&[(Some([127, 0, 0, 1]), 80)]).contains("single host"));
    let error = refusal(|web| web.limits.sockets = 0);
    assert!(error.contains("too many listeners"), "{error}");
}

#[test]
fn unsound_health_checks_are_refused() {
    let health =
        |change: &dyn Fn(&mut HealthSpec)| refusal(|web| change(web.health.as_mut().unwrap()));
    assert!(health(&|it| it.interval_ms = 0).contains("`interval` out of range"));
    assert!(health(&|it| it.timeout_ms = u32::MAX).contains("`timeout` out of range"));
    assert!(health(&|it| it.failures = 0).contains("`failures` out of range"));
    assert!(health(&|it| it.check = HealthCheck::Tcp { port: 0 }).contains("`port` out of range"));
    for path in ["", "health", "/a b", "/a\r\nX: y"] {
        let path = path.to_string();
        let check = HealthCheck::Http { port: 80, path };
        let error = health(&|it| it.check = check.clone());
        assert!(error.contains("unusable path"), "{error}");
    }
}

#[test]
fn an_error_leads_to_the_entry_of_a_file_or_library() {
    let mut manifest = manifest();
    manifest.instances[0].files[0].path = "/etc/../motd".to_string();
    let error = manifest.validate().unwrap_err();
    assert_eq!(
        error.path(),
        (vec!["instance", "web", "files", "/etc/../motd"], None)
    );
    let mut manifest = super::program::manifest();
    manifest.instances[0].libraries[0].name = "main".to_string();
    let error = manifest.validate().unwrap_err();
    assert_eq!(
        error.path(),
        (vec!["instance", "web", "libraries", "main"], None)
    );
}
