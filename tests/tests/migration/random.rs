//! Whole clusters from one seed: three nodes with real kernels, instances that move among them by order of several
//! operators, and links, frames, memory and power that fail at any time. Never two live copies; one in the end, unless
//! a node was lost that had it; streams byte-exact; nothing left behind.
//!
//! `SOS_CLUSTERS=10000 cargo test --release -p sos-tests --test migration random` runs that many; a failure names its
//! seed, and `SOS_CLUSTER=N` runs that one alone.

use super::{ECHO_TO_MANY, HALF, SECOND, connections, empty, runs_on};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sos_core::machine::Duration;
use sos_tests::sim::cluster::{Cluster, WireFaults};
use sos_tests::sim::image::{ImageBuilder, switch};
use sos_tests::sim::peer::PeerSocket;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const NODES: usize = 3;
const NAMES: [&str; 2] = ["echo", "writes"];
const PAIRS: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];
/// Bytes of a stream that are on their way at most.
const ON_THE_WAY: usize = 4096;
/// Time in which whatever is still under way ends, once all is well again.
const SETTLING: Duration = Duration::from_secs(120);

/// Writes a word to each of sixteen pages, fifty times a second.
const WRITES: &str = r#"(module
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start") (local $at i32)
        (loop $again
            (local.set $at (i32.const 0))
            (loop $more
                (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (i32.const 1)))
                (local.set $at (i32.add (local.get $at) (i32.const 4096)))
                (br_if $more (i32.lt_u (local.get $at) (i32.const 0x10000))))
            (drop (call $sleep (i64.const 20000000)))
            (br $again))))"#;

/// A connection to the echo, and what was said by it and heard.
struct Stream {
    socket: PeerSocket,
    said: usize,
    heard: usize,
    salt: u8,
}

impl Stream {
    fn byte(&self, at: usize) -> u8 {
        (at * 7 + at / 251) as u8 ^ self.salt
    }
}

struct World {
    cluster: Cluster,
    random: SmallRng,
    streams: Vec<Stream>,
    /// Bytes of memory that each node has in use without an instance.
    idle_bytes: [u64; NODES],
    /// Whether a node lost its power.
    was_cut: bool,
    story: Vec<String>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut cluster = Cluster::new(seed);
        let image = ImageBuilder::new("node1")
            .switch("lan", Some("nic0"))
            .instance("echo", ECHO_TO_MANY)
            .port("eth0", switch("lan"), "10.0.0.1/24")
            .instance("writes", WRITES);
        cluster.boot("node1", image.build());
        cluster.boot("node2", empty("node2"));
        cluster.boot("node3", empty("node3"));
        for (one, other) in PAIRS {
            cluster.join(one, other);
        }
        let client = cluster.add_peer("10.0.0.100/24");
        cluster.run_for(HALF);
        let streams = connections(&mut cluster, client, 2).into_iter().enumerate();
        let streams = streams.map(|(number, socket)| Stream {
            socket,
            said: 0,
            heard: 0,
            salt: number as u8,
        });
        let streams = streams.collect();
        let idle_bytes = [0, 1, 2].map(|node| used(&cluster, node));
        World {
            cluster,
            random: SmallRng::seed_from_u64(seed),
            streams,
            idle_bytes,
            was_cut: false,
            story: Vec::new(),
        }
    }

    fn order(&mut self, node: usize, line: &str) {
        self.story.push(format!("node{}> {line}", node + 1));
        self.cluster.type_text(node, &format!("{line}\r"));
    }

    /// Something that an operator does, or that befalls.
    fn happen(&mut self) {
        let node = self.random.random_range(0..NODES);
        let name = NAMES[self.random.random_range(0..NAMES.len())];
        let how = ["", "", " --cold"][self.random.random_range(0..3)];
        let pair = PAIRS[self.random.random_range(0..PAIRS.len())];
        let place = runs_on(&mut self.cluster, name).first().copied();
        let target = (node + self.random.random_range(1..NODES)) % NODES + 1;
        match self.random.random_range(0..22) {
            0..7 => {
                let Some(place) = place else { return };
                self.order(place, &format!("migrate {name} node{target}{how}"));
            }
            7 => {
                let Some(place) = place else { return };
                self.order(
                    place,
                    &format!("migrate --group echo writes node{target}{how}"),
                );
            }
            8 => self.order(node, &format!("evacuate node{target}")),
            9 => self.order(node, &format!("migrate --cancel {name}")),
            10 => {
                self.story.push(format!("part {pair:?}"));
                self.cluster.part(pair.0, pair.1);
            }
            11..14 => {
                self.story.push(format!("join {pair:?}"));
                self.cluster.join(pair.0, pair.1);
            }
            14 | 15 => {
                let messages = self.random.random_range(0..40);
                self.story.push(format!("part after {messages}"));
                self.cluster.part_after(messages);
            }
            16 | 17 => {
                self.cluster.faults = WireFaults {
                    loss_permille: [0, 20, 200][self.random.random_range(0..3)],
                    repeat_permille: [0, 50][self.random.random_range(0..2)],
                    jitter: Duration::from_micros(self.random.random_range(0..300)),
                    ..WireFaults::NONE
                };
                self.story.push(format!("{:?}", self.cluster.faults));
            }
            18 => {
                let spare = self.random.random_range(0..256) << 12;
                let bytes = used(&self.cluster, node) + spare;
                self.story
                    .push(format!("node{} has {spare} free", node + 1));
                let memory = &mut self.cluster.nodes[node].machine.memory;
                memory.set_total_bytes(bytes);
            }
            19 => {
                self.story.push(format!("node{} has room", node + 1));
                let memory = &mut self.cluster.nodes[node].machine.memory;
                memory.set_total_bytes(1 << 30);
            }
            20 if node > 0 && self.random.random_ratio(1, 2) => {
                self.was_cut = true;
                let name = format!("node{}", node + 1);
                self.story.push(format!("{name} loses its power"));
                self.cluster.cut_power(node, &name, empty(&name));
            }
            _ => {}
        }
    }

    /// Lets time go by, while the streams go on.
    fn go_on(&mut self) {
        let micros = match self.random.random_range(0..20) {
            0 => 5_000_000,
            1..5 => self.random.random_range(0..300_000),
            _ => self.random.random_range(0..2000),
        };
        self.story.push(format!("{micros} us"));
        self.talk(300);
        self.cluster.run_for(Duration::from_micros(micros));
        self.talk(0);
    }

    /// Says so many bytes by each stream, if not too many are on their way, and hears what has come.
    fn talk(&mut self, count: usize) {
        if self.was_cut && runs_on(&mut self.cluster, "echo").is_empty() {
            return;
        }
        for stream in &mut self.streams {
            if stream.said - stream.heard + count <= ON_THE_WAY && count > 0 {
                let range = stream.said..stream.said + count;
                let bytes: Vec<u8> = range.map(|at| stream.byte(at)).collect();
                let said = self.cluster.write_all(stream.socket, &bytes);
                said.expect("the stream takes bytes");
                stream.said += count;
            }
            let heard = self.cluster.read_now(stream.socket);
            for byte in heard.expect("the stream lives") {
                assert_eq!(byte, stream.byte(stream.heard), "byte {}", stream.heard);
                stream.heard += 1;
            }
        }
    }

    /// That no instance runs on two nodes: time goes by while they are asked, so that each is asked twice.
    fn check(&mut self) {
        for name in NAMES {
            let places = runs_on(&mut self.cluster, name);
            if places.len() > 1 {
                let again = runs_on(&mut self.cluster, name);
                assert!(again.len() < 2, "{name} runs on {places:?} and {again:?}");
            }
        }
    }

    /// Mends everything, and looks how it has ended.
    fn settle(&mut self) {
        self.story.push("all is well".into());
        self.cluster.faults = WireFaults::NONE;
        for node in &mut self.cluster.nodes {
            node.machine.memory.set_total_bytes(1 << 30);
        }
        // What a breaking link has still before it is not to come later.
        self.cluster.part_after(u64::MAX / 2);
        for (one, other) in PAIRS {
            self.cluster.part(one, other);
            self.cluster.join(one, other);
        }
        let is_quiet = |cluster: &mut Cluster| {
            cluster.run_for(SECOND);
            (0..NODES).all(|node| cluster.shell(node, "migrate").contains("none"))
        };
        let is_quiet = self.cluster.run_until(SETTLING, is_quiet);
        let doubts: String = (0..NODES)
            .map(|node| self.cluster.shell(node, "migrate"))
            .collect();
        assert!(
            is_quiet || self.was_cut && doubts.contains("in-doubt"),
            "{doubts}"
        );
        for name in NAMES {
            let places = runs_on(&mut self.cluster, name);
            assert!(
                places.len() == 1 || self.was_cut && places.is_empty(),
                "{name}: {places:?}"
            );
        }
        if is_quiet {
            self.check_rest();
        }
        // Nobody starts an echo anew, so that one which runs is the one that the streams were with.
        if !runs_on(&mut self.cluster, "echo").is_empty() {
            for _ in 0..100 {
                self.talk(0);
                self.cluster.run_for(HALF);
            }
            for stream in &self.streams {
                assert_eq!(stream.heard, stream.said);
            }
            assert_eq!(self.cluster.resets, 0);
        }
    }

    /// Nodes without an instance hold nothing.
    fn check_rest(&mut self) {
        self.cluster.run_for(15 * SECOND);
        let places = NAMES.map(|name| runs_on(&mut self.cluster, name));
        for node in (1..NODES).filter(|node| !places.concat().contains(node)) {
            assert_eq!(self.cluster.json(node, "ls --json"), serde_json::json!([]));
            let switches = self.cluster.json(node, "switch --json");
            assert_eq!(switches[0]["ports"], serde_json::json!([]));
            assert_eq!(
                used(&self.cluster, node),
                self.idle_bytes[node],
                "node{}",
                node + 1
            );
        }
    }
}

fn used(cluster: &Cluster, node: usize) -> u64 {
    let memory = &cluster.nodes[node].machine.memory;
    memory.total_bytes() - memory.free_bytes()
}

/// How often instances moved, stayed, and were in doubt.
fn run(seed: u64) -> [usize; 3] {
    let mut world = World::new(seed);
    let result = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..world.random.random_range(5..40) {
            world.happen();
            world.go_on();
            world.check();
        }
        world.settle();
    }));
    if let Err(panic) = result {
        eprintln!("--- SOS_CLUSTER={seed} ---\n{}", world.story.join("\n"));
        for node in 0..NODES {
            eprintln!("{}", world.cluster.shell(node, "dmesg"));
            eprintln!("{}", world.cluster.shell(node, "events"));
        }
        resume_unwind(panic);
    }
    let mut counts = [0; 3];
    for node in 0..NODES {
        let events = world.cluster.json(node, "events --json");
        for event in events["entries"].as_array().expect("events") {
            let kinds = ["moved", "not-moved", "in-doubt"];
            let kind = kinds.iter().position(|kind| event["kind"] == *kind);
            kind.into_iter().for_each(|kind| counts[kind] += 1);
        }
    }
    counts
}

#[test]
fn random_clusters_keep_every_instance_once_and_its_streams() {
    let from_environment = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    if let Some(seed) = from_environment("SOS_CLUSTER") {
        run(seed);
        return;
    }
    let mut all = [0; 3];
    for seed in 0..from_environment("SOS_CLUSTERS").unwrap_or(30) {
        let counts = run(seed);
        all.iter_mut()
            .zip(counts)
            .for_each(|(all, count)| *all += count);
    }
    let [moved, stayed, in_doubt] = all;
    println!("{moved} moves, {stayed} that came to nothing, {in_doubt} doubts");
    assert!(moved > 0 && stayed > 0);
}
