//! Instances that move between simulated nodes, and who they are.

use sos_core::machine::Duration;
use sos_tests::programs::ticks;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::ImageBuilder;

const SECOND: Duration = Duration::from_secs(1);

fn identity(cluster: &mut Cluster, node: usize, name: &str) -> String {
    let detail = cluster.json(node, &format!("info {name} --json"));
    detail["instance"].as_str().expect("an identity").into()
}

#[test]
fn an_instance_stays_itself_through_suspension_and_restore_and_a_clone_does_not() {
    let mut cluster = Cluster::new(1);
    let image = ImageBuilder::new("ticking").instance("ticks", ticks(SECOND));
    cluster.boot("node1", image.build());
    cluster.run_for(SECOND);
    let before = identity(&mut cluster, 0, "ticks");
    assert_eq!(before.len(), 32);
    cluster.shell(0, "clone ticks as other");
    assert_ne!(identity(&mut cluster, 0, "other"), before);
    for line in [
        "suspend ticks",
        "resume ticks",
        "snapshot ticks to night --stop",
        "restore night",
        "restart ticks",
    ] {
        let text = cluster.shell(0, line);
        assert!(!text.contains("error"), "{line}: {text}");
        assert_eq!(identity(&mut cluster, 0, "ticks"), before, "{line}");
    }
    cluster.shell(0, "restore night as third");
    assert_ne!(identity(&mut cluster, 0, "third"), before);
}
