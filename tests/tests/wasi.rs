//! WASI programs on a simulated node, as other people's toolchains build them.

use sos_core::machine::Duration;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::ImageBuilder;
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
