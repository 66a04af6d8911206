//! The node's side of the operator's protocol ([`crate::operator`]): one conversation over the machine's
//! channel, and one over each connection that an operator opened over the network (`super::node`).
//!
//! [`Session`] is the state of the conversation; it dies with the connection, and the instances that
//! were launched in it with it. Each turn reads, does and writes a bounded amount: nothing more is read
//! while much waits to be written, so a slow operator holds itself up and nobody else.
//!
//! - `upload`: blobs that come in pieces; - `runs`: launched instances, their streams and their end;
//! - `snapshots`: files of snapshots, both ways; - `fetch`: what they changed in their files; - `outbox`: frames that wait to be sent.

mod fetch;
mod orders;
mod outbox;
mod runs;
mod snapshots;
mod upload;

use super::{Kernel, VERSION, answer};
use crate::control::{self, Control, Report};
use crate::limits;
use crate::machine::Machine;
use crate::operator::{self, FrameReader, Refusal, ToNode, ToOperator, Violation};
use crate::shell;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use orders::Ordered;
use outbox::Outbox;
use runs::Run;
use snapshots::{Asked, Export, Import};
use upload::Upload;

/// Bytes read from the channel in one turn.
const READ_BYTES_PER_TURN: usize = 256 * 1024;
/// Bytes read from the channel at once.
const READ_BYTES: usize = 16 * 1024;

/// One conversation.
#[derive(Default)]
pub(super) struct Session {
    line: Line,
    /// The machine's connection, if that is the line.
    connection: Option<u64>,
    phase: Phase,
    reader: FrameReader,
    out: Outbox,
    /// A request of which only parts have come.
    parts: Option<(u32, Vec<u8>)>,
    upload: Option<Upload>,
    export: Option<Export>,
    import: Option<Import>,
    /// A report of which only parts were sent.
    report: Option<PendingReport>,
    /// Requests that are carried out in several turns.
    ordered: Vec<(u32, Ordered)>,
    runs: BTreeMap<u32, Run>,
    /// Whether the turn ended with something left to do.
    unfinished: bool,
}

/// What carries a conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Line {
    /// The machine's channel.
    #[default]
    Machine,
    /// This connection of the node.
    Connection(u64),
    /// A connection of the node to which the greeting is not said yet.
    NewConnection(u64),
}

/// How far a conversation is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// The greeting was sent.
    #[default]
    Greeting,
    /// Requests may come.
    Open,
    /// A violation was reported: what comes is dropped.
    Broken,
}

/// A report on its way.
struct PendingReport {
    request: u32,
    bytes: Vec<u8>,
    sent: usize,
}

impl Session {
    /// Whether another turn would do something although nothing arrives.
    pub fn has_work(&self) -> bool {
        self.unfinished
    }

    /// A conversation over a connection of the node.
    pub fn on_connection(number: u64) -> Session {
        Session {
            line: Line::NewConnection(number),
            unfinished: true,
            ..Session::default()
        }
    }

    /// Takes the parts of a request that came before, and the last one.
    fn complete(&mut self, request: u32, last: &[u8]) -> Result<Vec<u8>, Violation> {
        let mut whole = match self.parts.take() {
            Some((number, parts)) if number == request => parts,
            Some(_) => return Err(unexpected("a request between the parts of another")),
            None => Vec::new(),
        };
        whole.extend_from_slice(last);
        Ok(whole)
    }

    fn add_part(&mut self, request: u32, part: &[u8]) -> Result<(), Violation> {
        let (number, parts) = self.parts.get_or_insert_with(|| (request, Vec::new()));
        if *number != request {
            return Err(unexpected("parts of two requests"));
        }
        if parts.len() + part.len() > limits::OPERATOR_REQUEST_BYTES {
            return Err(Violation::BeyondRoom { request });
        }
        parts.extend_from_slice(part);
        Ok(())
    }
}

/// The violation of a message that fits nothing.
fn unexpected(message: &str) -> Violation {
    Violation::Unexpected {
        message: message.into(),
    }
}

impl Kernel {
    /// Reads what the operator says and does it.
    pub(super) fn serve_operator(&mut self, machine: &mut dyn Machine) {
        let connection = machine.channel_connection();
        if connection != self.session.connection {
            self.begin_session(connection);
        }
        if connection.is_none() {
            return;
        }
        let mut session = core::mem::take(&mut self.session);
        self.hear(machine, &mut session);
        self.session = session;
    }

    /// Reads what one operator says and does it.
    pub(super) fn hear(&mut self, machine: &mut dyn Machine, session: &mut Session) {
        session.unfinished = false;
        if let Line::NewConnection(number) = session.line {
            session.line = Line::Connection(number);
            self.greet_operator(session);
        }
        if let Err(violation) = self.read_operator(machine, session) {
            self.break_session(session, violation);
        }
    }

    /// Sends what there is for the operator: streams, ends, reports.
    pub(super) fn attend_operator(&mut self, machine: &mut dyn Machine) {
        if self.session.connection.is_none() {
            return;
        }
        let mut session = core::mem::take(&mut self.session);
        self.speak(machine, &mut session);
        self.session = session;
    }

    /// Sends what there is for one operator.
    pub(super) fn speak(&mut self, machine: &mut dyn Machine, session: &mut Session) {
        session.send_report();
        self.answer_orders(machine, session);
        session.send_export(&*self.clock);
        self.settle_import(machine, session);
        self.attend_runs(session);
        let was_full = session.out.is_full();
        let line = session.line;
        session.out.flush(|bytes| match line {
            Line::Machine => machine.write_channel(bytes),
            Line::Connection(number) => self.node.write_control(number, bytes),
            Line::NewConnection(_) => 0,
        });
        // Room on the channel is an event; work that only waited for room in the outbox is not.
        session.unfinished |= was_full && !session.out.is_full();
    }

    fn begin_session(&mut self, connection: Option<u64>) {
        let mut old = core::mem::take(&mut self.session);
        self.end_runs(&mut old);
        self.session.connection = connection;
        if connection.is_some() {
            let mut session = core::mem::take(&mut self.session);
            self.greet_operator(&mut session);
            self.session = session;
        }
    }

    fn greet_operator(&self, session: &mut Session) {
        session.out.push(&ToOperator::Greeting {
            magic: operator::MAGIC,
            version: operator::VERSION,
            node: &self.name,
            kernel: VERSION,
        });
    }

    fn break_session(&mut self, session: &mut Session, violation: Violation) {
        self.end_runs(session);
        session.parts = None;
        session.upload = None;
        session.export = None;
        session.import = None;
        session.report = None;
        session.ordered.clear();
        session.reader = FrameReader::default();
        session.phase = Phase::Broken;
        session.out.push(&ToOperator::Broken(violation));
    }

    fn read_operator(
        &mut self,
        machine: &mut dyn Machine,
        session: &mut Session,
    ) -> Result<(), Violation> {
        let mut bytes = [0; READ_BYTES];
        let mut budget = READ_BYTES_PER_TURN;
        loop {
            while !session.is_held_up() && session.reader.has_frame() {
                self.take_message(machine, session)?;
            }
            if session.is_held_up() || budget == 0 {
                session.unfinished |= budget == 0 && !session.is_held_up();
                return Ok(());
            }
            let wanted = READ_BYTES.min(session.reader.room()).min(budget);
            let out = &mut bytes[..wanted];
            let count = match session.line {
                Line::Machine => machine.read_channel(out),
                Line::Connection(number) => self.node.read_control(number, out),
                Line::NewConnection(_) => 0,
            };
            if session.phase != Phase::Broken {
                session.reader.push(&bytes[..count])?;
            }
            budget -= count;
            if count < wanted && !session.reader.has_frame() {
                return Ok(());
            }
        }
    }

    fn take_message(
        &mut self,
        machine: &mut dyn Machine,
        session: &mut Session,
    ) -> Result<(), Violation> {
        // The message borrows from the reader, and the session is changed by it.
        let mut reader = core::mem::take(&mut session.reader);
        let result = match reader.next::<ToNode<'_>>() {
            Ok(Some(message)) => self.obey(machine, session, message),
            Ok(None) => Ok(()),
            Err(violation) => Err(violation),
        };
        session.reader = reader;
        result
    }

    fn obey(
        &mut self,
        machine: &mut dyn Machine,
        session: &mut Session,
        message: ToNode<'_>,
    ) -> Result<(), Violation> {
        match (session.phase, message) {
            (Phase::Greeting, ToNode::Hello { magic, version }) => {
                if magic != operator::MAGIC {
                    return Err(Violation::NoHello);
                }
                if version != operator::VERSION {
                    return Err(Violation::Version { theirs: version });
                }
                session.phase = Phase::Open;
                Ok(())
            }
            (Phase::Greeting, _) | (Phase::Open, ToNode::Hello { .. }) => Err(Violation::NoHello),
            (Phase::Broken, _) => Ok(()),
            (Phase::Open, message) => self.obey_open(machine, session, message),
        }
    }

    fn obey_open(
        &mut self,
        machine: &mut dyn Machine,
        session: &mut Session,
        message: ToNode<'_>,
    ) -> Result<(), Violation> {
        match message {
            ToNode::Hello { .. } => Err(Violation::NoHello),
            ToNode::More { request, data } => session.add_part(request, data.0),
            ToNode::Control { request, data } => {
                let whole = session.complete(request, data.0)?;
                self.control(machine, session, request, &whole);
                Ok(())
            }
            ToNode::Line { request, line } => {
                self.run_line(machine, session, request, line);
                Ok(())
            }
            ToNode::PutBlob {
                request,
                hash,
                bytes,
            } => self.begin_upload(machine, session, request, hash, bytes),
            ToNode::BlobData { request, data } => self.continue_upload(session, request, data.0),
            ToNode::Launch { request, data } => {
                let whole = session.complete(request, data.0)?;
                self.launch_run(machine, session, request, &whole)
            }
            ToNode::Input { request, data } => self.feed_run(session, request, data.0),
            ToNode::InputEnd { request } => self.end_input_of_run(session, request),
            ToNode::Room {
                request,
                stream,
                bytes,
            } => session.add_room(request, stream, bytes),
            ToNode::Kill { request } => self.kill_run(session, request),
            ToNode::Fetch { request, directory } => self.fetch_run(session, request, directory),
            ToNode::Remove { request } => self.remove_run(session, request),
            ToNode::Export {
                request,
                snapshot,
                contents,
                packing,
            } => {
                let asked = Asked {
                    request,
                    name: snapshot,
                    contents,
                    packing,
                };
                self.begin_export(machine, session, asked)
            }
            ToNode::Import {
                request,
                snapshot,
                bytes,
            } => self.begin_import(machine, session, request, snapshot, bytes),
            ToNode::SnapshotData { request, data } => {
                self.continue_import(machine, session, request, data.0)
            }
        }
    }

    /// Carries out what the shell could ask as well.
    fn control(
        &mut self,
        machine: &mut dyn Machine,
        session: &mut Session,
        request: u32,
        bytes: &[u8],
    ) {
        let Ok(wanted) = postcard::from_bytes::<control::Request>(bytes) else {
            return session.refuse(request, Refusal::Malformed);
        };
        let mut operator = answer::Operator {
            kernel: self,
            machine,
        };
        match operator.execute(wanted) {
            Ok(Report::Ordered { order }) => {
                session.ordered.push((request, Ordered::Control(order)));
            }
            result => session.tell(request, result),
        }
    }

    /// Runs a line of the shell.
    fn run_line(
        &mut self,
        machine: &mut dyn Machine,
        session: &mut Session,
        request: u32,
        line: &str,
    ) {
        let now = self.clock.now();
        let mut operator = answer::Operator {
            kernel: self,
            machine,
        };
        let result = shell::run_line(line, now, &mut operator);
        session.tell_line(request, result);
    }
}

impl Session {
    /// Whether nothing more is read: enough waits to be sent.
    fn is_held_up(&self) -> bool {
        self.out.is_full() || self.report.is_some() || self.is_settling()
    }

    fn begin_report(&mut self, request: u32, bytes: Vec<u8>) {
        if bytes.len() > limits::OPERATOR_REPORT_BYTES {
            let bytes = bytes.len();
            return self.refuse(request, Refusal::ReportTooLong { bytes });
        }
        self.report = Some(PendingReport {
            request,
            bytes,
            sent: 0,
        });
        self.send_report();
    }

    /// Refuses a request. What a refusal says may name what came from outside, at any length.
    fn refuse(&mut self, request: u32, refusal: Refusal) {
        let refusal = match refusal {
            Refusal::Control(text) => Refusal::Control(runs::bounded(&text)),
            Refusal::Unsound(text) => Refusal::Unsound(runs::bounded(&text)),
            Refusal::NoDirectory(name) => Refusal::NoDirectory(runs::bounded(&name)),
            other => other,
        };
        self.out.push(&ToOperator::Refused { request, refusal });
    }

    fn done(&mut self, request: u32) {
        self.out.push(&ToOperator::Done { request });
    }

    fn send_report(&mut self) {
        while let Some(report) = &mut self.report
            && !self.out.is_full()
        {
            let rest = &report.bytes[report.sent..];
            let piece = &rest[..rest.len().min(limits::OPERATOR_PIECE_BYTES)];
            let last = piece.len() == rest.len();
            self.out.push(&ToOperator::Report {
                request: report.request,
                last,
                data: operator::Bytes(piece),
            });
            report.sent += piece.len();
            if last {
                self.report = None;
                self.unfinished = true;
            }
        }
    }
}
