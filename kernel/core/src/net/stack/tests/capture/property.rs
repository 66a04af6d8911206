//! Random talks over a bad network, cut and resumed at random: nothing is lost, doubled or reset.
//!
//! `SOS_CAPTURE_SEEDS=20000 cargo test -p sos-core --release net::stack::tests::capture::property -- --ignored` runs
//! as many seeds; `SOS_CAPTURE_FIRST` tells where they begin, so that one that failed is repeated alone.

extern crate std;

use super::*;
use smoltcp::socket::tcp::State;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = scramble(self.0);
        self.0 % bound
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// One side's part in a talk.
struct Speaker {
    stream: Vec<u8>,
    written: usize,
    got: Vec<u8>,
    shut: bool,
    ended: bool,
    /// Its handle, once it has one.
    id: Option<SocketId>,
}

impl Speaker {
    fn new(number: u64, length: usize) -> Speaker {
        Speaker {
            stream: pattern(number, length),
            written: 0,
            got: Vec::new(),
            shut: false,
            ended: false,
            id: None,
        }
    }

    /// Says or hears something, or does not.
    fn act(&mut self, stack: &mut Stack, random: &mut Random) {
        let Some(id) = self.id else { return };
        if stack.tcp_connected(id) != Ok(true) {
            assert_eq!(stack.tcp_connected(id), Ok(false));
            return;
        }
        let rest = &self.stream[self.written..];
        if !rest.is_empty() && random.percent(60) {
            let part = rest.len().min(1 + random.below(20_000) as usize);
            let written = stack.tcp_write(id, &rest[..part]).unwrap();
            self.written += written.unwrap_or(0);
        } else if rest.is_empty() && !self.shut && random.percent(20) {
            stack.tcp_shutdown(id, Shutdown::Write).unwrap();
            self.shut = true;
        }
        if !self.ended && random.percent(50) {
            let mut buffer = vec![0; 1 + random.below(20_000) as usize];
            match stack.tcp_read(id, &mut buffer).unwrap() {
                Some(0) => self.ended = true,
                Some(read) => self.got.extend_from_slice(&buffer[..read]),
                None => {}
            }
        }
    }

    fn is_done(&self) -> bool {
        self.ended && self.shut
    }
}

/// Looks for RST. Only one that is through with a connection may send it: then a segment that comes twice, or late,
/// finds nobody, and its sender is through too.
#[derive(Default)]
struct Watch {
    looked: usize,
}

impl Watch {
    fn look(&mut self, world: &World, speakers: &[Speaker; 2], seed: u64) {
        let relay = world.relay.as_ref().unwrap();
        for frame in &relay.seen[self.looked..] {
            let is_reset = frame[12..14] == [8, 0] && frame[23] == 6 && frame[47] & 4 != 0;
            if !is_reset {
                continue;
            }
            let side = usize::from(frame[6..12] == MAC_B);
            let stack = &world.stacks[side];
            let slot = speakers[side]
                .id
                .and_then(|id| stack.handles.connection(id).ok());
            let state = slot.and_then(|slot| Some(stack.connections.get(slot)?.state()));
            let is_through = speakers.iter().all(|speaker| speaker.shut)
                && matches!(state, None | Some(State::Closed));
            assert!(is_through, "seed {seed}: RST from {side} in {state:?}");
        }
        self.looked = relay.seen.len();
    }
}

fn talk(seed: u64) {
    let mut random = Random(scramble(seed ^ 0x5EED));
    let faults = Faults {
        lost: random.below(3) * random.below(4),
        doubled: random.below(6),
        delayed: random.below(10),
    };
    let checksums = if random.percent(50) {
        Checksums::Omitted
    } else {
        Checksums::Computed
    };
    // A buffer takes a whole segment of its network: smoltcp 0.14's fast retransmission sends one whatever the
    // window, and what lies beyond it is not even acknowledged by smoltcp. That takes no cut to go wrong.
    let sizes: &[usize] = match checksums {
        Checksums::Computed => &[2048, 20_001, 65_536, 200_000],
        Checksums::Omitted => &[20_001, 65_536, 200_000],
    };
    let mut limits = [StackLimits::default(); 2];
    for limits in &mut limits {
        limits.tcp_buffer_bytes = sizes[random.below(sizes.len() as u64) as usize];
    }
    let mut world = World::relayed(limits[0], faults, seed, checksums);
    let properties = world.stacks[B].interfaces[0].properties;
    let port = world.stacks[B].interfaces[0].port;
    world.stacks[B] = Stack::new(limits[1], seed + 1);
    world.stacks[B]
        .add_interface(config(port, properties, MAC_B[5]), world.now)
        .unwrap();
    let listener = world.stacks[A].tcp_listen(None, 80, 4).unwrap();
    let mut speakers = [0, 1].map(|side| Speaker::new(side, random.below(150_000) as usize));
    let began = world.stacks[B].tcp_connect(address(10, 80), world.now);
    speakers[B].id = Some(began.unwrap());
    let often = 1 + random.below(12);
    let mut cuts = 0;
    let mut away: Option<(usize, StackState, Vec<Vec<u8>>, Time)> = None;
    let begin = world.now;
    let mut watch = Watch::default();
    let mut is_unheard = false;
    world.run(|world| {
        // A network that loses every SYN for half a minute is no fault of a cut.
        let timed_out = Err(NetError::TimedOut);
        let began = speakers[B].id.map(|id| world.stacks[B].tcp_connected(id));
        is_unheard |= speakers[A].id.is_none() && began == Some(timed_out);
        if is_unheard {
            return true;
        }
        watch.look(world, &speakers, seed);
        if let Some((side, state, frames, until)) = &away {
            if world.now >= *until {
                world.resume(*side, state, frames, seed ^ cuts);
                away = None;
            }
        } else if random.percent(often) && cuts < 40 {
            cuts += 1;
            let side = random.below(2) as usize;
            let waiting = if random.percent(60) {
                Waiting::Kept
            } else {
                Waiting::Lost
            };
            let (state, frames) = world.cut(side, waiting);
            let pause = Duration::from_micros(random.below(3) * random.below(400_000));
            away = Some((side, state, frames, world.now + pause));
        }
        let gone = away.as_ref().map(|(side, ..)| *side);
        for side in [A, B] {
            if gone == Some(side) {
                continue;
            }
            if side == A && speakers[A].id.is_none() {
                let accepted = world.stacks[A].tcp_accept(listener).unwrap();
                speakers[A].id = accepted.map(|(id, _)| id);
            }
            speakers[side].act(&mut world.stacks[side], &mut random);
        }
        away.is_none() && speakers.iter().all(Speaker::is_done)
    });
    if is_unheard {
        return;
    }
    for side in [A, B] {
        let (speaker, other) = (&speakers[side], &speakers[1 - side]);
        assert!(speaker.got == other.stream, "seed {seed}: bytes differ");
        let id = speaker.id.unwrap();
        assert_eq!(
            world.stacks[side].tcp_connected(id),
            Ok(true),
            "seed {seed}"
        );
        world.stacks[side].close(id);
    }
    // What is left comes to its end too, cut once more on the way.
    for side in [A, B] {
        world.recut(side);
    }
    world.run(|world| {
        watch.look(world, &speakers, seed);
        let left = world.stacks.iter().map(|it| it.connections.iter().count());
        left.sum::<usize>() == 0
    });
    watch.look(&world, &speakers, seed);
    let took = world.now.since(begin);
    assert!(took < Duration::from_secs(900), "seed {seed}: {took:?}");
}

/// Runs seeds, and names the one that fails.
fn talks(first: u64, count: u64) {
    for seed in first..first + count {
        let result = std::panic::catch_unwind(|| talk(seed));
        if let Err(panic) = result {
            std::eprintln!("seed {seed} fails");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn talks_survive_cuts_whatever_is_lost() {
    talks(0, 150);
}

#[test]
fn talks_survive_cuts_whatever_is_lost_more_of_them() {
    talks(150, 150);
}

#[test]
#[ignore = "minutes: for many seeds"]
fn talks_survive_cuts_for_many_seeds() {
    let number = |name: &str, otherwise: u64| {
        let value = std::env::var(name).ok();
        value.map_or(otherwise, |value| value.parse().unwrap())
    };
    talks(
        number("SOS_CAPTURE_FIRST", 0),
        number("SOS_CAPTURE_SEEDS", 10_000),
    );
}
