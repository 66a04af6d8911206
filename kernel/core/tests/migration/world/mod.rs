//! Nodes that hand one instance to each other over connections that break: everything but the machines
//! under test is a model as small as it can be.
//!
//! The instance is a number that grows while it runs. Its driver does what the effects say and checks
//! that each can be done; its reports come when the schedule says. What a schedule chooses from are
//! [`Action`]s; who chooses decides whether a run is random or enumerated.

mod checks;
mod driver;
mod wires;

use sos_core::machine::{Duration, Time};
use sos_core::migrate::{
    Answer, BootId, ConnectionId, Done, Doubt, Goals, HandoverId, InstanceId, Migrations, Mode,
    NodeId, Offer, Order, Role, Stage,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub const INSTANCE: InstanceId = InstanceId([7; 16]);

/// Something that can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The next message of a connection arrives at this end of it.
    Deliver(ConnectionId, usize),
    /// A node's driver reports.
    Report(usize, usize),
    /// A node's attempt to connect succeeds or fails.
    Dialed(usize, usize),
    /// An end of a broken connection finds out.
    Notice(ConnectionId, usize),
    /// Time goes by until somebody wants it.
    Wait,
}

/// Something that goes wrong, or that an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The link between two nodes breaks. What is on the way arrives or not.
    Cut(usize, usize, Arriving),
    /// It can be used again.
    Heal(usize, usize),
    /// A node loses everything.
    Reset(usize),
    /// An operator migrates the instance from the node that runs it.
    Begin(usize, Mode),
    /// An operator cancels.
    Cancel(usize),
    /// An operator decides, truthfully: see [`World::is_true`].
    Resolve(usize, Answer),
    /// A driver fails at what it does next.
    Fail(usize),
    /// The next message of each connection comes twice.
    Repeat,
    /// Time goes by although messages are on the way.
    Delay,
    /// A frame reaches a port at which the instance was.
    Frame(usize),
}

/// Which messages that are on the way when a link breaks still arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arriving {
    None,
    /// Those to the node with the lower number, or the higher.
    To(usize),
    All,
}

/// One end of a connection.
#[derive(Debug, Default)]
struct End {
    node: usize,
    /// Whether the node has been told that it is lost, or closed it.
    gone: bool,
    /// Messages on the way to this end.
    arriving: VecDeque<Vec<u8>>,
}

#[derive(Debug)]
struct Connection {
    ends: [End; 2],
    broken: bool,
}

/// The instance as its node has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Here {
    epoch: u64,
    version: u64,
    runs: bool,
}

/// A copy that comes.
#[derive(Debug, Default)]
struct Copy {
    version: Option<u64>,
    described: bool,
    prepared: bool,
    stands_fenced: bool,
}

struct Node {
    machines: Migrations,
    boot: u64,
    here: Option<Here>,
    copies: BTreeMap<HandoverId, Copy>,
    /// Version of the memories that were sent last, by attempt.
    sending: BTreeMap<HandoverId, u64>,
    /// Where frames are passed on to, by attempt.
    forwarding: BTreeMap<HandoverId, usize>,
    /// When the instance began to run here.
    ran_at: Time,
    throttled: bool,
    reports: Vec<(Role, HandoverId, Done)>,
    dials: Vec<usize>,
    fails_next: bool,
}

/// All there is.
pub struct World {
    pub now: Time,
    nodes: Vec<Node>,
    connections: BTreeMap<ConnectionId, Connection>,
    next_connection: u64,
    cut: BTreeSet<(usize, usize)>,
    /// The furthest that any copy came.
    furthest: u64,
    /// A node was reset that had the instance, or that took part in the commit window, or an operator gave
    /// the last copy up.
    pub excused: bool,
    /// An operator said what was not so.
    pub misled: bool,
    /// An operator's word was taken.
    worded: bool,
    was_reset: bool,
    /// Frames that were passed on.
    pub frames_sent: usize,
    /// Those that a node kept for the instance.
    pub frames_arrived: usize,
    repeat: bool,
    /// What happened, for a failure's report.
    pub story: Vec<String>,
}

fn node_id(node: usize) -> NodeId {
    NodeId([node as u8 + 1; 16])
}

fn node_of(id: NodeId) -> usize {
    usize::from(id.0[0]) - 1
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

fn boot_id(node: usize, boot: u64) -> BootId {
    let mut id = [node as u8; 16];
    id[..8].copy_from_slice(&boot.to_le_bytes());
    BootId(id)
}

impl Node {
    fn new(number: usize, boot: u64) -> Node {
        Node {
            machines: Migrations::new(node_id(number), boot_id(number, boot)),
            boot,
            here: None,
            copies: BTreeMap::new(),
            sending: BTreeMap::new(),
            forwarding: BTreeMap::new(),
            ran_at: Time::ZERO,
            throttled: false,
            reports: Vec::new(),
            dials: Vec::new(),
            fails_next: false,
        }
    }

    fn live(&self) -> usize {
        usize::from(self.here.is_some_and(|here| here.runs))
    }

    fn stage(&self, role: Role) -> Option<Stage> {
        let mut rows = self.machines.rows();
        rows.find(|row| row.role == role).map(|row| row.stage)
    }

    /// Whether a frame that was passed on a moment ago is its own: it runs by that attempt, goes nowhere,
    /// and has not waited for the source for minutes.
    fn must_take_frames(&self, handover: HandoverId, now: Time) -> bool {
        self.here
            .is_some_and(|here| here.runs && here.epoch == handover.epoch)
            && self.stage(Role::Source).is_none()
            && now.since(self.ran_at) < Duration::from_secs(600)
    }

    fn is_in_doubt(&self) -> bool {
        let mut rows = self.machines.rows();
        rows.any(|row| matches!(row.stage, Stage::InDoubt(_)))
    }
}

impl World {
    /// Nodes, the first of which runs the instance.
    pub fn new(nodes: usize) -> World {
        let mut world = World {
            now: Time::ZERO + Duration::from_secs(1),
            nodes: (0..nodes).map(|node| Node::new(node, 1)).collect(),
            connections: BTreeMap::new(),
            next_connection: 0,
            cut: BTreeSet::new(),
            furthest: 0,
            excused: false,
            misled: false,
            worded: false,
            was_reset: false,
            frames_sent: 0,
            frames_arrived: 0,
            repeat: false,
            story: Vec::new(),
        };
        world.nodes[0].here = Some(Here {
            epoch: 1,
            version: 0,
            runs: true,
        });
        world
    }

    /// All that can happen now.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (&id, connection) in &self.connections {
            for (side, end) in connection.ends.iter().enumerate() {
                if !end.gone && !end.arriving.is_empty() {
                    actions.push(Action::Deliver(id, side));
                } else if !end.gone && connection.broken {
                    actions.push(Action::Notice(id, side));
                }
            }
        }
        for (number, node) in self.nodes.iter().enumerate() {
            let reports = 0..node.reports.len();
            actions.extend(reports.map(|report| Action::Report(number, report)));
            let dials = node.dials.iter();
            actions.extend(dials.map(|&peer| Action::Dialed(number, peer)));
        }
        if self.next_tick().is_some() {
            actions.push(Action::Wait);
        }
        actions
    }

    fn next_tick(&self) -> Option<Time> {
        let ticks = self.nodes.iter().map(|node| node.machines.next_tick());
        ticks.flatten().min()
    }

    /// Lets something happen, and checks what must always hold.
    pub fn act(&mut self, action: Action) {
        self.story.push(format!("{action:?}"));
        match action {
            Action::Deliver(id, side) => self.deliver(id, side),
            Action::Report(number, report) => {
                let (role, handover, done) = self.nodes[number].reports.remove(report);
                let now = self.now;
                let node = &mut self.nodes[number];
                node.machines.report(now, role, handover, &done);
                self.carry_out(number);
            }
            Action::Dialed(from, to) => {
                self.nodes[from].dials.retain(|&peer| peer != to);
                if !self.cut.contains(&pair(from, to)) {
                    self.connect(from, to);
                }
            }
            Action::Notice(id, side) => self.lose(id, side),
            Action::Wait => self.wait(),
        }
        self.run_instances();
        self.check();
    }

    fn wait(&mut self) {
        if let Some(next) = self.next_tick() {
            self.now = self.now.max(next);
            let now = self.now;
            for number in 0..self.nodes.len() {
                self.nodes[number].machines.tick(now);
                self.carry_out(number);
            }
        }
    }

    /// Lets something go wrong; tells whether it could.
    pub fn befall(&mut self, fault: Fault) -> bool {
        self.story.push(format!("{fault:?}"));
        let now = self.now;
        let done = match fault {
            Fault::Cut(a, b, arriving) => self.cut_link(a, b, arriving),
            Fault::Heal(a, b) => self.cut.remove(&pair(a, b)),
            Fault::Reset(number) => self.reset(number),
            Fault::Begin(to, mode) => self.begin(to, mode),
            Fault::Cancel(number) => {
                let cancelled = self.nodes[number].machines.cancel(now, INSTANCE).is_ok();
                self.carry_out(number);
                cancelled
            }
            Fault::Resolve(number, answer) => {
                let before = self.nodes[number].is_in_doubt();
                if before && !self.is_true(number, answer) {
                    return false;
                }
                self.resolve(number, answer)
            }
            Fault::Fail(number) => !core::mem::replace(&mut self.nodes[number].fails_next, true),
            Fault::Repeat => !core::mem::replace(&mut self.repeat, true),
            Fault::Delay => {
                self.wait();
                true
            }
            Fault::Frame(number) => self.frame_reaches(number),
        };
        self.run_instances();
        self.check();
        done
    }

    /// Takes an operator's word as it is.
    pub fn resolve(&mut self, number: usize, answer: Answer) -> bool {
        let now = self.now;
        let loses = self.loses(number, answer);
        let machines = &mut self.nodes[number].machines;
        let resolved = machines.resolve(now, INSTANCE, answer).is_ok();
        self.carry_out(number);
        self.worded |= resolved;
        self.excused |= resolved && loses;
        resolved
    }

    /// Whether nobody may have the instance after this word, by somebody's will.
    fn loses(&self, number: usize, answer: Answer) -> bool {
        let node = &self.nodes[number];
        let others = self.nodes.iter().enumerate();
        let mut others = others.filter(|&(other, _)| other != number);
        let elsewhere = others.any(|(_, other)| other.here.is_some());
        match answer {
            Answer::Here => node.fails_next || !self.is_true(number, answer),
            Answer::There => !elsewhere,
            // A source tells its target to drop the copy too.
            Answer::Drop => node.here.is_some() || !elsewhere,
        }
    }

    /// Whether an operator who knows everything would say so.
    fn is_true(&self, number: usize, answer: Answer) -> bool {
        let others = self.nodes.iter().enumerate();
        let mut others = others.filter(|&(other, _)| other != number);
        match answer {
            // Nobody else has it, nor can be made to run it by a COMMIT on its way.
            Answer::Here => others.all(|(_, other)| {
                let committed = matches!(
                    other.stage(Role::Source),
                    None | Some(Stage::Committed | Stage::InDoubt(_) | Stage::HandedOver)
                );
                other.live() == 0 && other.copies.is_empty() && committed
            }),
            Answer::There => others.any(|(_, other)| other.here.is_some()),
            Answer::Drop => true,
        }
    }

    fn begin(&mut self, to: usize, mode: Mode) -> bool {
        let runs = |node: &Node| node.here.is_some_and(|here| here.runs);
        let from = self.nodes.iter().position(runs);
        from.is_some_and(|from| self.begin_from(from, to, mode))
    }

    /// An operator migrates the instance from one node, if it runs there.
    pub fn begin_from(&mut self, from: usize, to: usize, mode: Mode) -> bool {
        if from == to || self.nodes[from].live() == 0 {
            return false;
        }
        let order = Order {
            instance: INSTANCE,
            epoch: self.nodes[from].here.map_or(0, |here| here.epoch),
            peer: node_id(to),
            mode,
            goals: Goals::default(),
            offer: Offer {
                name: "web".into(),
                kernel: "test".into(),
                memory_bytes: 65_536,
                resident_bytes: 4096,
                state_bytes: 100,
            },
        };
        let now = self.now;
        let begun = self.nodes[from].machines.begin(now, order).is_ok();
        self.carry_out(from);
        begun
    }

    fn reset(&mut self, number: usize) -> bool {
        let node = &self.nodes[number];
        // A source may have committed the instance to this node, which forgets what it did about it.
        let in_window = |node: &Node| {
            let mut rows = node.machines.rows();
            rows.any(|row| {
                let stage = matches!(
                    row.stage,
                    Stage::Stopped | Stage::Committed | Stage::InDoubt(_)
                );
                stage && row.role == Role::Source && row.peer == node_id(number)
            })
        };
        self.excused |= node.here.is_some() || self.nodes.iter().any(in_window);
        let boot = node.boot + 1;
        self.was_reset = true;
        self.nodes[number] = Node::new(number, boot);
        for connection in self.connections.values_mut() {
            for side in 0..2 {
                if connection.ends[side].node == number {
                    connection.ends[side].gone = true;
                    connection.broken = true;
                }
            }
        }
        true
    }

    /// The instance goes on wherever it runs.
    fn run_instances(&mut self) {
        for node in &mut self.nodes {
            if let Some(here) = node.here.as_mut().filter(|here| here.runs) {
                here.version += 1;
                self.furthest = self.furthest.max(here.version);
            }
        }
    }

    /// Copies that run.
    pub fn live(&self) -> usize {
        self.nodes.iter().map(Node::live).sum()
    }

    /// What is in doubt on a node, as what, and why.
    pub fn doubt(&self, number: usize) -> Option<(Role, Doubt)> {
        let mut rows = self.nodes[number].machines.rows();
        rows.find_map(|row| match row.stage {
            Stage::InDoubt(doubt) => Some((row.role, doubt)),
            Stage::Offering
            | Stage::Copying
            | Stage::Stopped
            | Stage::Waiting
            | Stage::Prepared
            | Stage::Committed
            | Stage::HandedOver => None,
        })
    }

    /// Whether a node has said COMMIT, or is prepared, and waits for the other.
    pub fn is_in_window(&self, number: usize, role: Role) -> bool {
        let stage = self.nodes[number].stage(role);
        matches!(stage, Some(Stage::Prepared | Stage::Committed))
    }

    /// The node that runs the instance.
    pub fn runner(&self) -> Option<usize> {
        self.nodes.iter().position(|node| node.live() == 1)
    }
}
