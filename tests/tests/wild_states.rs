//! A snapshot that was edited by hand to hold wild values hurts at most the instance that is made of it.
//!
//! Every state of a golden instance is decoded, one of its values is changed, and the file is written anew with right
//! sums. It is imported, restored and run on a node where another instance serves a client. Some hundred changes;
//! more by `SOS_WILD_STATES=20000 cargo test -p sos-tests --test wild_states`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::de::DeserializeOwned;
use serde::ser::Serialize;
use sos_core::host::GuestState;
use sos_core::image::{BlobBytes, BlobHash};
use sos_core::instance::engine::ExecutionState;
use sos_core::machine::Duration;
use sos_core::net::stack::StackState;
use sos_core::snapshot::About;
use sos_core::snapshot::format::{
    Collector, Encoder, Header, MemoryHead, NextPage, Object, Options, PAGE_BYTES, Page,
    PageSource, Pieces, Progress, Seal, SectionKind, Sink, SnapshotId,
};
use sos_tests::fuzz::shape::Shape;
use sos_tests::heap::{CountingHeap, peak_bytes};
use sos_tests::programs::COUNTING_ECHO;
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};

#[global_allocator]
static HEAP: CountingHeap = CountingHeap;

/// Changes in an ordinary run.
const CHANGES: u64 = 400;
/// What the node has for the memories of its instances: twice 256 MiB are what the golden one may have.
const NODE_BYTES: u64 = 640 << 20;
/// The most heap that a file of a few kilobytes may lead to, the memories of instances included.
const MOST_BYTES: i64 = NODE_BYTES as i64 + (64 << 20);

type PageBytes = [u8; PAGE_BYTES];

/// A file, taken apart.
#[derive(Default)]
struct Parts {
    objects: Vec<(SectionKind, Option<BlobHash>, Vec<u8>)>,
    memories: Vec<MemoryHead>,
    pages: BTreeMap<(u32, u64), PageBytes>,
}

impl Sink for Parts {
    type Error = Infallible;

    fn begin(&mut self, _header: &Header) -> Result<(), Infallible> {
        Ok(())
    }

    fn object(
        &mut self,
        kind: SectionKind,
        _version: u16,
        hash: Option<BlobHash>,
        bytes: Pieces,
    ) -> Result<(), Infallible> {
        self.objects.push((kind, hash, bytes.into_bytes()));
        Ok(())
    }

    fn memory(&mut self, head: MemoryHead) -> Result<(), Infallible> {
        self.memories.push(head);
        Ok(())
    }

    fn page(&mut self, memory: u32, page: u64, content: Page<'_>) -> Result<(), Infallible> {
        let bytes = match content {
            Page::Bytes { bytes, .. } => *bytes,
            Page::Zero => [0; PAGE_BYTES],
            Page::Repeat {
                memory: source,
                page,
            } => self.pages[&(source, page)],
        };
        self.pages.insert((memory, page), bytes);
        Ok(())
    }
}

impl PageSource for Parts {
    fn next_page(&self, memory: u32, from: u64) -> NextPage {
        let mut rest = self.pages.range((memory, from)..(memory + 1, 0));
        let page = rest.next().map(|((_, page), _)| *page);
        page.map_or(NextPage::End, NextPage::At)
    }

    fn page(&self, memory: u32, page: u64) -> Option<&PageBytes> {
        self.pages.get(&(memory, page))
    }
}

impl Parts {
    /// The parts of a golden instance.
    fn golden() -> Parts {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
        let file = std::fs::read(folder.join("states-1.1-server.snap")).expect("a golden file");
        let mut parts = Parts::default();
        let read = Collector::default().read(&file, &mut parts);
        assert!(read.is_ok(), "a golden file is sound");
        parts
    }

    /// The file, with other bytes for one kind of object.
    fn file(&self, changed: SectionKind, bytes: &[u8]) -> Vec<u8> {
        let object = |(kind, hash, own): &(SectionKind, Option<BlobHash>, Vec<u8>)| Object {
            kind: *kind,
            hash: *hash,
            bytes: BlobBytes::Held(match *kind == changed {
                true => Arc::from(bytes),
                false => Arc::from(&own[..]),
            })
            .into(),
        };
        let options = Options {
            id: SnapshotId([7; 16]),
            seal: Seal::Sha256,
            ..Options::default()
        };
        let objects = self.objects.iter().map(object).collect();
        let mut encoder = Encoder::new(options, objects, self.memories.clone());
        let mut file = Vec::new();
        loop {
            let progress = encoder.step(self, 32);
            while encoder.ready_bytes() > 0 {
                let count = encoder.ready(self).len();
                file.extend_from_slice(encoder.ready(self));
                encoder.take(count, self);
            }
            if progress == Progress::Finished {
                return file;
            }
        }
    }

    /// A state and its values.
    fn state<T: DeserializeOwned + Serialize>(&self, kind: SectionKind) -> (SectionKind, Shape) {
        let bytes = self.objects.iter().find(|(other, ..)| *other == kind);
        let state: T = postcard::from_bytes(&bytes.expect("it is there").2).expect("a state");
        (kind, Shape::of(&state))
    }
}

#[test]
fn wild_values_in_any_state_hurt_only_the_instance_that_is_made_of_it() {
    let parts = Parts::golden();
    let states = [
        parts.state::<About>(SectionKind::About),
        parts.state::<ExecutionState>(SectionKind::Execution),
        parts.state::<GuestState>(SectionKind::Guest),
        parts.state::<StackState>(SectionKind::Network),
    ];
    // The wild one is on switches of its own: whoever shares a wire may say what it wants there.
    let image = ImageBuilder::new("neighbours")
        .switch("outside", Some("nic0"))
        .switch("inner", None)
        .switch("lan", None)
        .instance("echo", COUNTING_ECHO)
        .with(|spec| spec.limits.memory_bytes = 1 << 20)
        .port("eth0", switch("outside"), "10.0.0.1/24")
        // The golden one's would be the first that this node draws, too.
        .with(|spec| spec.ports[0].mac = Some([2, 0, 0, 0, 0, 1]));
    let (mut cluster, client) = Cluster::beside_client(image.build());
    cluster.run_for(Duration::from_millis(100));
    let socket = cluster.connect(client, "10.0.0.1:7").expect("it listens");
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let memory = cluster.nodes[0].machine.memory.clone();
    memory.set_total_bytes(NODE_BYTES);
    let before = (memory.free_bytes(), memory.images());
    let given = std::env::var("SOS_WILD_STATES").ok();
    let changes = given.map_or(CHANGES, |text| text.parse().expect("a number"));
    let mut random = SmallRng::seed_from_u64(4);
    let (mut answered, mut taken, mut restored) = (0_u8, 0, 0);
    for change in 0..changes {
        let (kind, state) = &states[change as usize % states.len()];
        let mut wild = state.clone();
        wild.nudge(&mut random);
        let what = format!("change {change}: {kind:?}");
        let file = parts.file(*kind, &wild.to_bytes());
        let peak = peak_bytes(|| {
            if outsider.import(&mut cluster, "wild", &file).is_err() {
                return;
            }
            taken += 1;
            let said = cluster.shell(0, "restore wild");
            restored += u64::from(!said.contains("error"));
            cluster.run_for(Duration::from_millis(30));
        });
        assert!(peak < MOST_BYTES, "{what}: {peak} bytes");
        assert!(cluster.nodes[0].ended.is_none(), "{what}");
        cluster
            .write_all(socket, b"a")
            .expect("the neighbour reads");
        answered = answered.wrapping_add(1);
        let answer = cluster.read(socket).expect("the neighbour answers");
        assert_eq!(answer, [b'a'.wrapping_add(answered)], "{what}");
        end_all_but(&mut cluster, "echo");
        cluster.shell(0, "snapshot rm wild");
        assert_eq!((memory.free_bytes(), memory.images()), before, "{what}");
        cluster.nodes[0].machine.printed = Vec::new();
    }
    println!("{changes} changes: {taken} files taken, {restored} instances made");
    // Else the changes were found out too early to prove anything.
    assert!(
        taken > changes / 2 && restored > changes / 5,
        "{taken}, {restored}"
    );
    assert_eq!(cluster.resets, 0);
}

/// Ends every instance but this one, whatever it is called by now.
fn end_all_but(cluster: &mut Cluster, spared: &str) {
    let rows = cluster.json(0, "ls --json");
    for row in rows.as_array().expect("rows") {
        let (name, state) = (&row["name"], row["state"].as_str().unwrap_or_default());
        let name = name.as_str().expect("a name");
        let is_live = ["running", "waiting", "paused", "loading"].contains(&state);
        if name != spared && is_live {
            cluster.shell(0, &format!("kill {name}"));
        }
    }
}
