//! Snapshots that come with the boot, and who made them, on simulated nodes.

use sos_core::image::{Bundle, Part, PartKind};
use sos_core::keys::NodeKeys;
use sos_core::machine::Duration;
use sos_core::operator::{Contents, Packing};
use sos_core::snapshot::format::{Maker, SummaryReader};
use sos_tests::programs::ticks;
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::ImageBuilder;

const SECOND: Duration = Duration::from_secs(1);

fn image() -> Vec<u8> {
    ImageBuilder::new("ticking")
        .instance("ticks", ticks(SECOND))
        .build()
}

fn bundle(image: &[u8], kind: PartKind, snapshots: &[(&str, &[u8])]) -> Vec<u8> {
    let part = |kind, name: &str, bytes| Part {
        kind,
        name: name.into(),
        bytes,
    };
    let snapshots = snapshots
        .iter()
        .map(|(name, bytes)| part(kind, name, *bytes));
    let parts = std::iter::once(part(PartKind::Image, "", image)).chain(snapshots);
    let bundle = Bundle {
        parts: parts.collect(),
    };
    bundle.encode().expect("a bundle")
}

/// The file of a snapshot of an instance that has ticked twice.
fn file(keys: Option<NodeKeys>) -> Vec<u8> {
    let mut cluster = Cluster::new(1);
    cluster.boot_with("first", image().leak(), keys);
    cluster.run_for(Duration::from_millis(2500));
    assert_eq!(cluster.ticks(0, "ticks"), 2);
    cluster.shell(0, "snapshot ticks to travel");
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let contents = Contents::SelfContained;
    let file = outsider.export_packed(&mut cluster, "travel", contents, Packing::Compressed);
    file.expect("a file")
}

fn import(cluster: &mut Cluster, node: usize, file: &[u8]) -> Result<(), String> {
    Outsider::greeted(cluster, node).import(cluster, "travel", file)
}

#[test]
fn a_snapshot_of_the_boot_module_is_kept() {
    let mut cluster = Cluster::new(2);
    let module = bundle(&image(), PartKind::Snapshot, &[("monday", &file(None))]);
    cluster.boot("second", module);
    cluster.run_for(Duration::from_millis(1500));
    let rows = cluster.json(0, "snapshots --json");
    assert_eq!(
        (&rows[0]["name"], &rows[0]["taken"]),
        (&"monday".into(), &"imported".into())
    );
    assert_eq!(
        cluster.ticks(0, "ticks"),
        1,
        "the image's own instance runs"
    );
    let log = cluster.shell(0, "dmesg");
    assert!(
        log.contains("snapshot 'monday' came with the boot"),
        "{log}"
    );
}

#[test]
fn a_snapshot_is_restored_at_boot_in_place_of_the_images_instance() {
    let mut cluster = Cluster::new(3);
    let module = bundle(&image(), PartKind::Restored, &[("monday", &file(None))]);
    cluster.boot("second", module);
    cluster.run_for(Duration::from_millis(700));
    assert_eq!(
        cluster.ticks(0, "ticks"),
        3,
        "half a second was left to the third"
    );
    // One whose instance the image does not have.
    let empty = ImageBuilder::new("empty").build();
    let module = bundle(&empty, PartKind::Restored, &[("monday", &file(None))]);
    let third = cluster.boot("third", module);
    cluster.run_for(Duration::from_millis(700));
    assert_eq!(cluster.ticks(third, "ticks"), 3);
}

#[test]
fn a_damaged_snapshot_at_boot_is_told_and_the_image_runs() {
    let mut damaged = file(None);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let mut cluster = Cluster::new(4);
    let module = bundle(&image(), PartKind::Restored, &[("monday", &damaged)]);
    cluster.boot("second", module);
    cluster.run_for(Duration::from_millis(1500));
    assert_eq!(cluster.ticks(0, "ticks"), 1);
    let log = cluster.shell(0, "dmesg");
    assert!(
        log.contains("snapshot 'monday' of the boot module: "),
        "{log}"
    );
    let mut broken = bundle(&image(), PartKind::Restored, &[("monday", &damaged)]);
    broken[20] ^= 1;
    let third = cluster.boot("third", broken);
    cluster.run_for(SECOND);
    let log = cluster.shell(third, "dmesg");
    assert!(
        log.contains("boot module: part 0 of the bundle is damaged"),
        "{log}"
    );
}

#[test]
fn a_file_tells_whether_the_node_itself_made_it() {
    let [own, other] = [[1; 32], [2; 32]].map(|secret| NodeKeys::new(&secret));
    let file = file(Some(own.clone()));
    let maker = |keys: &NodeKeys| {
        let mut reader = SummaryReader::with_key(Some(keys.snapshots()));
        reader.read(&file);
        reader.finish().maker
    };
    assert_eq!((maker(&own), maker(&other)), (Maker::Own, Maker::Elsewhere));
    let mut cluster = Cluster::new(5);
    for (number, (keys, words)) in [
        (Some(own), "this node"),
        (Some(other), "elsewhere"),
        (None, "elsewhere"),
    ]
    .into_iter()
    .enumerate()
    {
        let node = cluster.boot_with(&format!("node{number}"), image().leak(), keys);
        cluster.run_for(SECOND);
        assert_eq!(import(&mut cluster, node, &file), Ok(()));
        let rows = cluster.json(node, "snapshots --json");
        assert_eq!(rows[0]["maker"], words);
    }
}
