//! Groups: instances that are handed over together, with faults at every step. Whatever happens, COMMIT is said for
//! all of them or for none, after all were prepared; and each runs once, or is seen to be in doubt.

use super::Random;
use sos_core::machine::{Duration, Time};
use sos_core::migrate::{
    BootId, ConnectionId, Delivery, Done, Effect, Goals, HandoverId, InstanceId, Message,
    Migrations, Mode, NodeId, Offer, Order, Role, Stage,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const ABOUT: u16 = 1;
const EXECUTION: u16 = 2;

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Everything on the wire is lost, and the connection.
    Cut,
    /// There is a connection again.
    Heal,
    /// An operator cancels one of them at a node.
    Cancel(usize, usize),
    /// The next thing that a driver does fails.
    Fail(usize),
    /// A node forgets everything.
    Reset(usize),
    /// Time goes by.
    Delay(u64),
}

struct Node {
    machines: Migrations,
    boot: u8,
    /// Instances that are here: whether they run.
    here: BTreeMap<InstanceId, bool>,
    /// Copies that are not: whether they are prepared.
    copies: BTreeMap<HandoverId, bool>,
    reports: VecDeque<(Role, HandoverId, Done)>,
    arriving: VecDeque<Vec<u8>>,
    fails_next: bool,
    dials: bool,
    measured: BTreeMap<HandoverId, u32>,
}

impl Node {
    fn new(number: usize, boot: u8) -> Node {
        Node {
            machines: Migrations::new(NodeId([number as u8 + 1; 16]), BootId([boot; 16])),
            boot,
            here: BTreeMap::new(),
            copies: BTreeMap::new(),
            reports: VecDeque::new(),
            arriving: VecDeque::new(),
            fails_next: false,
            dials: false,
            measured: BTreeMap::new(),
        }
    }
}

/// Two nodes and the instances of one group.
struct World {
    nodes: [Node; 2],
    connection: Option<ConnectionId>,
    connections: u64,
    now: Time,
    members: Vec<InstanceId>,
    /// Attempts for which COMMIT was said.
    committed: BTreeSet<HandoverId>,
    /// Those of which the source has heard that they are prepared, and nothing else since.
    prepared: BTreeSet<HandoverId>,
    /// Nothing is waited for any longer.
    until: Time,
    is_cut: bool,
    was_reset: bool,
    /// The target does not get ready with this one.
    stalls: Option<InstanceId>,
    story: Vec<String>,
}

impl World {
    fn new(count: usize) -> World {
        let mut world = World {
            nodes: [Node::new(0, 1), Node::new(1, 1)],
            connection: None,
            connections: 0,
            now: Time::from_nanos(1_000_000_000),
            members: (0..count)
                .map(|number| InstanceId([number as u8 + 1; 16]))
                .collect(),
            committed: BTreeSet::new(),
            prepared: BTreeSet::new(),
            until: Time::from_nanos(600_000_000_000),
            is_cut: false,
            was_reset: false,
            stalls: None,
            story: Vec::new(),
        };
        world.nodes[0].here = world.members.iter().map(|&id| (id, true)).collect();
        world.connect();
        while world.step(0) {}
        world
    }

    fn begin(&mut self, mode: Mode) {
        let order = |&instance: &InstanceId| Order {
            instance,
            epoch: 0,
            peer: NodeId([2; 16]),
            mode,
            goals: Goals::default(),
            offer: Offer {
                name: format!("i{}", instance.0[0]),
                kernel: "1".into(),
                memory_bytes: 1 << 20,
                resident_bytes: 1 << 20,
                state_bytes: 100,
            },
        };
        let orders = self.members.iter().map(order).collect();
        let begun = self.nodes[0].machines.begin_group(self.now, orders);
        assert_eq!(begun.expect("begun").len(), self.members.len());
        self.carry_out(0);
    }

    fn connect(&mut self) {
        self.connections += 1;
        let id = ConnectionId(self.connections);
        self.connection = Some(id);
        for (number, peer) in [(0, 2), (1, 1)] {
            self.nodes[number]
                .machines
                .connected(id, NodeId([peer; 16]));
            self.carry_out(number);
        }
    }

    fn cut(&mut self) {
        let Some(id) = self.connection.take() else {
            return;
        };
        for number in 0..2 {
            self.nodes[number].arriving.clear();
        }
        for number in 0..2 {
            self.nodes[number].machines.disconnected(self.now, id);
            self.carry_out(number);
        }
    }

    fn befall(&mut self, fault: Fault) {
        self.story.push(format!("{fault:?}"));
        match fault {
            Fault::Cut => {
                self.is_cut = true;
                self.cut();
            }
            Fault::Heal => self.is_cut = false,
            Fault::Cancel(number, member) => {
                let instance = self.members[member % self.members.len()];
                // It may be too late, or too early.
                let _ = self.nodes[number].machines.cancel(self.now, instance);
                self.carry_out(number);
            }
            Fault::Fail(number) => self.nodes[number].fails_next = true,
            Fault::Reset(number) => {
                self.was_reset = true;
                self.cut();
                let boot = self.nodes[number].boot + 1;
                self.nodes[number] = Node::new(number, boot);
            }
            Fault::Delay(millis) => {
                self.now = self.now + Duration::from_millis(millis);
                self.tick();
            }
        }
    }

    fn tick(&mut self) {
        for number in 0..2 {
            self.nodes[number].machines.tick(self.now);
            self.carry_out(number);
        }
    }

    /// One thing that happens next, chosen by a number; false when there is none.
    fn step(&mut self, choice: usize) -> bool {
        let mut choices = Vec::new();
        for number in 0..2 {
            if !self.nodes[number].reports.is_empty() {
                choices.push((number, true));
            }
            if !self.nodes[number].arriving.is_empty() {
                choices.push((number, false));
            }
        }
        if choices.is_empty() {
            return self.wait();
        }
        let (number, is_report) = choices[choice % choices.len()];
        let node = &mut self.nodes[number];
        if is_report {
            let (role, handover, done) = node.reports.pop_front().expect("a report");
            self.story
                .push(format!("node {number} reports {handover} {done:?}"));
            node.machines.report(self.now, role, handover, &done);
        } else if let (Some(id), Some(bytes)) = (self.connection, node.arriving.pop_front()) {
            self.story
                .push(format!("node {number} hears {:?}", Message::decode(&bytes)));
            match Message::decode(&bytes) {
                Ok(Message::Prepared { handover }) => {
                    self.prepared.insert(handover);
                }
                Ok(Message::Refused { handover, .. }) => {
                    self.prepared.remove(&handover);
                }
                Ok(_) | Err(_) => {}
            }
            let received = node.machines.receive(self.now, id, &bytes);
            if let Some((handover, Delivery::Object { .. })) = received {
                node.copies.entry(handover).or_insert(false);
            }
        }
        self.carry_out(number);
        true
    }

    /// Nothing is on its way: a node connects, or time goes by until somebody wants it to.
    fn wait(&mut self) -> bool {
        let dials = self
            .nodes
            .iter_mut()
            .map(|node| core::mem::take(&mut node.dials));
        let dials = dials.fold(false, |one, other| one | other);
        if self.connection.is_none() && !self.is_cut && (dials || self.was_reset) {
            self.connect();
            return true;
        }
        let due = self
            .nodes
            .iter()
            .filter_map(|node| node.machines.next_tick())
            .min();
        match due {
            Some(due) if due < self.until => {
                self.now = self.now.max(due);
                self.tick();
                true
            }
            Some(_) | None => false,
        }
    }

    fn carry_out(&mut self, number: usize) {
        while let Some(effect) = self.nodes[number].machines.take_effect() {
            self.story.push(format!("   node {number}: {effect:?}"));
            self.perform(number, effect);
            for member in &self.members {
                let runs = self
                    .nodes
                    .iter()
                    .filter(|node| node.here.get(member) == Some(&true));
                assert!(runs.count() <= 1, "{member} runs twice");
            }
        }
    }

    fn send(&mut self, number: usize, connection: ConnectionId, message: &Message<'_>) {
        if let Message::Commit { handover } = message {
            self.committed.insert(*handover);
            assert_eq!(
                self.prepared.len(),
                self.members.len(),
                "COMMIT before all are prepared"
            );
        }
        if self.connection == Some(connection) {
            let bytes = message.encode().expect("a message");
            self.nodes[1 - number].arriving.push_back(bytes);
        }
    }

    fn report(&mut self, number: usize, role: Role, handover: HandoverId, done: Done) {
        let may_fail = !matches!(done, Done::Running);
        let node = &mut self.nodes[number];
        let done = match may_fail && core::mem::take(&mut node.fails_next) {
            true => Done::Failed(sos_core::migrate::Reason::Ended),
            false => done,
        };
        if done == Done::Prepared {
            node.copies.insert(handover, true);
        }
        node.reports.push_back((role, handover, done));
    }

    fn perform(&mut self, number: usize, effect: Effect) {
        match effect {
            Effect::Dial { .. } => self.nodes[number].dials = true,
            Effect::Close { .. } => panic!("nobody breaks the protocol"),
            Effect::Send {
                connection,
                message,
            } => self.send(number, connection, &message),
            Effect::Describe {
                handover,
                connection,
            } => {
                self.send(number, connection, &object(handover, ABOUT));
            }
            Effect::SendBlobs { handover, .. } => {
                self.report(number, Role::Source, handover, Done::BlobsQueued);
            }
            Effect::Measure { handover } => {
                assert!(self.nodes[0].here[&handover.instance]);
                // The members are near enough after different numbers of rounds.
                let times = self.nodes[number].measured.entry(handover).or_default();
                *times += 1;
                let is_near = *times > u32::from(handover.instance.0[0]) * 2;
                let measured = Done::Measured {
                    dirty_bytes: if is_near { 0 } else { 64 << 20 },
                    state_bytes: 100,
                };
                self.report(number, Role::Source, handover, measured);
            }
            Effect::SendRound { handover, .. } => {
                self.now = self.now + Duration::from_millis(10);
                let queued = Done::RoundQueued { bytes: 64 << 20 };
                self.report(number, Role::Source, handover, queued);
            }
            Effect::Throttle { .. } | Effect::ForwardFrames { .. } | Effect::Doubted { .. } => {}
            Effect::Freeze {
                handover,
                connection,
            } => {
                let runs = self.nodes[number].here.get_mut(&handover.instance);
                let runs = runs.expect("an instance to freeze");
                assert!(core::mem::replace(runs, false), "it stands already");
                self.send(number, connection, &object(handover, EXECUTION));
                let queued = Done::StateQueued { bytes: 100 };
                self.report(number, Role::Source, handover, queued);
            }
            Effect::Resume { handover, .. } => {
                self.nodes[number].here.insert(handover.instance, true);
            }
            Effect::Release { handover } => {
                let gone = self.nodes[number].here.remove(&handover.instance);
                assert_eq!(gone, Some(false));
            }
            Effect::Admit { handover, .. } => {
                let missing = Vec::new();
                self.report(number, Role::Target, handover, Done::Admitted { missing });
            }
            Effect::MakeReady { handover } => {
                self.report(number, Role::Target, handover, Done::Ready);
            }
            Effect::FinishRound { handover, round } => {
                self.report(number, Role::Target, handover, Done::RoundStored { round });
            }
            Effect::Prepare { handover } if self.stalls == Some(handover.instance) => {}
            Effect::Prepare { handover } => {
                self.report(number, Role::Target, handover, Done::Prepared);
            }
            Effect::Run { handover, .. } => {
                let node = &mut self.nodes[number];
                assert_eq!(
                    node.copies.remove(&handover),
                    Some(true),
                    "it is not prepared"
                );
                if core::mem::take(&mut node.fails_next) {
                    let failed = Done::Failed(sos_core::migrate::Reason::Ended);
                    return self.report(number, Role::Target, handover, failed);
                }
                node.here.insert(handover.instance, true);
                self.report(number, Role::Target, handover, Done::Running);
            }
            Effect::Discard { handover } => {
                self.nodes[number].copies.remove(&handover);
            }
            Effect::Fence { .. } | Effect::Unfence { .. } => panic!("nobody was wrong"),
            Effect::Over { .. } => {}
        }
    }

    /// Heals everything, lets everything happen that still does, and checks how it ended.
    fn settle(&mut self) {
        self.is_cut = false;
        // Longer than anybody waits for anything.
        self.until = self.now + Duration::from_secs(2000);
        if self.connection.is_none() {
            self.connect();
        }
        let mut steps = 0;
        while self.step(0) {
            steps += 1;
            assert!(steps < 20_000, "it does not end");
        }
        let committed = self.committed.len();
        assert!(
            committed == 0 || committed == self.members.len(),
            "COMMIT for {committed}"
        );
        for member in &self.members {
            let runs = self
                .nodes
                .iter()
                .filter(|node| node.here.get(member) == Some(&true));
            let runs = runs.count();
            let rows = self.nodes.iter().flat_map(|node| node.machines.rows());
            let rows = rows.filter(|row| row.handover.instance == *member);
            let rows: Vec<_> = rows.collect();
            let is_in_doubt = rows
                .iter()
                .any(|row| matches!(row.stage, Stage::InDoubt(_)));
            assert!(is_in_doubt || rows.is_empty(), "{member} is left");
            assert!(runs == 1 || self.was_reset, "{member} runs {runs} times");
        }
    }

    /// How many of the members run on a node.
    fn running(&self, number: usize) -> usize {
        let here = self.nodes[number].here.values();
        here.filter(|runs| **runs).count()
    }
}

fn object(handover: HandoverId, kind: u16) -> Message<'static> {
    Message::Object {
        handover,
        kind,
        version: 1,
        last: true,
        bytes: &[1],
    }
}

/// Runs a story; a failure tells it.
fn told(name: &str, mut world: World, run: impl FnOnce(&mut World)) -> World {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&mut world)));
    if let Err(panic) = result {
        eprintln!("--- {name} ---\n{}", world.story.join("\n"));
        std::panic::resume_unwind(panic);
    }
    world
}

/// A move of a group with faults before given steps.
fn run_with(count: usize, mode: Mode, faults: &[(usize, Fault)]) -> (World, usize) {
    let mut steps = 0;
    let name = format!("{count} {mode:?} {faults:?}");
    let world = told(&name, World::new(count), |world| {
        world.begin(mode);
        loop {
            for &(_, fault) in faults.iter().filter(|&&(at, _)| at == steps) {
                world.befall(fault);
            }
            if steps > 400 || !world.step(steps) {
                break;
            }
            steps += 1;
        }
        world.settle();
    });
    (world, steps)
}

fn faults() -> Vec<Fault> {
    let mut faults = vec![
        Fault::Cut,
        Fault::Heal,
        Fault::Delay(100),
        Fault::Delay(3000),
    ];
    for number in 0..2 {
        faults.extend([Fault::Fail(number), Fault::Reset(number)]);
        faults.extend([0, 1].map(|member| Fault::Cancel(number, member)));
    }
    faults
}

const MODES: [Mode; 2] = [Mode::Live, Mode::Cold];

#[test]
fn a_group_moves_together() {
    for mode in MODES {
        for count in 1..=5 {
            let (world, _) = run_with(count, mode, &[]);
            assert_eq!((world.running(0), world.running(1)), (0, count));
        }
    }
}

#[test]
fn members_are_frozen_at_one_instant_when_all_are_near_enough() {
    let (world, _) = run_with(3, Mode::Live, &[]);
    let freezes = world.story.iter().enumerate();
    let freezes = freezes
        .filter(|(_, line)| line.contains("Freeze {"))
        .map(|(at, _)| at);
    let freezes: Vec<usize> = freezes.collect();
    assert_eq!(freezes.len(), 3);
    let between = &world.story[freezes[0]..freezes[2]];
    assert!(
        between.iter().all(|line| line.starts_with("   node 0")),
        "{between:#?}"
    );
    // What they changed while they waited is not left for the time that they stand.
    let last = |what: &str| world.story.iter().rposition(|line| line.contains(what));
    for member in &world.members {
        let measured =
            |line: &&String| line.contains("Measure {") && line.contains(&format!("{member}"));
        let measured = world.story.iter().rposition(|line| measured(&line));
        assert!(measured > last("SendRound {"), "{member}");
    }
}

#[test]
fn a_prepared_member_whose_group_is_not_is_answered_and_no_word_is_taken_on_it() {
    told("stalls", World::new(2), |world| {
        let [first, second] = [0, 1].map(|number| world.members[number]);
        world.stalls = Some(second);
        world.begin(Mode::Cold);
        let end = world.now + Duration::from_secs(14);
        let mut seen = 0;
        while world.now < end && world.step(0) {
            let rows = world.nodes[1].machines.rows();
            let mut rows = rows.filter(|row| row.handover.instance == first);
            let Some(row) = rows.next() else { continue };
            assert!(!matches!(row.stage, Stage::InDoubt(_)), "{row:?}");
            seen += usize::from(row.stage == Stage::Prepared);
        }
        assert!(seen > 10, "{seen}");
        let word = sos_core::migrate::Answer::Here;
        let resolved = world.nodes[1].machines.resolve(world.now, first, word);
        assert!(resolved.is_err());
        world.settle();
        assert_eq!((world.running(0), world.running(1)), (2, 0));
    });
}

#[test]
fn every_fault_at_every_step_moves_all_or_none() {
    for mode in MODES {
        let (_, steps) = run_with(2, mode, &[]);
        assert!(steps > 20, "{steps} steps");
        let mut ends = BTreeSet::new();
        for at in 0..=steps {
            for fault in faults() {
                let (world, _) = run_with(2, mode, &[(at, fault)]);
                // A target that takes its word back after it was prepared keeps one of them from moving.
                let is_word_kept = !matches!(
                    fault,
                    Fault::Fail(_) | Fault::Reset(_) | Fault::Cancel(1, _)
                );
                if is_word_kept {
                    ends.insert((world.running(0), world.running(1)));
                }
            }
        }
        assert_eq!(ends.into_iter().collect::<Vec<_>>(), [(0, 2), (2, 0)]);
    }
}

#[test]
fn groups_in_random_worlds() {
    let run = |seed: u64| {
        let mut random = Random(seed);
        let count = 2 + random.below(3);
        let mode = random.of(&MODES);
        told(&format!("SOS_SEED={seed}"), World::new(count), |world| {
            world.begin(mode);
            let rarity = 5 + random.below(60);
            for _ in 0..300 {
                if random.below(rarity) == 0 {
                    world.befall(random.of(&faults()));
                } else if !world.step(random.below(4)) {
                    break;
                }
            }
            world.settle();
        });
    };
    if let Some(seed) = super::from_environment("SOS_SEED") {
        return run(seed);
    }
    (0..super::from_environment("SOS_SEEDS").unwrap_or(300)).for_each(run);
}
