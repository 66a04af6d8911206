//! Files of snapshots that come whole and say what cannot be: each is refused with what it is, and costs nothing
//! but itself.

use sos_core::image::{Bundle, Part, PartKind};
use sos_core::machine::Duration;
use sos_core::net::stack::StackState;
use sos_core::operator::{self, Bytes, ToNode, ToOperator};
use sos_core::snapshot::About;
use sos_tests::fuzz::file::{File, Section, kind};
use sos_tests::programs::ticks;
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, link, switch};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// Fills the second MiB of its memory and sleeps for ever.
const FILLS: &str = r#"(module
    (import "sos" "sleep" (func $sleep (param i64) (result i32)))
    (memory (export "memory") 32)
    (func (export "_start") (local $at i32)
        (local.set $at (i32.const 1048576))
        (loop $more
            (i32.store (local.get $at) (local.get $at))
            (local.set $at (i32.add (local.get $at) (i32.const 16)))
            (br_if $more (i32.lt_u (local.get $at) (i32.const 2097152))))
        (loop (drop (call $sleep (i64.const 1000000000))) (br 0))))"#;

/// A node on which `a` and `b` tick, joined by a link; `a` has a port on a switch besides.
fn pair(name: &str) -> (Cluster, usize) {
    let image = ImageBuilder::new(name)
        .switch("lan", None)
        .link("back")
        .instance("a", ticks(SECOND))
        .port("eth0", link("back"), "10.1.0.1/24")
        .port("eth1", switch("lan"), "10.0.0.1/24")
        .instance("b", ticks(SECOND))
        .port("eth0", link("back"), "10.1.0.2/24");
    let mut cluster = Cluster::new(1);
    cluster.boot(name, image.build());
    cluster.run_for(1500 * MILLISECOND);
    let empty = ImageBuilder::new("empty").switch("lan", None);
    let node = cluster.boot("empty", empty.build());
    cluster.run_for(100 * MILLISECOND);
    (cluster, node)
}

/// Changes what a file says of its instance and of its network.
fn edit(file: &[u8], change: impl FnOnce(&mut About, &mut StackState)) -> Vec<u8> {
    let mut file = File::read(file).expect("a header");
    let place = |file: &File, kind: u16| {
        let place = file.sections.iter().position(|it| it.kind == kind);
        place.expect("the section")
    };
    let places = [place(&file, kind::ABOUT), place(&file, kind::NETWORK)];
    let [about, network] = places.map(|place| file.sections[place].payload.clone());
    let mut about: About = postcard::from_bytes(&about).expect("about");
    let mut network: StackState = postcard::from_bytes(&network).expect("network");
    change(&mut about, &mut network);
    file.sections[places[0]].payload = postcard::to_allocvec(&about).expect("plain data");
    file.sections[places[1]].payload = postcard::to_allocvec(&network).expect("plain data");
    file.seal()
}

#[test]
fn a_file_that_breaks_in_a_later_step_costs_only_its_import() {
    let mut cluster = Cluster::new(1);
    let image = ImageBuilder::new("fills").instance("fills", FILLS);
    cluster.boot("node1", image.build());
    cluster.run_for(SECOND);
    cluster.done(0, "snapshot fills to full");
    let file = cluster.export(0, "full");
    cluster.done(0, "snapshot rm full");
    let mut broken = File::read(&file).expect("a header");
    let mut sections = broken.sections.iter();
    let pages = sections.position(|it| it.kind == kind::PAGES);
    let pages = pages.expect("pages");
    // Pages 0 to 255 of the memory, zeros: as many as one step takes.
    let mut payload = vec![0, 0, 0, 0, 0, 1, 3, 0];
    payload.extend([0; 12]);
    payload.extend([1, 0, 0, 0]);
    let zeros = Section {
        payload,
        ..broken.sections[pages].clone()
    };
    broken.sections.insert(pages, zeros);
    let sound = broken.seal();
    let before = broken.sections[..=pages].iter();
    let at: usize = 64 + before.map(|it| 40 + it.payload.len()).sum::<usize>();
    assert!(at < 40_000, "it comes with the first piece: {at}");
    let mut bytes = sound;
    // The checksum of the next section's head.
    bytes[at + 39] ^= 1;
    assert!(bytes.len() > 500_000, "pieces come behind it");
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let result = outsider.import(&mut cluster, "full", &bytes);
    let text = result.expect_err("a damaged file");
    assert!(text.contains("checksum"), "{text}");
    assert_eq!(outsider.import(&mut cluster, "full", &file), Ok(()));
}

#[test]
fn the_station_addresses_that_a_file_names_are_those_of_its_network() {
    let (mut cluster, node) = pair("node1");
    cluster.done(0, "snapshot a to one");
    let file = cluster.export(0, "one");
    let files = [
        (
            edit(&file, |_, network| network.interfaces[1].mac = MAC),
            "other station addresses than its network has",
        ),
        (
            edit(&file, |about, _| about.macs[0] = MAC),
            "other station addresses than its network has",
        ),
        (
            edit(&file, |about, _| about.macs.truncate(1)),
            "another number of station addresses than ports",
        ),
        (
            edit(&file, |about, network| {
                about.macs = vec![MAC; 2];
                network.interfaces.iter_mut().for_each(|it| it.mac = MAC);
            }),
            "port 'eth1' of the snapshot has the station address of another of its ports",
        ),
    ];
    let mut outsider = Outsider::greeted(&mut cluster, node);
    for (file, why) in files {
        let text = outsider.import(&mut cluster, "one", &file);
        let text = text.expect_err(why);
        assert!(text.contains(why), "{text}");
    }
    assert_eq!(outsider.import(&mut cluster, "one", &file), Ok(()));
}

#[test]
fn two_members_of_a_group_have_no_station_address_in_common() {
    let (mut cluster, node) = pair("node1");
    cluster.done(0, "snapshot --group a b to both");
    let files = ["both.a", "both.b"].map(|name| {
        // Each is right by itself.
        let file = cluster.export(0, name);
        let file = edit(&file, |about, network| {
            about.macs[0] = MAC;
            network.interfaces[0].mac = MAC;
        });
        (name, file)
    });
    let mut outsider = Outsider::greeted(&mut cluster, node);
    for (name, file) in &files {
        assert_eq!(outsider.import(&mut cluster, name, file), Ok(()));
    }
    let text = cluster.shell(node, "restore both");
    let why = "error: 'a' has the station address of 'b'";
    assert!(text.contains(why), "{text}");
    let rows = cluster.json(node, "ls --json");
    assert_eq!(rows.as_array().expect("rows").len(), 0);
}

#[test]
fn a_member_of_a_group_is_not_called_as_the_group() {
    let (mut cluster, node) = pair("node1");
    cluster.done(0, "snapshot --group a b to both");
    let [a, b] = ["both.a", "both.b"].map(|name| cluster.export(0, name));
    let mut outsider = Outsider::greeted(&mut cluster, node);
    let text = outsider.import(&mut cluster, "both", &a);
    let text = text.expect_err("it would hide the group");
    assert!(text.contains("'both' exists already"), "{text}");
    assert_eq!(outsider.import(&mut cluster, "first", &a), Ok(()));
    assert_eq!(outsider.import(&mut cluster, "second", &b), Ok(()));
    cluster.done(node, "restore both");
}

#[test]
fn a_snapshot_that_comes_twice_at_once_is_kept_once() {
    let mut cluster = Cluster::new(1);
    let image = ImageBuilder::new("ticking").instance("ticks", ticks(SECOND));
    let image = image.build();
    cluster.boot("node1", image.clone());
    cluster.run_for(1500 * MILLISECOND);
    cluster.done(0, "snapshot ticks to monday");
    let file = cluster.export(0, "monday");
    let part = |kind, name: &str, bytes| Part {
        kind,
        name: name.into(),
        bytes,
    };
    let bundle = Bundle {
        parts: vec![
            part(PartKind::Image, "", &image[..]),
            part(PartKind::Snapshot, "monday", &file),
        ],
    };
    let node = cluster.boot("node2", bundle.encode().expect("a bundle"));
    // It is all there before the node's first turn.
    let mut outsider = Outsider::connect(&mut cluster, node);
    let hello = ToNode::Hello {
        magic: operator::MAGIC,
        version: operator::VERSION,
    };
    outsider.say(&mut cluster, &hello);
    let bytes = file.len() as u64;
    let (request, snapshot) = (1, "tuesday");
    let import = ToNode::Import {
        request,
        snapshot,
        bytes,
    };
    outsider.say(&mut cluster, &import);
    for piece in file.chunks(50_000) {
        let data = Bytes(piece);
        outsider.say(&mut cluster, &ToNode::SnapshotData { request, data });
    }
    let mut answers = Vec::new();
    outsider.listen(&mut cluster, |message| match message {
        ToOperator::Refused { refusal, .. } => answers.push(Err(refusal.to_string())),
        ToOperator::Done { .. } => answers.push(Ok(())),
        _ => {}
    });
    let rows = cluster.json(node, "snapshots --json");
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), 1, "{rows:?}");
    let log = cluster.shell(node, "dmesg");
    match &answers[..] {
        [Ok(())] => assert!(log.contains("is here already, as 'tuesday'"), "{log}"),
        [Err(text)] => assert!(text.contains("is here already, as 'monday'"), "{text}"),
        other => panic!("{other:?}"),
    }
}
