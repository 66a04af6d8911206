//! A snapshot file of any bytes, restored as an instance beside a neighbour (target `restore`).
//!
//! The file is sealed first, so that all of it is believed as far as checksums go. Whatever it holds: it is
//! refused, or its instance runs, is cut, cloned, suspended and killed, and the neighbour never notices.

use super::file::File;
use super::guests;
use crate::programs::ticks;
use crate::sim::channel::Outsider;
use crate::sim::cluster::Cluster;
use crate::sim::image::ImageBuilder;
use sos_core::machine::{Duration, Time};
use sos_core::operator::{Contents, Packing};
use sos_core::snapshot::About;
use std::sync::OnceLock;

/// The neighbour, and how often it makes itself heard.
pub(super) const NEIGHBOUR: &str = "neighbour";
pub(super) const PERIOD: Duration = Duration::from_millis(1);
/// Memory of the node: enough for what the seeds are, and little for what claims to be more.
pub(super) const NODE_BYTES: u64 = 64 << 20;
/// Time for what is done with the instance.
const MOMENT: Duration = Duration::from_millis(2);

/// Restores `bytes` on a node of its own.
///
/// # Panics
/// When the node or the neighbour is not as it was.
pub fn run(bytes: &[u8]) {
    let Some(file) = File::read(bytes) else {
        return;
    };
    let mut cluster = node();
    let mut outsider = Outsider::greeted(&mut cluster, 0);
    let name = match outsider.import(&mut cluster, "claim", &file.seal()) {
        Ok(()) => instance_name(&file),
        Err(_) => None,
    };
    if let Some(name) = name {
        try_out(&mut cluster, &name);
    }
    check_neighbour(&mut cluster);
}

/// The node lives, and the neighbour has gone on all the time.
pub(super) fn check_neighbour(cluster: &mut Cluster) {
    check_neighbour_since(cluster, Time::ZERO);
}

/// The same of one that was started then.
pub(super) fn check_neighbour_since(cluster: &mut Cluster, started: Time) {
    let lived = cluster.now().since(started).as_nanos() / PERIOD.as_nanos();
    let lived = lived as u64;
    let heard = cluster.ticks(0, NEIGHBOUR) as u64;
    assert!(
        heard >= lived / 2 && cluster.nodes[0].ended.is_none(),
        "the neighbour was heard {heard} times in {lived} ms"
    );
}

/// All that can be done with an instance.
fn try_out(cluster: &mut Cluster, name: &str) {
    if !answer(cluster, "restore claim").contains("error") {
        let peer = cluster.add_peer("10.0.0.100/24");
        if let Ok(socket) = cluster.udp_bind(peer) {
            let _ = cluster.send_to(socket, b"datagram", "10.0.0.1:7");
        }
        cluster.run_for(2 * MOMENT);
        for line in [
            format!("info {name}"),
            format!("snapshot {name} to second --incremental"),
            format!("clone {name} as copy"),
            format!("suspend {name}"),
            format!("resume {name}"),
            format!("snapshot {name} to third --stop"),
            "restore third".into(),
            "kill copy".into(),
            format!("kill {name}"),
        ] {
            answer(cluster, &line);
        }
    }
    // Also as another instance, with addresses of its own.
    answer(cluster, "restore claim as other");
    answer(cluster, "kill other");
}

/// Runs a verb of the shell for a moment.
pub(super) fn answer(cluster: &mut Cluster, line: &str) -> String {
    let before = cluster.nodes[0].machine.printed.len();
    cluster.type_text(0, &format!("{line}\r"));
    cluster.run_for(MOMENT);
    String::from_utf8_lossy(&cluster.nodes[0].machine.printed[before..]).into_owned()
}

/// The name of the instance that a file says it holds.
fn instance_name(file: &File) -> Option<String> {
    let about = file.sections.first()?;
    let about: About = postcard::from_bytes(&about.payload).ok()?;
    Some(about.spec.name)
}

/// A node with nothing but the neighbour.
pub(super) fn node() -> Cluster {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    let image = IMAGE.get_or_init(|| {
        let image = ImageBuilder::new("node").switch("lan", Some("nic0"));
        let image = image.instance(NEIGHBOUR, ticks(PERIOD));
        image
            .with(|spec| spec.limits.memory_bytes = 1 << 20)
            .build()
    });
    let mut cluster = Cluster::new(1);
    cluster.boot_from("node", image);
    cluster.nodes[0].machine.memory.set_total_bytes(NODE_BYTES);
    cluster.run_for(MOMENT);
    cluster
}

/// An image of a node that has no instance.
pub(super) fn empty_image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        ImageBuilder::new("other")
            .switch("lan", Some("nic0"))
            .build()
    })
}

/// Files of real instances, to begin with.
///
/// # Panics
/// When they cannot be made.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut cluster = guests::running();
    let export = |name: &&str| {
        let text = cluster.shell(0, &format!("snapshot {name} to {name}"));
        assert!(!text.contains("error"), "{text}");
        let mut outsider = Outsider::greeted(&mut cluster, 0);
        let contents = Contents::SelfContained;
        let file = outsider.export_packed(&mut cluster, name, contents, Packing::Compressed);
        file.expect("a file")
    };
    guests::NAMES.iter().map(export).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::mutate;

    /// Whether a file is taken and its instance made; why not is shown.
    fn is_restored(file: &[u8]) -> bool {
        let mut cluster = node();
        let mut outsider = Outsider::greeted(&mut cluster, 0);
        let result = outsider.import(&mut cluster, "claim", file).and_then(|()| {
            match answer(&mut cluster, "restore claim") {
                text if text.contains("error") => Err(text),
                _ => Ok(()),
            }
        });
        if let Err(text) = &result {
            println!("{text}");
        }
        result.is_ok()
    }

    #[test]
    fn genuine_files_are_restored_and_many_others_too() {
        let seeds = seeds();
        assert!(seeds.iter().all(|seed| is_restored(seed)));
        let others = (0..).zip(seeds.iter().cycle()).take(200);
        let others = others.map(|(number, seed)| mutate::snapshot(seed, number));
        let restored = others.filter(|file| is_restored(file)).count();
        assert!(
            (20..190).contains(&restored),
            "{restored} of 200 are restored"
        );
    }
}
