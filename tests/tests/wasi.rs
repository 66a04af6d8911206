//! WASI programs on a simulated node, as other people's toolchains build them.

use sos_core::image::{ListenerSpec, PreopenSpec};
use sos_core::machine::Duration;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};
use sos_tests::wasi_program;

fn boot(image: ImageBuilder) -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(Duration::from_millis(500));
    cluster
}

#[test]
fn a_program_of_the_standard_library_speaks_asks_and_ends() {
    let program = wasi_program(
        "facts",
        r#"
        use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
        fn main() {
            println!("arguments {:?}", std::env::args().collect::<Vec<_>>());
            println!("variables {:?}", std::env::vars().collect::<Vec<_>>());
            eprint!("a line in ");
            eprintln!("two parts");
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            assert!(wall > Duration::from_secs(1_600_000_000), "{wall:?}");
            let begin = Instant::now();
            std::thread::sleep(Duration::from_millis(30));
            let slept = begin.elapsed();
            assert!(slept >= Duration::from_millis(30), "{slept:?}");
            assert!(slept < Duration::from_millis(60), "{slept:?}");
            std::thread::yield_now();
            let hashes: Vec<_> = (0..2).map(|_| {
                use std::hash::{BuildHasher, RandomState};
                RandomState::new().hash_one(1)
            }).collect();
            assert_ne!(hashes[0], hashes[1]);
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
            println!("heard {line:?}");
            std::process::exit(7);
        }
        "#,
    );
    let image = ImageBuilder::new("wasi")
        .instance("facts", program)
        .with(|spec| {
            spec.arguments = vec!["one".into(), "zwei ä".into()];
            spec.environment = vec![("KEY".into(), "value".into()), ("EMPTY".into(), "".into())];
        });
    let mut cluster = boot(image);
    let console = cluster.shell(0, "console facts");
    assert!(
        console.contains("arguments [\"facts\", \"one\", \"zwei ä\"]"),
        "{console}"
    );
    assert!(
        console.contains("variables [(\"KEY\", \"value\"), (\"EMPTY\", \"\")]"),
        "{console}"
    );
    cluster.type_text(0, "hello\r");
    cluster.run_for(Duration::from_millis(100));
    let answer = cluster.nodes[0].console();
    assert!(answer.contains("heard \"hello\\n\""), "{answer}");
    cluster.type_text(0, "\u{1d}");
    let logs = cluster.shell(0, "logs facts");
    assert!(logs.contains("a line in two parts"), "{logs}");
    assert_eq!(
        cluster.state(0, "facts"),
        ("exited".into(), "status 7".into())
    );
}

/// Answers what each connection sends in capitals, once the peer has said all.
const SHOUTER: &str = r#"
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpListener};
    use std::os::fd::FromRawFd;
    fn main() {
        let listener = unsafe { TcpListener::from_raw_fd(3) };
        let quiet = unsafe { TcpListener::from_raw_fd(4) };
        quiet.set_nonblocking(true).unwrap();
        assert_eq!(quiet.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        println!("listening");
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut text = Vec::new();
            stream.read_to_end(&mut text).unwrap();
            text.make_ascii_uppercase();
            stream.write_all(&text).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            println!("connection {number}: {} bytes", text.len());
        }
    }
"#;

fn listener(port: u16) -> ListenerSpec {
    ListenerSpec {
        address: None,
        port,
    }
}

#[test]
fn a_service_on_a_preopened_listener_serves_by_the_standard_library() {
    let image = ImageBuilder::new("wasi")
        .switch("lan", Some("nic0"))
        .instance("shouter", wasi_program("shouter", SHOUTER))
        .port("eth0", switch("lan"), "10.0.0.1/24")
        .with(|spec| spec.listeners = vec![listener(80), listener(81)]);
    let mut cluster = boot(image);
    let client = cluster.add_peer("10.0.0.100/24");
    for length in [5, 0, 300_000] {
        let socket = cluster.connect(client, "10.0.0.1:80").expect("a listener");
        let sent: Vec<u8> = b"abcdefg".iter().copied().cycle().take(length).collect();
        cluster.write_all(socket, &sent).expect("a reader");
        cluster.finish_writing(socket).expect("a connection");
        let answer = cluster.read_to_end(socket).expect("an answer");
        assert_eq!(answer, sent.to_ascii_uppercase());
        cluster.close(socket);
    }
    let console = cluster.shell(0, "console shouter");
    assert!(console.contains("connection 2: 300000 bytes"), "{console}");
}

#[test]
fn a_listener_that_cannot_listen_stops_the_start() {
    let returns = "(module (memory (export \"memory\") 1) (func (export \"_start\")))";
    let image = ImageBuilder::new("wasi")
        .switch("lan", None)
        .instance("portless", returns)
        .with(|spec| spec.listeners = vec![listener(80)])
        .instance("elsewhere", returns)
        .port("eth0", switch("lan"), "10.0.0.1/24")
        .with(|spec| {
            spec.listeners = vec![ListenerSpec {
                address: Some([10, 0, 0, 2].into()),
                port: 80,
            }]
        });
    let mut cluster = boot(image);
    for (name, expected) in [
        ("portless", "no port"),
        ("elsewhere", "listener on TCP port 80: "),
    ] {
        let (state, detail) = cluster.state(0, name);
        assert_eq!(state, "failed", "{detail}");
        assert!(detail.contains(expected), "{detail}");
    }
}

#[test]
fn files_of_the_image_and_preopened_directories_are_found_open() {
    // Prints the names of the preopened directories, as C libraries look for them.
    let program = r#"(module
        (import "wasi_snapshot_preview1" "fd_prestat_get"
            (func $get (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_dir_name"
            (func $name (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (local $fd i32)
            (i32.store (i32.const 16) (i32.const 64))
            (local.set $fd (i32.const 3))
            (block $end (loop $next
                (br_if $end (call $get (local.get $fd) (i32.const 0)))
                (drop (call $name (local.get $fd) (i32.const 64) (i32.load (i32.const 4))))
                (i32.store8 (i32.add (i32.const 64) (i32.load (i32.const 4))) (i32.const 10))
                (i32.store (i32.const 20) (i32.add (i32.load (i32.const 4)) (i32.const 1)))
                (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
                (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
                (br $next)))))"#;
    let image = ImageBuilder::new("wasi")
        .instance("lists", program)
        .with(|spec| {
            let preopen = |name: &str, directory: &str| PreopenSpec {
                name: name.into(),
                directory: directory.into(),
            };
            spec.preopens = vec![preopen("/", "/"), preopen("made", "/var/made")];
        });
    let mut cluster = boot(image);
    let console = cluster.shell(0, "console lists");
    assert!(console.contains("/\nmade\n"), "{console}");
}

#[test]
fn a_call_in_pieces_competes_for_the_cpu_as_computing_does() {
    let spins = "(module (memory (export \"memory\") 1) (func (export \"_start\") (loop br 0)))";
    let random = r#"(module
        (import "wasi_snapshot_preview1" "random_get"
            (func $random (param i32 i32) (result i32)))
        (memory (export "memory") 256)
        (func (export "_start")
            (loop
                (drop (call $random (i32.const 0) (i32.const 0x1000000)))
                (br 0))))"#;
    let image = ImageBuilder::new("wasi")
        .instance("random", random)
        .with(|spec| spec.limits.cpu_shares = 100)
        .instance("spins", spins)
        .with(|spec| spec.limits.cpu_shares = 300);
    let mut cluster = Cluster::new(1);
    cluster.boot("node1", image.build());
    cluster.run_for(Duration::from_millis(10));
    let cpu = |cluster: &mut Cluster| {
        ["random", "spins"].map(|name| {
            let detail = cluster.json(0, &format!("info {name} --json"));
            detail["cpu_nanos"].as_f64().expect("a number")
        })
    };
    let before = cpu(&mut cluster);
    cluster.run_for(Duration::from_millis(200));
    let after = cpu(&mut cluster);
    let part = (after[0] - before[0]) / (after[1] - before[1]);
    assert!((0.2..0.5).contains(&part), "{part} of {before:?} {after:?}");
}
