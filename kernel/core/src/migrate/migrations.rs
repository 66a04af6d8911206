//! [`Migrations`]: a node's part in all hand-overs: its machines, its connections and its ledger.
//! (`dispatch` is where messages go.)

use super::context::{Context, Link};
use super::group::{GroupId, Groups};
use super::ledger::{Ledger, Role};
use super::source::{self, Progress, Source};
use super::target::{self, Target};
use super::untold::Untold;
use super::{Answer, BootId, ConnectionId, Delivery, Done, Effect, HandoverId, InstanceId, MAGIC};
use super::{Message, MigrateError, NodeId, Order, Row, Stage, VERSIONS, Versions, Violation};
use crate::limits;
use crate::machine::Time;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

#[derive(Debug)]
struct Connection {
    peer: NodeId,
    /// Its boot and what both ends speak; none until its greeting came.
    greeting: Option<(BootId, u16)>,
}

/// All hand-overs of one node.
#[derive(Debug)]
pub struct Migrations {
    node: NodeId,
    boot: BootId,
    connections: BTreeMap<ConnectionId, Connection>,
    pub(super) sources: BTreeMap<HandoverId, Source>,
    pub(super) targets: BTreeMap<HandoverId, Target>,
    pub(super) ledger: Ledger,
    pub(super) effects: VecDeque<Effect>,
    pub(super) groups: Groups,
    pub(super) untold: Untold,
}

impl Migrations {
    /// Those of a node that has just booted: none.
    pub fn new(node: NodeId, boot: BootId) -> Migrations {
        Migrations {
            node,
            boot,
            connections: BTreeMap::new(),
            sources: BTreeMap::new(),
            targets: BTreeMap::new(),
            ledger: Ledger::default(),
            effects: VecDeque::new(),
            groups: Groups::default(),
            untold: Untold::default(),
        }
    }

    /// What is to be done next.
    pub fn take_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`tick`](Self::tick) is to be called.
    pub fn next_tick(&self) -> Option<Time> {
        let sources = self.sources.values().filter_map(Source::deadline);
        let targets = self.targets.values().filter_map(Target::deadline);
        sources.chain(targets).chain(self.untold.due).min()
    }

    /// What an operator sees.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let sources = self.sources.values().map(|source| Row {
            handover: source.id,
            role: Role::Source,
            peer: source.peer,
            stage: source.stage(),
            progress: source.progress(),
            group: source.group(),
        });
        let targets = self.targets.values().map(|target| Row {
            handover: target.id,
            role: Role::Target,
            peer: target.peer,
            stage: target.stage(),
            progress: Progress::default(),
            group: None,
        });
        sources.chain(targets)
    }

    /// What is remembered of hand-overs that are over.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    // -- operators

    /// Begins to migrate an instance that runs here.
    ///
    /// # Errors
    /// [`MigrateError`]: nothing has changed.
    pub fn begin(&mut self, now: Time, order: Order) -> Result<HandoverId, MigrateError> {
        if self.check(&order)?.is_none() && self.machines() >= limits::MIGRATIONS {
            return Err(MigrateError::TooMany);
        }
        self.start(now, order, None)
    }

    /// Whether an instance can be handed over now; the attempt that it came by and that is to be forgotten first.
    pub(super) fn check(&self, order: &Order) -> Result<Option<HandoverId>, MigrateError> {
        let instance = order.instance;
        if order.peer == self.node {
            return Err(MigrateError::ToItself);
        }
        let of_instance = |id: &HandoverId| id.instance == instance;
        if self.sources.keys().any(of_instance) {
            return Err(MigrateError::UnderWay);
        }
        let mut arrived = None;
        for (id, target) in &self.targets {
            match (id.instance == instance, target.stage()) {
                (false, _) => {}
                (true, Stage::HandedOver) => arrived = Some(*id),
                (
                    true,
                    Stage::Offering
                    | Stage::Copying
                    | Stage::Stopped
                    | Stage::Waiting
                    | Stage::Prepared
                    | Stage::Committed
                    | Stage::InDoubt(_),
                ) => return Err(MigrateError::UnderWay),
            }
        }
        self.next_epoch(order)?;
        Ok(arrived)
    }

    /// The epoch of the next attempt.
    fn next_epoch(&self, order: &Order) -> Result<u64, MigrateError> {
        // Above all epochs that were tried from here, or that it came here with.
        let latest = self.ledger.latest_epoch(order.instance).unwrap_or(0);
        let epoch = latest.max(order.epoch).checked_add(1);
        let epoch = epoch.filter(|&epoch| epoch < u64::MAX - 1);
        epoch.ok_or(MigrateError::NoEpochs)
    }

    /// Begins an attempt.
    pub(super) fn start(
        &mut self,
        now: Time,
        order: Order,
        group: Option<GroupId>,
    ) -> Result<HandoverId, MigrateError> {
        let (instance, arrived) = (order.instance, self.check(&order)?);
        let epoch = self.next_epoch(&order)?;
        if let Some(id) = arrived {
            self.step_target(now, id, target::Event::Superseded { by: epoch });
        }
        let id = HandoverId { instance, epoch };
        let link = self.link_to(order.peer);
        let mut cx = Context {
            now,
            link,
            role: Role::Source,
            effects: &mut self.effects,
            ledger: &mut self.ledger,
        };
        let source = Source::new(id, order, group, &mut cx);
        self.sources.insert(id, source);
        Ok(id)
    }

    /// Gives a migration up, at its source or its target.
    ///
    /// # Errors
    /// [`MigrateError`]: there is none, or it is too late.
    pub fn cancel(&mut self, now: Time, instance: InstanceId) -> Result<(), MigrateError> {
        let rows = self.rows().filter(|row| row.handover.instance == instance);
        let mut rows: Vec<(HandoverId, Role)> = rows.map(|row| (row.handover, row.role)).collect();
        rows.sort_unstable();
        let mut result = Err(MigrateError::NotUnderWay);
        // The latest attempt is the one that is seen to go on.
        while let Some((id, role)) = rows.pop()
            && result.is_err()
        {
            result = match role {
                Role::Source => self.at_source(now, id, Source::cancel),
                Role::Target => self.at_target(now, id, Target::cancel),
            };
        }
        result
    }

    /// Takes an operator's word on an instance that is in doubt here: on its latest attempt, if there are
    /// several.
    ///
    /// # Errors
    /// [`MigrateError`]: nothing is in doubt.
    pub fn resolve(
        &mut self,
        now: Time,
        instance: InstanceId,
        answer: Answer,
    ) -> Result<(), MigrateError> {
        let in_doubt =
            |row: &Row| row.handover.instance == instance && matches!(row.stage, Stage::InDoubt(_));
        let rows = self.rows().filter(in_doubt);
        let row = rows.max_by_key(|row| row.handover);
        let Row { handover, role, .. } = row.ok_or(MigrateError::NotInDoubt)?;
        if answer == Answer::Here {
            self.clear_the_way(now, handover);
        }
        match role {
            Role::Source => self.at_source(now, handover, |source, cx| source.resolve(answer, cx)),
            Role::Target => self.at_target(now, handover, |target, cx| target.resolve(answer, cx)),
        }
    }

    // -- the driver

    /// A connection with a node that proved who it is was opened, by either of them.
    pub fn connected(&mut self, connection: ConnectionId, peer: NodeId) {
        if self.connections.len() >= limits::MIGRATION_CONNECTIONS {
            let violation = Violation::TooManyConnections;
            self.effects.push_back(Effect::Close {
                connection,
                violation,
            });
            return;
        }
        let greeting = None;
        self.connections
            .insert(connection, Connection { peer, greeting });
        self.effects.push_back(Effect::Send {
            connection,
            message: Message::hello(self.boot),
        });
    }

    /// A connection is lost or was closed.
    pub fn disconnected(&mut self, now: Time, connection: ConnectionId) {
        let Some(lost) = self.connections.remove(&connection) else {
            return;
        };
        for id in self.sources_with(lost.peer) {
            self.step_source(now, id, source::Event::Unlinked(connection));
        }
        for id in self.targets_with(lost.peer) {
            self.step_target(now, id, target::Event::Unlinked(connection));
        }
        self.watch_untold(now);
    }

    /// A message came by a connection. What it brings is to be stored before the next effect is taken.
    pub fn receive<'a>(
        &mut self,
        now: Time,
        connection: ConnectionId,
        bytes: &'a [u8],
    ) -> Option<(HandoverId, Delivery<'a>)> {
        let known = self.connections.get(&connection)?;
        let (peer, boot) = (known.peer, known.greeting.map(|(boot, _)| boot));
        let received = Message::decode(bytes).and_then(|message| match (message, boot) {
            (
                Message::Hello {
                    magic: MAGIC,
                    versions,
                    boot,
                },
                None,
            ) => self.greet(now, connection, versions, boot).map(|()| None),
            (Message::Hello { .. }, _) | (_, None) => Err(Violation::NoHello),
            (message, Some(boot)) => Ok(self.dispatch(now, peer, (connection, boot), message)),
        });
        match received {
            Ok(delivery) => delivery,
            Err(violation) => {
                self.close(now, connection, violation);
                None
            }
        }
    }

    /// The driver reports on what it was asked for.
    pub fn report(&mut self, now: Time, role: Role, handover: HandoverId, done: &Done) {
        match role {
            Role::Source => self.step_source(now, handover, source::Event::Done(done)),
            Role::Target => self.step_target(now, handover, target::Event::Done(done)),
        }
    }

    /// Time went by.
    pub fn tick(&mut self, now: Time) {
        let due = |deadline: Option<Time>| deadline.is_some_and(|deadline| deadline <= now);
        let sources = self
            .sources
            .values()
            .filter(|source| due(source.deadline()));
        let sources: Vec<HandoverId> = sources.map(|source| source.id).collect();
        for id in sources {
            self.step_source(now, id, source::Event::Tick);
        }
        let targets = self
            .targets
            .values()
            .filter(|target| due(target.deadline()));
        let targets: Vec<HandoverId> = targets.map(|target| target.id).collect();
        for id in targets {
            self.step_target(now, id, target::Event::Tick);
        }
        self.dial_untold(now);
    }

    // -- within

    pub(super) fn machines(&self) -> usize {
        self.sources.len() + self.targets.len()
    }

    fn sources_with(&self, peer: NodeId) -> Vec<HandoverId> {
        let sources = self.sources.values().filter(|source| source.peer == peer);
        sources.map(|source| source.id).collect()
    }

    fn targets_with(&self, peer: NodeId) -> Vec<HandoverId> {
        let targets = self.targets.values().filter(|target| target.peer == peer);
        targets.map(|target| target.id).collect()
    }

    /// The latest connection with a node whose greeting came.
    pub(super) fn link_to(&self, peer: NodeId) -> Option<Link> {
        let mut open = self.connections.iter().rev();
        open.find_map(|(&connection, known)| match known.greeting {
            Some((boot, version)) if known.peer == peer => Some(Link {
                connection,
                boot,
                version,
            }),
            _ => None,
        })
    }

    /// Whether the other end of a connection speaks a version.
    pub fn speaks(&self, connection: ConnectionId, version: u16) -> bool {
        let known = self.connections.get(&connection);
        let greeting = known.and_then(|known| known.greeting);
        greeting.is_some_and(|(_, common)| common >= version)
    }

    fn close(&mut self, now: Time, connection: ConnectionId, violation: Violation) {
        self.effects.push_back(Effect::Close {
            connection,
            violation,
        });
        self.disconnected(now, connection);
    }

    /// The greeting of the other end.
    fn greet(
        &mut self,
        now: Time,
        connection: ConnectionId,
        versions: Versions,
        boot: BootId,
    ) -> Result<(), Violation> {
        let Some(version) = VERSIONS.common(versions) else {
            let theirs = versions.most;
            return Err(Violation::Version { theirs });
        };
        let Some(known) = self.connections.get_mut(&connection) else {
            return Ok(());
        };
        known.greeting = Some((boot, version));
        let peer = known.peer;
        let old = |known: &Connection| {
            known.peer == peer && known.greeting.is_some_and(|(earlier, _)| earlier != boot)
        };
        let earlier = self.connections.range(..connection);
        let old: Vec<ConnectionId> = earlier
            .filter(|(_, known)| old(known))
            .map(|(&connection, _)| connection)
            .collect();
        for connection in old {
            self.close(now, connection, Violation::OldBoot);
        }
        for id in self.sources_with(peer) {
            self.step_source(now, id, source::Event::Linked);
        }
        for id in self.targets_with(peer) {
            self.step_target(now, id, target::Event::Linked);
        }
        self.say_what_is_void(peer, connection);
        Ok(())
    }

    pub(super) fn step_source(&mut self, now: Time, id: HandoverId, event: source::Event<'_>) {
        self.with_source(now, id, |source, cx| source.step(event, cx));
    }

    pub(super) fn step_target(&mut self, now: Time, id: HandoverId, event: target::Event<'_>) {
        self.with_target(now, id, |target, cx| target.step(event, cx));
    }

    pub(super) fn at_source(
        &mut self,
        now: Time,
        id: HandoverId,
        act: impl FnOnce(&mut Source, &mut Context<'_>) -> Result<(), MigrateError>,
    ) -> Result<(), MigrateError> {
        let mut result = Err(MigrateError::NotUnderWay);
        self.with_source(now, id, |source, cx| result = act(source, cx));
        result
    }

    fn at_target(
        &mut self,
        now: Time,
        id: HandoverId,
        act: impl FnOnce(&mut Target, &mut Context<'_>) -> Result<(), MigrateError>,
    ) -> Result<(), MigrateError> {
        let mut result = Err(MigrateError::NotUnderWay);
        self.with_target(now, id, |target, cx| result = act(target, cx));
        result
    }

    /// Has a copy that ran here stopped, since its source runs the instance too.
    pub(super) fn fence(&mut self, now: Time, id: HandoverId, peer: NodeId, boot: BootId) {
        let mut cx = Context {
            now,
            link: self.link_to(peer),
            role: Role::Target,
            effects: &mut self.effects,
            ledger: &mut self.ledger,
        };
        let target = Target::fenced(id, peer, boot, &mut cx);
        self.targets.insert(id, target);
    }

    pub(super) fn with_source(
        &mut self,
        now: Time,
        id: HandoverId,
        act: impl FnOnce(&mut Source, &mut Context<'_>),
    ) {
        let Some(mut source) = self.sources.remove(&id) else {
            return;
        };
        let mut cx = Context {
            now,
            link: self.link_to(source.peer),
            role: Role::Source,
            effects: &mut self.effects,
            ledger: &mut self.ledger,
        };
        act(&mut source, &mut cx);
        let (group, over) = (source.group(), source.stays_because());
        match source.is_over() {
            true => self.watch_untold(now),
            false => {
                self.sources.insert(id, source);
            }
        }
        if let Some(group) = group {
            self.attend_group(now, group, over);
        }
    }

    pub(super) fn with_target(
        &mut self,
        now: Time,
        id: HandoverId,
        act: impl FnOnce(&mut Target, &mut Context<'_>),
    ) {
        let Some(mut target) = self.targets.remove(&id) else {
            return;
        };
        let mut cx = Context {
            now,
            link: self.link_to(target.peer),
            role: Role::Target,
            effects: &mut self.effects,
            ledger: &mut self.ledger,
        };
        act(&mut target, &mut cx);
        if !target.is_over() {
            self.targets.insert(id, target);
        }
    }
}
