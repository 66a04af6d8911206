//! Two ends come together only if each has what the other trusts; everybody else gets nothing.

use super::*;
use crate::cluster::{BootId, Listed, Role};
use crate::keys::NodeKeys;
use alloc::vec;

const CLUSTER: [u8; 32] = [9; 32];

fn key(number: u8) -> NodeKey {
    NodeKey::new(&NodeKeys::new(&[number; 32]))
}

fn opening(protocol: Protocol, number: u8) -> Opening {
    let name = alloc::format!("node{number}");
    Opening::new(protocol, &name, BootId([number; 16]))
}

/// An end with the key and name of a number.
fn begin(
    number: u8,
    trust: &Trust,
    protocol: Protocol,
    expected: Option<PublicKey>,
) -> Result<Channel, ChannelError> {
    let setup = Setup {
        own: &key(number),
        trust: &Arc::new(trust.clone()),
        opening: opening(protocol, number),
        entropy: [number; 32],
        now: Time::ZERO,
    };
    Channel::initiate(setup, expected)
}

fn accept(number: u8, trust: &Trust) -> Channel {
    Channel::accept(Setup {
        own: &key(number),
        trust: &Arc::new(trust.clone()),
        opening: opening(Protocol::Tunnel, number),
        entropy: [number; 32],
        now: Time::ZERO,
    })
}

fn cluster() -> Trust {
    Trust::in_cluster(CLUSTER)
}

/// Trust in listed keys alone.
fn listing(keys: &[(u8, Role)]) -> Trust {
    let listed = keys.iter().map(|&(number, role)| Listed {
        key: key(number).public(),
        role,
        name: "somebody".into(),
    });
    Trust {
        listed: listed.collect(),
        ..Trust::default()
    }
}

/// Takes what an end has to send.
fn take(channel: &mut Channel) -> Vec<u8> {
    let bytes = channel.output().to_vec();
    channel.consume(bytes.len());
    bytes
}

/// Carries bytes both ways, in pieces of a length, until nobody has any. Returns what each end sent.
fn shake(
    one: &mut Channel,
    other: &mut Channel,
    piece: usize,
) -> Result<[Vec<u8>; 2], ChannelError> {
    let mut sent = [Vec::new(), Vec::new()];
    loop {
        let there = take(one);
        let back = take(other);
        if there.is_empty() && back.is_empty() {
            return Ok(sent);
        }
        sent[0].extend_from_slice(&there);
        sent[1].extend_from_slice(&back);
        for bytes in there.chunks(piece) {
            assert_eq!(other.receive(bytes)?, bytes.len());
        }
        for bytes in back.chunks(piece) {
            assert_eq!(one.receive(bytes)?, bytes.len());
        }
    }
}

fn open_pair() -> (Channel, Channel) {
    let mut one = begin(1, &cluster(), Protocol::Migration, None).unwrap();
    let mut other = accept(2, &cluster());
    shake(&mut one, &mut other, usize::MAX).unwrap();
    (one, other)
}

/// Hands over all that one end has to send: returns the messages that come out at the other.
fn carry(from: &mut Channel, to: &mut Channel) -> Result<Vec<Vec<u8>>, ChannelError> {
    let bytes = take(from);
    let mut messages = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let taken = to.receive(rest)?;
        rest = &rest[taken..];
        while let Some(message) = to.next_message()? {
            messages.push(message);
        }
    }
    Ok(messages)
}

#[test]
fn both_handshakes_open_a_channel_however_the_bytes_come() {
    for piece in [1, 7, usize::MAX] {
        let mut one = begin(1, &cluster(), Protocol::Migration, None).unwrap();
        let mut other = accept(2, &cluster());
        shake(&mut one, &mut other, piece).unwrap();
        let (two, first) = (one.peer().unwrap(), other.peer().unwrap());
        assert_eq!((two.key, two.id), (key(2).public(), key(2).id()));
        assert_eq!(two.opening, opening(Protocol::Migration, 2));
        assert_eq!(first.opening, opening(Protocol::Migration, 1));
        assert_eq!((first.key, first.version), (key(1).public(), VERSIONS.most));

        let wanted = Some(key(2).public());
        let nobody = Trust::default();
        let mut one = begin(1, &nobody, Protocol::Control, wanted).unwrap();
        let mut other = accept(2, &listing(&[(1, Role::Operator)]));
        shake(&mut one, &mut other, piece).unwrap();
        assert_eq!(other.peer().unwrap().key, key(1).public());
        assert_eq!(one.peer().unwrap().id, key(2).id());
        assert!(one.deadline().is_none());
    }
}

#[test]
fn messages_of_every_length_arrive_in_order_both_ways() {
    let (mut one, mut other) = open_pair();
    for length in [0, 1, 15, 16, 60 * 1024, MESSAGE_BYTES] {
        let messages = [vec![1; length], vec![2; length / 2]];
        one.send(&messages[0]).unwrap();
        one.send(&messages[1]).unwrap();
        assert_eq!(carry(&mut one, &mut other).unwrap(), messages);
        other.send(&messages[0]).unwrap();
        assert_eq!(carry(&mut other, &mut one).unwrap(), messages[..1]);
    }
    let long = vec![0; MESSAGE_BYTES + 1];
    assert_eq!(one.send(&long), Err(SendError::TooLong));
}

#[test]
fn what_waits_to_be_sent_is_bounded_and_so_is_what_came() {
    let (mut one, mut other) = open_pair();
    let message = vec![3; 10_000];
    let mut sent = 0;
    while one.send(&message).is_ok() {
        sent += 1;
    }
    assert_eq!(one.send(&message), Err(SendError::Full));
    assert!(one.output().len() <= limits::CHANNEL_OUTPUT_BYTES + LENGTH_BYTES + TAG_BYTES);
    // The other end takes one record, and no more before that is taken out.
    let bytes = one.output().to_vec();
    let taken = other.receive(&bytes).unwrap();
    assert_eq!(taken, LENGTH_BYTES + message.len() + TAG_BYTES);
    assert_eq!(other.receive(&bytes[taken..]), Ok(0));
    let mut came = 0;
    let mut rest = &bytes[taken..];
    while let Some(found) = other.next_message().unwrap() {
        assert_eq!(found, message);
        came += 1;
        let taken = other.receive(rest).unwrap();
        rest = &rest[taken..];
    }
    assert_eq!((came, rest.len()), (sent, 0));
    one.consume(bytes.len());
    assert_eq!(one.send(&message), Ok(()));
}

#[test]
fn whoever_lacks_the_cluster_key_gets_not_one_byte() {
    let stranger = Trust::in_cluster([8; 32]);
    let mut one = begin(1, &stranger, Protocol::Control, None).unwrap();
    let mut node = accept(2, &cluster());
    let first = take(&mut one);
    assert_eq!(node.receive(&first), Err(ChannelError::WrongKey));
    assert_eq!(node.output(), b"");
    // And nothing more, whatever follows.
    assert_eq!(node.receive(&first), Err(ChannelError::WrongKey));
    assert_eq!(node.next_message(), Err(ChannelError::WrongKey));
    assert_eq!(node.send(b"x"), Err(SendError::NotOpen));
    assert!(node.peer().is_none() && node.output().is_empty());
}

#[test]
fn an_unlisted_key_gets_not_one_byte_and_a_listed_one_no_more_than_it_is_good_for() {
    let trust = listing(&[(1, Role::Operator), (4, Role::Node)]);
    let wanted = Some(key(2).public());
    let mut stranger = begin(3, &Trust::default(), Protocol::Control, wanted).unwrap();
    let mut node = accept(2, &trust);
    let refused = node.receive(&take(&mut stranger));
    assert_eq!(refused, Err(ChannelError::Untrusted(key(3).public())));
    assert_eq!(node.output(), b"");

    for (number, protocol) in [
        (1, Protocol::Migration),
        (1, Protocol::Tunnel),
        (4, Protocol::Control),
    ] {
        let mut one = begin(number, &Trust::default(), protocol, wanted).unwrap();
        let mut node = accept(2, &trust);
        let refused = shake(&mut one, &mut node, usize::MAX);
        assert_eq!(refused, Err(ChannelError::NotAllowed(protocol)));
        assert!(one.peer().is_none() && node.peer().is_none());
        assert_eq!(node.output(), b"");
    }
    // A node without listed keys does not even look, nor does one without a cluster key.
    let mut one = begin(1, &Trust::default(), Protocol::Control, wanted).unwrap();
    let refused = accept(2, &cluster()).receive(&take(&mut one));
    assert_eq!(refused, Err(ChannelError::NotOurs));
    let mut one = begin(1, &cluster(), Protocol::Control, None).unwrap();
    let refused = accept(2, &trust).receive(&take(&mut one));
    assert_eq!(refused, Err(ChannelError::NotOurs));
    let nobody = begin(1, &Trust::default(), Protocol::Control, None);
    assert_eq!(nobody.unwrap_err(), ChannelError::NoTrust);
}

#[test]
fn a_node_that_is_not_the_expected_one_is_left() {
    let mut one = begin(1, &cluster(), Protocol::Migration, Some(key(3).public())).unwrap();
    let mut other = accept(2, &cluster());
    let left = shake(&mut one, &mut other, usize::MAX);
    assert_eq!(left, Err(ChannelError::AnotherNode(key(2).public())));
    let mut one = begin(1, &cluster(), Protocol::Migration, None).unwrap();
    let left = shake(&mut one, &mut accept(1, &cluster()), usize::MAX);
    assert_eq!(left, Err(ChannelError::OwnKey));
    // In a listed handshake the wrong node cannot even read the first message.
    let wanted = Some(key(3).public());
    let mut one = begin(1, &Trust::default(), Protocol::Migration, wanted).unwrap();
    let mut other = accept(2, &listing(&[(1, Role::Node)]));
    let refused = other.receive(&take(&mut one));
    assert_eq!(refused, Err(ChannelError::WrongKey));
}

#[test]
fn other_versions_and_another_answer_end_the_channel() {
    let mut one = begin(1, &cluster(), Protocol::Migration, None).unwrap();
    let mut newer = accept(2, &cluster());
    one.opening.versions = Versions { least: 7, most: 9 };
    let left = shake(&mut one, &mut newer, usize::MAX);
    assert_eq!(
        left,
        Err(ChannelError::Version(Versions { least: 7, most: 9 }))
    );
    let range = |least, most| Versions { least, most };
    assert_eq!(range(1, 4).common(range(3, 9)), Some(4));
    assert_eq!(range(1, 2).common(range(3, 9)), None);
}

#[test]
fn scanners_get_nothing_and_are_left_at_the_first_wrong_byte() {
    let probes: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-scan\r\n",
        &[0; 64],
        &[0xff; 64],
        b"SOS-ch1\x03",
    ];
    for probe in probes {
        let mut node = accept(2, &cluster());
        assert_eq!(node.receive(probe), Err(ChannelError::NotOurs), "{probe:?}");
        assert_eq!(node.output(), b"");
    }
    // The first wrong byte is enough, though more of the beginning is to come.
    let mut node = accept(2, &cluster());
    assert_eq!(node.receive(b"SO"), Ok(2));
    assert_eq!(node.receive(b"x"), Err(ChannelError::NotOurs));
}

#[test]
fn endless_and_malformed_streams_are_left_within_a_hundred_bytes() {
    for flood in [[0x00; 4096], [0xff; 4096], [0x41; 4096]] {
        let mut node = accept(2, &cluster());
        node.receive(b"SOS-ch1\x01").unwrap();
        assert_eq!(node.receive(&flood), Err(ChannelError::BadLength));
        assert!(node.output().is_empty() && node.incoming.bytes.is_empty());
        let mut node = accept(2, &cluster());
        node.receive(b"SOS-ch1\x01\x00\x30").unwrap();
        assert_eq!(node.receive(&flood), Err(ChannelError::WrongKey));
        assert_eq!(node.output(), b"");
    }
}

#[test]
fn a_stream_that_ends_early_is_given_up_when_time_is_up() {
    let mut one = begin(1, &cluster(), Protocol::Migration, None).unwrap();
    let first = take(&mut one);
    for length in 0..first.len() {
        let mut node = accept(2, &cluster());
        assert_eq!(node.receive(&first[..length]), Ok(length));
        assert_eq!(node.output(), b"");
        assert_eq!(node.tick(Time::ZERO), Ok(()));
        let late = Time::ZERO + HANDSHAKE_TIMEOUT;
        assert_eq!(node.deadline(), Some(late));
        assert_eq!(node.tick(late), Err(ChannelError::Overdue));
        assert_eq!(node.receive(b"x"), Err(ChannelError::Overdue));
    }
}

#[test]
fn a_recorded_session_opens_nothing_when_it_is_played_again() {
    let mut one = begin(1, &cluster(), Protocol::Migration, None).unwrap();
    let mut other = accept(2, &cluster());
    let [mut recorded, _] = shake(&mut one, &mut other, usize::MAX).unwrap();
    one.send(b"secret").unwrap();
    recorded.extend(take(&mut one));
    // The node draws other random bytes for another channel.
    let mut node = accept(2, &cluster());
    node.entropy = [77; 32];
    assert_eq!(node.receive(&recorded), Err(ChannelError::Malformed));
    assert!(node.peer().is_none() && node.output().is_empty());
    // To whoever waits before he goes on, it says what he cannot read, and no more.
    let mut node = accept(2, &cluster());
    node.entropy = [77; 32];
    node.receive(&recorded[..PREFACE_BYTES + LENGTH_BYTES + 48])
        .unwrap();
    assert_eq!(node.output().len(), LENGTH_BYTES + 96);
    // Nor does a listed session.
    let wanted = Some(key(2).public());
    let trust = listing(&[(1, Role::Node)]);
    let mut one = begin(1, &Trust::default(), Protocol::Migration, wanted).unwrap();
    let [recorded, _] = shake(&mut one, &mut accept(2, &trust), usize::MAX).unwrap();
    let mut node = accept(2, &trust);
    node.entropy = [77; 32];
    assert_eq!(node.receive(&recorded), Err(ChannelError::Malformed));
    assert!(node.peer().is_none());
}

#[test]
fn a_message_that_is_repeated_moved_lost_or_changed_ends_the_channel() {
    let records = |one: &mut Channel| {
        [&b"first"[..], b"second"].map(|message| {
            one.send(message).unwrap();
            take(one)
        })
    };
    type Spoil = fn([Vec<u8>; 2]) -> Vec<u8>;
    let spoils: [Spoil; 4] = [
        |[first, _]| [first.clone(), first].concat(),
        |[first, second]| [second, first].concat(),
        |[_, second]| second,
        |[mut first, second]| {
            first[4] ^= 1;
            [first, second].concat()
        },
    ];
    for spoil in spoils {
        let (mut one, mut other) = open_pair();
        let bytes = spoil(records(&mut one));
        let mut rest = &bytes[..];
        let end = loop {
            let taken = match other.receive(rest) {
                Ok(taken) => taken,
                Err(error) => break error,
            };
            rest = &rest[taken..];
            match other.next_message() {
                Ok(Some(message)) => assert_eq!(message, b"first"),
                Ok(None) => panic!("the channel goes on"),
                Err(error) => break error,
            }
        };
        assert_eq!(end, ChannelError::Malformed);
        assert!(other.peer().is_none());
    }
}

#[test]
fn no_changed_byte_of_a_handshake_opens_a_channel() {
    let mut one = begin(1, &cluster(), Protocol::Migration, None).unwrap();
    let first = take(&mut one);
    for at in 0..first.len() {
        let mut spoiled = first.clone();
        spoiled[at] ^= 0x80;
        let mut node = accept(2, &cluster());
        assert!(node.receive(&spoiled).is_err(), "{at}");
        assert_eq!(node.output(), b"", "{at}");
    }
    let mut node = accept(2, &cluster());
    node.receive(&first).unwrap();
    let answer = take(&mut node);
    for at in 0..answer.len() {
        let mut spoiled = answer.clone();
        spoiled[at] ^= 0x80;
        let mut one = begin(1, &cluster(), Protocol::Migration, None).unwrap();
        take(&mut one);
        assert!(one.receive(&spoiled).is_err(), "{at}");
        assert!(one.peer().is_none() && one.output().is_empty(), "{at}");
    }
    // What an end sent does not open it when it comes back.
    let mut one = begin(1, &cluster(), Protocol::Migration, None).unwrap();
    let own = take(&mut one);
    assert!(one.receive(&own).is_err());
}

#[test]
fn keys_are_replaced_by_both_ends_at_the_same_message() {
    fn sealed(channel: &mut Channel) -> &mut Sealed {
        match &mut channel.stage {
            Stage::Sealed(sealed) => sealed,
            _ => panic!("not open"),
        }
    }
    let (mut one, mut other) = open_pair();
    for end in [&mut one, &mut other] {
        sealed(end).rekey_bytes = 1000;
    }
    for number in 0..100_u8 {
        let message = vec![number; usize::from(number) * 9];
        one.send(&message).unwrap();
        assert_eq!(
            carry(&mut one, &mut other).unwrap(),
            core::slice::from_ref(&message)
        );
        other.send(&message).unwrap();
        assert_eq!(carry(&mut other, &mut one).unwrap(), [message]);
    }
    assert!(sealed(&mut one).sent_bytes < 1000);
    // An end that does not replace its key is not understood any more.
    sealed(&mut one).rekey_bytes = u64::MAX;
    let refused = (0..3).find_map(|_| {
        one.send(&[0; 900]).unwrap();
        carry(&mut one, &mut other).err()
    });
    assert_eq!(refused, Some(ChannelError::Malformed));
}
