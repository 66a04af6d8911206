//! A manifest file is understood or refused in one line that names its place.

use std::path::Path;

use sos_core::image::{
    AddressSpec, Attachment, Autostart, FileContent, HealthCheck, ListenerSpec, RestartPolicy,
};

use super::*;

const DEMO: &str = r#"
name = "demo"
[switch.lan]
uplink = "nic0"
[link.backend]
[instance.web]
module = "web"
restart = "on-failure"
args = ["-v"]
[instance.web.limits]
memory = "16MiB"
log = 4096
[instance.web.port.eth0]
switch = "lan"
address = ["dhcp", "fd00::2/64"]
[instance.web.port.eth1]
link = "backend"
address = "10.1.0.1/24"
gateway = "10.1.0.2"
mac = "02:00:00:00:00:01"
[instance.web.config]
store = "10.1.0.2:7000"
threads = 4
[instance.store]
module = "./store.wasm"
autostart = false
port.eth0 = { link = "backend", address = "10.1.0.2/24" }
[[forward]]
host = 8080
to = "web:80"
[node]
switch = "lan"
address = "10.0.2.3/24"
peers = ["10.0.2.4:7600"]
"#;

fn draft(text: &str) -> Result<Draft> {
    parse(text, "demo.toml", Path::new("."))
}

/// What is said of the demo in which `from` was replaced by `to`.
fn refusal(from: &str, to: &str) -> String {
    assert!(DEMO.contains(from), "{from}");
    draft(&DEMO.replacen(from, to, 1)).unwrap_err().to_string()
}

#[test]
fn every_key_reaches_its_place() {
    let manifest = draft(DEMO).unwrap().manifest;
    assert_eq!(
        (manifest.name.as_str(), manifest.switches.len()),
        ("demo", 1)
    );
    let web = manifest.instance("web").unwrap();
    assert_eq!(web.restart, RestartPolicy::OnFailure);
    assert_eq!(web.arguments, ["-v"]);
    assert_eq!(
        (web.limits.memory_bytes, web.limits.log_bytes),
        (16 << 20, 4096)
    );
    assert_eq!(web.ports[0].attach, Attachment::Switch("lan".into()));
    assert_eq!(web.ports[0].addresses[0], AddressSpec::Dhcp);
    assert_eq!(web.ports[0].addresses.len(), 2);
    assert_eq!(web.ports[1].mac, Some([2, 0, 0, 0, 0, 1]));
    assert_eq!(
        web.ports[1].gateways,
        ["10.1.0.2".parse::<std::net::IpAddr>().unwrap()]
    );
    let config = [("store", "10.1.0.2:7000"), ("threads", "4")];
    assert_eq!(
        web.config,
        config.map(|(key, value)| (key.to_string(), value.to_string()))
    );
    let store = manifest.instance("store").unwrap();
    assert_eq!(store.autostart, Autostart::Manual);
    assert_eq!(
        (
            manifest.forwards[0].host_port,
            manifest.forwards[0].instance_port
        ),
        (8080, 80)
    );
    let node = manifest.node.unwrap();
    assert_eq!((node.switch.as_str(), node.port), ("lan", 7600));
    assert_eq!(node.peers, ["10.0.2.4:7600".parse().unwrap()]);
    assert_ne!(node.addresses, [AddressSpec::Dhcp]);
}

#[test]
fn instances_keep_the_order_of_the_file() {
    let names: Vec<_> = draft(DEMO).unwrap().manifest.instances;
    assert_eq!(
        names.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(),
        ["web", "store"]
    );
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
    let error = refusal("uplink =", "uplnik =");
    assert!(error.starts_with("demo.toml:4: "), "{error}");
    assert!(
        error.contains("`uplnik`") && error.contains("`uplink`"),
        "{error}"
    );
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn unreadable_values_are_named_with_their_line() {
    for (from, to, line, words) in [
        ("\"16MiB\"", "\"16 apples\"", 11, "16 apples"),
        ("\"on-failure\"", "\"sometimes\"", 8, "sometimes"),
        ("10.1.0.1/24", "10.1.0.1", 18, "with its prefix"),
        ("02:00:00:00:00:01", "02:00", 20, "no MAC address"),
        ("web:80", "web", 30, "leads nowhere"),
        ("host = 8080", "host = 80800", 29, "80800"),
        ("log = 4096", "log = -1", 12, "negative"),
    ] {
        let error = refusal(from, to);
        assert!(error.starts_with(&format!("demo.toml:{line}: ")), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn unsound_wiring_is_named_with_its_line() {
    for (from, to, line, words) in [
        (
            "switch = \"lan\"",
            "switch = \"wan\"",
            13,
            "`wan`, which does not exist",
        ),
        (
            "link = \"backend\", ",
            "switch = \"lan\", ",
            5,
            "1 of 2 ends",
        ),
        ("to = \"web:80\"", "to = \"shop:80\"", 28, "instance `shop`"),
        ("uplink = \"nic0\"", "uplink = \"eth0\"", 4, "`nic0`"),
        (
            "switch = \"lan\"\n",
            "switch = \"lan\"\nlink = \"backend\"\n",
            13,
            "both",
        ),
        ("switch = \"lan\"\n", "", 13, "neither"),
        (
            "memory = \"16MiB\"",
            "memory = \"16GiB\"",
            11,
            "out of range",
        ),
    ] {
        let error = refusal(from, to);
        assert!(error.starts_with(&format!("demo.toml:{line}: ")), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_link_from_an_instance_to_itself_is_refused() {
    let error = refusal(
        "port.eth0 = { link = \"backend\", address = \"10.1.0.2/24\" }",
        "[instance.web.port.eth2]\nlink = \"backend\"",
    );
    assert!(
        error.starts_with("demo.toml:5: ") && error.contains("to itself"),
        "{error}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = format!(
        "{:#}",
        read(Path::new("no-such-manifest.toml")).unwrap_err()
    );
    assert!(error.contains("no-such-manifest.toml"), "{error}");
}

const PROGRAM: &str = r#"
name = "one"
[instance.a]
module = "a.wasm"
libraries = { zip = "zip.wat", math = "./math.wasm" }
env = { RUST_LOG = "info", THREADS = 4 }
preopen = { "." = "/work" }
listen = ["0.0.0.0:8080", ":81", "10.0.0.1:82"]
limits = { files = 100, file_bytes = "1MiB" }
[instance.a.files]
"/etc/motd" = { text = "hello" }
"/bin/sh" = { symlink = "busybox" }
"/tmp" = { directory = {} }
"/data" = "data"
[instance.a.health]
http = "/health"
port = 8080
interval = "2m"
timeout = "500ms"
"#;

/// A folder with `data/a.txt`, `data/deep/b` and a link `data/c` to `a.txt`.
fn data_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("deep")).unwrap();
    std::fs::write(data.join("a.txt"), "a").unwrap();
    std::fs::write(data.join("deep/b"), "b").unwrap();
    std::os::unix::fs::symlink("a.txt", data.join("c")).unwrap();
    folder
}

#[test]
fn every_key_of_a_program_reaches_its_place() {
    let folder = data_folder();
    let draft = parse(PROGRAM, "one.toml", folder.path()).unwrap();
    let a = draft.manifest.instance("a").unwrap();
    let libraries: Vec<_> = a
        .libraries
        .iter()
        .map(|it| (&*it.name, &*it.module_name))
        .collect();
    assert_eq!(libraries, [("zip", "zip.wat"), ("math", "./math.wasm")]);
    assert_eq!(a.environment[1], ("THREADS".to_string(), "4".to_string()));
    let preopens: Vec<_> = a
        .preopens
        .iter()
        .map(|it| (&*it.name, &*it.directory))
        .collect();
    assert_eq!(preopens, [(".", "/work")]);
    let at = |address: Option<&str>, port| ListenerSpec {
        address: address.map(|address| address.parse().unwrap()),
        port,
    };
    assert_eq!(
        a.listeners,
        [at(None, 8080), at(None, 81), at(Some("10.0.0.1"), 82)]
    );
    assert_eq!((a.limits.files, a.limits.file_bytes), (100, 1 << 20));
    let health = a.health.as_ref().unwrap();
    let path = "/health".to_string();
    assert_eq!(health.check, HealthCheck::Http { port: 8080, path });
    assert_eq!(
        (
            health.interval_ms,
            health.timeout_ms,
            health.failures,
            health.grace_ms
        ),
        (120_000, 500, 3, 5000)
    );
}

#[test]
fn a_folder_is_taken_with_all_that_is_in_it_in_the_order_of_names() {
    let folder = data_folder();
    let draft = parse(PROGRAM, "one.toml", folder.path()).unwrap();
    let a = draft.manifest.instance("a").unwrap();
    let kind = |content: &FileContent| match content {
        FileContent::Blob(_) => "file",
        FileContent::Directory => "directory",
        FileContent::SymbolicLink(_) => "link",
    };
    let files: Vec<_> = a
        .files
        .iter()
        .map(|file| (&*file.path, kind(&file.content)))
        .collect();
    assert_eq!(
        files,
        [
            ("/etc/motd", "file"),
            ("/bin/sh", "link"),
            ("/tmp", "directory"),
            ("/data", "directory"),
            ("/data/a.txt", "file"),
            ("/data/c", "link"),
            ("/data/deep", "directory"),
            ("/data/deep/b", "file"),
        ]
    );
    let source = |path: &str| &draft.files[&("a".to_string(), path.to_string())];
    assert_eq!(*source("/etc/motd"), FileSource::Text("hello".into()));
    let host = folder.path().join("data/deep/b");
    assert_eq!(*source("/data/deep/b"), FileSource::Host(host));
}

#[test]
fn an_instance_without_files_finds_its_empty_root_open() {
    let manifest = draft(DEMO).unwrap().manifest;
    let web = manifest.instance("web").unwrap();
    assert!(web.files.is_empty());
    let preopens: Vec<_> = web
        .preopens
        .iter()
        .map(|it| (&*it.name, &*it.directory))
        .collect();
    assert_eq!(preopens, [("/", "/")]);
}

#[test]
fn faults_of_a_program_are_named_with_their_line() {
    let folder = data_folder();
    for (from, to, line, words) in [
        ("zip = ", "main = ", 5, "library `main`"),
        ("RUST_LOG = ", "\"A=B\" = ", 6, "`A=B`"),
        ("\"/work\"", "\"work\"", 7, "write an absolute one"),
        ("\":81\"", "\"81\"", 8, "nothing to listen on"),
        ("\":81\"", "\":8080\"", 8, "another listener"),
        (
            "\"/etc/motd\"",
            "\"/etc/../motd\"",
            11,
            "write an absolute one",
        ),
        ("symlink", "symlnik", 12, "symlnik"),
        (
            "\"/tmp\"",
            "\"/bin/sh/x\"",
            13,
            "needs the directory `/bin/sh`",
        ),
        ("\"data\"", "\"date\"", 14, "cannot read"),
        ("http = ", "htpt = ", 16, "htpt"),
        ("http = \"/health\"", "tcp = false", 15, "one of"),
        ("\"2m\"", "\"2h\"", 18, "no length of time"),
        ("\"500ms\"", "\"0ms\"", 19, "`timeout` out of range"),
        ("files = 100", "files = 3", 3, "at most 3"),
    ] {
        assert!(PROGRAM.contains(from), "{from}");
        let text = PROGRAM.replacen(from, to, 1);
        let error = parse(&text, "one.toml", folder.path())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(&format!("one.toml:{line}: ")), "{error}");
        assert!(error.contains(words), "{error}");
    }
}
