//! Snapshots, files of them, restores and clones while memory ends or power is cut, at every step: the original goes
//! on or stays as it was, its client loses nothing, nothing is kept that nobody has, and the operator is told why.

mod admission;
mod memory;
mod power;

use sos_core::machine::Duration;
use sos_tests::heap::CountingHeap;
use sos_tests::programs::COUNTING_ECHO;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};
use sos_tests::sim::peer::PeerSocket;

#[global_allocator]
static HEAP: CountingHeap = CountingHeap;

const HALF: Duration = Duration::from_millis(500);

/// The image of a node that echoes at 10.0.0.1 port 7.
fn echo_image() -> Vec<u8> {
    let image = ImageBuilder::new("echoing")
        .switch("lan", Some("nic0"))
        .instance("echo", COUNTING_ECHO)
        .port("eth0", switch("lan"), "10.0.0.1/24")
        // The same after the power was cut, as its client remembers it.
        .with(|spec| spec.ports[0].mac = Some([2, 0, 0, 0, 0, 1]));
    image.build()
}

/// The image of a node that has nothing but a switch.
fn empty_image() -> Vec<u8> {
    let image = ImageBuilder::new("empty").switch("lan", Some("nic0"));
    image.build()
}

/// A client's connection to `echo`, whose every answer tells how many there were before.
struct Talk {
    socket: PeerSocket,
    messages: u8,
}

impl Talk {
    /// Connects a client to `echo`.
    fn open(cluster: &mut Cluster, client: usize) -> Talk {
        let socket = cluster.connect(client, "10.0.0.1:7").expect("it listens");
        let mut talk = Talk {
            socket,
            messages: 0,
        };
        talk.exchange(cluster, "at first");
        talk
    }

    /// Sends a byte, and does not wait for the answer.
    fn say(&mut self, cluster: &mut Cluster) {
        cluster.write_all(self.socket, b"a").expect("it is there");
        self.messages = self.messages.wrapping_add(1);
    }

    /// Waits for the answer to the last byte: the connection is the same and no byte was lost or doubled.
    fn hear(&mut self, cluster: &mut Cluster, when: &str) {
        let answer = cluster.read(self.socket);
        let answer = answer.unwrap_or_else(|error| panic!("{when}: {error:?}"));
        assert_eq!(answer, [b'a'.wrapping_add(self.messages)], "{when}");
    }

    fn exchange(&mut self, cluster: &mut Cluster, when: &str) {
        self.say(cluster);
        self.hear(cluster, when);
    }
}

/// A node that echoes, and a client that talks to it.
fn talking() -> (Cluster, usize, Talk) {
    let (mut cluster, client) = Cluster::beside_client(echo_image());
    cluster.run_for(HALF);
    let talk = Talk::open(&mut cluster, client);
    (cluster, client, talk)
}
