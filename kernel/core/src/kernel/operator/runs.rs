//! Instances that an operator launched: their streams, their end, and what they leave.

use super::fetch::{Fetch, Sent};
use super::{Kernel, Session, unexpected};
use crate::files::FileSystem;
use crate::host::{OutputStream, Streams, StreamsTo};
use crate::image::{Autostart, InstanceSpec, Manifest, RestartPolicy, SwitchSpec};
use crate::kernel::record::{self, Record, State};
use crate::limits;
use crate::machine::Machine;
use crate::operator::{
    Bytes, Ended, Launch, Refusal, RunEnd, StandardInput, ToOperator, Usage, Violation,
};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Hashes in one frame.
const HASHES_PER_FRAME: usize = 1024;
/// Leave for standard input is renewed when so much of it is used up.
const RENEWED_INPUT_BYTES: usize = limits::STREAM_BYTES / 4;

/// Lines of a backtrace that are sent: with names of full length they fit a frame.
const BACKTRACE_LINES: usize = 200;
/// An instance that an operator launched.
pub(super) struct Run {
    key: u32,
    /// What the operator takes of each output stream.
    room: [u32; 2],
    /// What the operator may still send for standard input.
    input_room: usize,
    /// Whether its standard input is to end as soon as it has one: it may be loading yet.
    end_input_due: bool,
    phase: RunPhase,
    /// What it changed, on its way to the operator.
    fetch: Option<Fetch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunPhase {
    /// It runs, or not all of its output is sent.
    Running,
    /// Its end was told.
    Ended,
}

impl Session {
    fn run(&mut self, request: u32) -> Result<&mut Run, Violation> {
        self.runs
            .get_mut(&request)
            .ok_or_else(|| unexpected("something about an instance that was not launched"))
    }

    pub(super) fn add_room(
        &mut self,
        request: u32,
        stream: OutputStream,
        bytes: u32,
    ) -> Result<(), Violation> {
        let room = &mut self.run(request)?.room[stream as usize];
        *room = room.saturating_add(bytes);
        Ok(())
    }
}

impl Kernel {
    pub(super) fn launch_run(
        &mut self,
        machine: &mut dyn Machine,
        session: &mut Session,
        request: u32,
        bytes: &[u8],
    ) -> Result<(), Violation> {
        if session.runs.contains_key(&request) {
            return Err(Violation::NumberInUse { request });
        }
        if session.runs.len() >= limits::OPERATOR_RUNS {
            return Err(Violation::TooManyRequests);
        }
        let Ok(Launch {
            spec,
            input,
            output_room,
        }) = postcard::from_bytes(bytes)
        else {
            session.refuse(request, Refusal::Malformed);
            return Ok(());
        };
        let made = self.admit_run(session, request, spec);
        let key = match made {
            Ok(key) => key,
            Err(refusal) => {
                session.refuse(request, refusal);
                return Ok(());
            }
        };
        let name = self.records[key as usize].spec.name.clone();
        let name = &name;
        session.out.push(&ToOperator::Launched { request, name });
        // Why it could not be made is how it ended, which is told in its place.
        let _ = self.launch(machine, key);
        let mut run = Run {
            key,
            room: output_room,
            input_room: 0,
            end_input_due: input == StandardInput::Nothing,
            phase: RunPhase::Running,
            fetch: None,
        };
        self.end_input_if_due(&mut run);
        session.runs.insert(request, run);
        Ok(())
    }

    /// A record for what an operator launches.
    fn admit_run(
        &mut self,
        session: &mut Session,
        request: u32,
        mut spec: InstanceSpec,
    ) -> Result<u32, Refusal> {
        spec.autostart = Autostart::Manual;
        spec.restart = RestartPolicy::Never;
        spec.name = self.unused_name(&spec.name);
        self.judge(&spec)?;
        let missing = self.missing_blobs(&spec);
        if !missing.is_empty() {
            for hashes in missing.chunks(HASHES_PER_FRAME) {
                let hashes = hashes.to_vec();
                session.out.push(&ToOperator::Missing { request, hashes });
            }
            return Err(Refusal::MissingBlobs);
        }
        let macs = spec.ports.iter();
        let macs = macs.map(|port| port.mac.unwrap_or_else(|| self.draw_mac()));
        let macs = macs.collect();
        let mut record = Record::new(spec, macs, self.draw_instance_id());
        record.streams_to = StreamsTo::Pipes;
        self.add_program(&record.spec).map_err(Refusal::Unsound)?;
        self.insert_record(record).ok_or(Refusal::TooManyInstances)
    }

    /// The name, or one with a number behind it that nobody has.
    fn unused_name(&self, wanted: &str) -> String {
        let mut name = String::from(wanted);
        let mut number = 1;
        while self.key_of(&name).is_ok() {
            number += 1;
            let suffix = format!("-{number}");
            let mut kept = wanted.len().min(limits::NAME_BYTES - suffix.len());
            while !wanted.is_char_boundary(kept) {
                kept -= 1;
            }
            name = format!("{}{suffix}", &wanted[..kept]);
        }
        name
    }

    /// Says what is wrong with an instance, as for an image that held it and the node's segments.
    pub(super) fn judge(&self, spec: &InstanceSpec) -> Result<(), Refusal> {
        let segments = spec.ports.iter().filter_map(|port| port.attach.segment());
        let known: BTreeSet<&str> = segments
            .filter(|segment| self.fabric.find(segment).is_some())
            .collect();
        let switch = |name: &&str| SwitchSpec {
            name: String::from(*name),
            uplink: None,
            mtu_bytes: None,
        };
        let manifest = Manifest {
            name: "exec".into(),
            switches: known.iter().map(switch).collect(),
            instances: [spec.clone()].into(),
            ..Manifest::default()
        };
        manifest
            .validate()
            .map_err(|error| Refusal::Unsound(error.to_string()))
    }

    fn missing_blobs(&self, spec: &InstanceSpec) -> Vec<crate::image::BlobHash> {
        let wanted: BTreeSet<_> = spec.blobs().collect();
        let missing = wanted.into_iter();
        missing.filter(|hash| !self.blobs.contains(hash)).collect()
    }

    pub(super) fn feed_run(
        &mut self,
        session: &mut Session,
        request: u32,
        data: &[u8],
    ) -> Result<(), Violation> {
        let run = session.run(request)?;
        run.input_room = run
            .input_room
            .checked_sub(data.len())
            .ok_or(Violation::BeyondRoom { request })?;
        let key = run.key;
        if let Some(streams) = self.streams_of(key) {
            streams.feed(data);
            self.try_wake(key);
        }
        Ok(())
    }

    pub(super) fn end_input_of_run(
        &mut self,
        session: &mut Session,
        request: u32,
    ) -> Result<(), Violation> {
        let run = session.run(request)?;
        run.end_input_due = true;
        self.end_input_if_due(run);
        Ok(())
    }

    fn end_input_if_due(&mut self, run: &mut Run) {
        if run.end_input_due
            && let Some(streams) = self.streams_of(run.key)
        {
            streams.end_input();
            run.end_input_due = false;
            self.try_wake(run.key);
        }
    }

    pub(super) fn kill_run(
        &mut self,
        session: &mut Session,
        request: u32,
    ) -> Result<(), Violation> {
        let key = session.run(request)?.key;
        // One that ended in the meantime is dead enough.
        let _ = self.kill(key);
        Ok(())
    }

    pub(super) fn fetch_run(
        &mut self,
        session: &mut Session,
        request: u32,
        directory: &str,
    ) -> Result<(), Violation> {
        let run = session.run(request)?;
        if run.phase != RunPhase::Ended {
            session.refuse(request, Refusal::WrongTime);
            return Ok(());
        }
        match self
            .files_of(run.key)
            .map(|files| Fetch::new(files, directory))
        {
            Some(Ok(fetch)) => run.fetch = Some(fetch),
            Some(Err(refusal)) => session.refuse(request, refusal),
            // It never ran, so it changed nothing.
            None => session.done(request),
        }
        Ok(())
    }

    pub(super) fn remove_run(
        &mut self,
        session: &mut Session,
        request: u32,
    ) -> Result<(), Violation> {
        let key = session.run(request)?.key;
        session.runs.remove(&request);
        self.remove_record(key);
        session.done(request);
        Ok(())
    }

    /// Ends and forgets every instance of a conversation.
    pub(in crate::kernel) fn end_runs(&mut self, session: &mut Session) {
        for run in core::mem::take(&mut session.runs).into_values() {
            self.remove_record(run.key);
        }
    }

    /// Sends what instances wrote, leave for more input, and how they ended.
    pub(super) fn attend_runs(&mut self, session: &mut Session) {
        let mut runs = core::mem::take(&mut session.runs);
        for (&request, run) in &mut runs {
            match run.phase {
                RunPhase::Running => self.attend_run(session, request, run),
                RunPhase::Ended => self.attend_fetch(session, request, run),
            }
        }
        session.runs = runs;
    }

    fn attend_run(&mut self, session: &mut Session, request: u32, run: &mut Run) {
        self.end_input_if_due(run);
        let Some(streams) = self.streams_of(run.key) else {
            return self.tell_end(session, request, run);
        };
        let mut taken = false;
        for stream in [OutputStream::Output, OutputStream::Error] {
            let room = &mut run.room[stream as usize];
            while !session.out.is_full() && *room > 0 && streams.waiting(stream) > 0 {
                let most = limits::OPERATOR_PIECE_BYTES.min(*room as usize);
                let piece = streams.take(stream, most);
                *room -= piece.len() as u32;
                taken = true;
                session.out.push(&ToOperator::Output {
                    request,
                    stream,
                    data: Bytes(&piece),
                });
            }
        }
        let unsent = streams.waiting(OutputStream::Output) + streams.waiting(OutputStream::Error);
        let more = streams.input_room().saturating_sub(run.input_room);
        match &self.records[run.key as usize].state {
            State::Ended(..) if unsent == 0 => self.tell_end(session, request, run),
            State::Ended(..) | State::Loading(_) => {}
            State::Live(_) => {
                if more >= RENEWED_INPUT_BYTES {
                    run.input_room += more;
                    let bytes = more as u32;
                    session.out.push(&ToOperator::InputRoom { request, bytes });
                }
                if taken {
                    self.try_wake(run.key);
                }
            }
        }
    }

    fn tell_end(&mut self, session: &mut Session, request: u32, run: &mut Run) {
        let record = &self.records[run.key as usize];
        let State::Ended(ended, _) = &record.state else {
            return;
        };
        let translate_nanos = self.programs.translate_nanos(&record.spec);
        let ended = Ended {
            end: run_end(ended),
            usage: Usage {
                cpu_nanos: record.usage.cpu_nanos,
                run_nanos: record.usage.run_nanos,
                translate_nanos,
            },
        };
        run.phase = RunPhase::Ended;
        session.out.push(&ToOperator::Ended { request, ended });
    }

    /// Sends what an instance changed as far as there is room.
    fn attend_fetch(&mut self, session: &mut Session, request: u32, run: &mut Run) {
        let Some(fetch) = &mut run.fetch else {
            return;
        };
        let sent = match self.files_of(run.key) {
            Some(files) => fetch.send(files, request, &mut session.out),
            None => Sent::All,
        };
        match sent {
            Sent::All => {
                run.fetch = None;
                session.done(request);
            }
            Sent::Turn => session.unfinished = true,
            Sent::Room => {}
        }
    }

    /// The files of an instance that ended.
    fn files_of(&self, key: u32) -> Option<&FileSystem> {
        match &self.records[key as usize].state {
            State::Ended(_, remains) => remains.as_ref()?.files.as_ref(),
            State::Live(_) | State::Loading(_) => None,
        }
    }

    /// The standard streams of an instance, running or not.
    fn streams_of(&mut self, key: u32) -> Option<&mut Streams> {
        match &mut self.records[key as usize].state {
            State::Live(live) => Some(&mut live.execution.guest_mut().streams),
            State::Ended(_, remains) => remains.as_mut().map(|remains| &mut remains.streams),
            State::Loading(_) => None,
        }
    }
}

fn run_end(ended: &record::Ended) -> RunEnd {
    match ended {
        record::Ended::Exited(status) => RunEnd::Exited(*status),
        record::Ended::Trapped(trap) => RunEnd::Trapped {
            reason: bounded(&trap.to_string()),
            backtrace: trap.backtrace.lines().take(BACKTRACE_LINES).collect(),
        },
        record::Ended::OutOfMemory => RunEnd::OutOfMemory,
        record::Ended::Unhealthy(reason) => RunEnd::Trapped {
            reason: bounded(&alloc::format!("unhealthy: {reason}")),
            backtrace: Vec::new(),
        },
        record::Ended::Killed | record::Ended::Stopped | record::Ended::Suspended => RunEnd::Killed,
        record::Ended::NeverStarted => RunEnd::NotStarted(String::new()),
        record::Ended::StartFailed(reason) => RunEnd::NotStarted(bounded(reason)),
    }
}

/// A text that fits a frame.
pub(super) fn bounded(text: &str) -> String {
    const MOST: usize = 8 * 1024;
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}
