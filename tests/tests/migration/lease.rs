//! An address that DHCP gave moves along: the same station asks for the same address where the instance is.

use super::{SECOND, arrives, connections, done, echoes, empty};
use sos_core::machine::Duration;
use sos_tests::programs::ECHO_TO_MANY;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};
use sos_tests::sim::peer::PeerSocket;

/// What the server gives, and for how long.
const GIVEN: [u8; 4] = [10, 0, 0, 1];
const LEASE_SECONDS: u32 = 60;
const SERVER: [u8; 4] = [10, 0, 0, 100];

/// Messages of DHCP (RFC 2132, 9.6).
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
/// Where the fields of a message are (RFC 2131, section 2).
const CIADDR: usize = 12;
const YIADDR: usize = 16;
const CHADDR: usize = 28;
const OPTIONS: usize = 240;

/// A question that a server was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    kind: u8,
    station: [u8; 6],
    /// The address that the client has and uses.
    has: [u8; 4],
}

/// A DHCP server on a peer, which gives one address.
struct Server {
    socket: PeerSocket,
    asked: Vec<Asked>,
}

impl Server {
    /// Answers what was asked since it was looked at last.
    fn serve(&mut self, cluster: &mut Cluster) {
        while let Some((message, _)) = cluster.receive_now(self.socket).expect("a socket") {
            let Some(kind) = option(&message, 53).map(|value| value[0]) else {
                continue;
            };
            self.asked.push(Asked {
                kind,
                station: message[CHADDR..CHADDR + 6].try_into().expect("six bytes"),
                has: message[CIADDR..CIADDR + 4].try_into().expect("four bytes"),
            });
            let kind = if kind == DISCOVER { OFFER } else { ACK };
            let mut answer = message[..OPTIONS].to_vec();
            answer[0] = 2;
            answer[YIADDR..YIADDR + 4].copy_from_slice(&GIVEN);
            answer.extend([53, 1, kind, 54, 4]);
            answer.extend(SERVER);
            answer.extend([51, 4]);
            answer.extend(LEASE_SECONDS.to_be_bytes());
            answer.extend([1, 4, 255, 255, 255, 0, 255]);
            let to = "255.255.255.255:68";
            cluster.send_to(self.socket, &answer, to).expect("sent");
        }
    }

    fn run_for(&mut self, cluster: &mut Cluster, duration: Duration) {
        let end = cluster.now() + duration;
        while cluster.now() < end {
            cluster.run_for(Duration::from_millis(100));
            self.serve(cluster);
        }
    }
}

/// The value of an option of a message.
fn option(message: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut at = OPTIONS;
    loop {
        match *message.get(at)? {
            0 => at += 1,
            255 => return None,
            kind => {
                let length = usize::from(*message.get(at + 1)?);
                if kind == wanted {
                    return message.get(at + 2..at + 2 + length);
                }
                at += 2 + length;
            }
        }
    }
}

#[test]
fn a_lease_moves_along_and_is_renewed_from_the_new_node() {
    let mut cluster = Cluster::new(5);
    let image = ImageBuilder::new("node1")
        .switch("lan", Some("nic0"))
        .instance("echo", ECHO_TO_MANY)
        .dhcp_port("eth0", switch("lan"));
    cluster.boot("node1", image.build());
    cluster.boot("node2", empty("node2"));
    cluster.join(0, 1);
    let peer = cluster.add_peer("10.0.0.100/24");
    let socket = cluster.udp_bind_to(peer, 67).expect("the server's port");
    let mut server = Server {
        socket,
        asked: Vec::new(),
    };
    server.run_for(&mut cluster, 5 * SECOND);
    let kinds: Vec<u8> = server.asked.iter().map(|asked| asked.kind).collect();
    assert_eq!(kinds, [DISCOVER, REQUEST]);
    let station = server.asked[0].station;
    let sockets = connections(&mut cluster, peer, 2);
    echoes(&mut cluster, &sockets, 0, 5000);

    done(&mut cluster, 0, "migrate echo node2");
    arrives(&mut cluster, "echo", 1);
    echoes(&mut cluster, &sockets, 1, 5000);
    // The server's clock went on: it is asked at once.
    server.asked.clear();
    server.run_for(&mut cluster, 5 * SECOND);
    assert_eq!(server.asked.len(), 1, "{:?}", server.asked);
    // Three times as long as the lease: it was renewed, by whom it was given to, and never sought anew.
    server.run_for(
        &mut cluster,
        Duration::from_secs(u64::from(3 * LEASE_SECONDS)),
    );
    assert!(server.asked.len() >= 3, "{:?}", server.asked);
    let renewal = Asked {
        kind: REQUEST,
        station,
        has: GIVEN,
    };
    assert!(
        server.asked.iter().all(|asked| *asked == renewal),
        "{:?}",
        server.asked
    );
    echoes(&mut cluster, &sockets, 2, 5000);
    let network = cluster.shell(1, "net echo");
    assert!(network.contains("10.0.0.1"), "{network}");
    assert_eq!(cluster.resets, 0);
}
