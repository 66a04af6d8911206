//! What another node may ask for and have done: never another instance's files; and an instance stopped that it has
//! again, whatever is left of it here.

use super::{ECHO_TO_MANY, HALF, SECOND, done, has_event, runs_on, two_nodes};
use sos_core::image::blob_hash;
use sos_core::machine::Duration;
use sos_core::migrate::{BootId, Message};
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::ImageBuilder;

/// An instance with a file, beside one with a secret.
fn with_files() -> Cluster {
    let mut cluster = Cluster::new(1);
    let image = ImageBuilder::new("node1")
        .instance("echo", ECHO_TO_MANY)
        .file("/motd", b"hello")
        .instance("vault", ECHO_TO_MANY)
        .file("/key", b"secret");
    cluster.boot("node1", image.build());
    cluster.run_for(HALF);
    cluster
}

/// What a node says to one that it offers an instance to, and that asks for a blob by its hash.
fn asked_for(cluster: &mut Cluster, wanted: &[u8]) -> Vec<Vec<u8>> {
    let link = cluster.link_by_hand(0, "other");
    let say = |cluster: &mut Cluster, message: &Message<'_>| {
        cluster.say_by_hand(0, link, message.encode().expect("a message"));
        cluster.run_for(Duration::from_millis(10));
        cluster.take_by_hand(0, link)
    };
    say(cluster, &Message::hello(BootId([7; 16])));
    cluster.type_text(0, "migrate echo other\r");
    cluster.run_for(Duration::from_millis(10));
    let offers = cluster.take_by_hand(0, link);
    let handover = offers.iter().find_map(|said| match Message::decode(said) {
        Ok(Message::Offer { handover, .. }) => Some(handover),
        _ => None,
    });
    let handover = handover.expect("an offer");
    let hashes = vec![blob_hash(wanted)];
    let mut said = say(cluster, &Message::Missing { handover, hashes });
    said.extend(say(cluster, &Message::Accept { handover }));
    said
}

#[test]
fn a_node_gets_the_files_of_what_it_is_offered_and_nobody_elses() {
    let holds = |said: &[Vec<u8>], bytes: &[u8]| {
        said.iter()
            .any(|message| message.windows(bytes.len()).any(|it| it == bytes))
    };
    let said = asked_for(&mut with_files(), b"hello");
    assert!(holds(&said, b"hello"));
    let mut cluster = with_files();
    let said = asked_for(&mut cluster, b"secret");
    assert!(!holds(&said, b"secret"));
    cluster.run_for(HALF);
    assert!(has_event(&mut cluster, 0, "not-moved"));
    assert_eq!(runs_on(&mut cluster, "echo"), [0]);
}

/// An echo that runs on the second of two nodes, while the first does not know whether it does.
fn in_doubt() -> Cluster {
    for lost in 0..100 {
        let mut cluster = two_nodes("echo", ECHO_TO_MANY);
        cluster.run_for(HALF);
        cluster.part_after(lost);
        cluster.type_text(0, "migrate echo node2\r");
        cluster.run_for(SECOND);
        if has_event(&mut cluster, 0, "in-doubt") && runs_on(&mut cluster, "echo") == [1] {
            return cluster;
        }
    }
    panic!("no message whose loss leaves the source in doubt");
}

#[test]
fn a_copy_that_a_wrong_word_made_does_not_come_back_where_it_only_rests() {
    for (verb, again) in [
        ("suspend", "resume"),
        ("kill", "start"),
        ("pause", "resume"),
    ] {
        let mut cluster = in_doubt();
        done(&mut cluster, 1, &format!("{verb} echo"));
        done(&mut cluster, 0, "migrate --resolve echo here");
        assert_eq!(runs_on(&mut cluster, "echo"), [0], "{verb}");
        cluster.join(0, 1);
        cluster.run_for(2 * SECOND);
        let text = cluster.shell(1, &format!("{again} echo"));
        assert!(text.contains("error"), "{verb}: {text}");
        cluster.run_for(SECOND);
        assert_eq!(runs_on(&mut cluster, "echo"), [0], "{verb}");
    }
}
