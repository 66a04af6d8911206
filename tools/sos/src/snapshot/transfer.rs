//! Asking a node about snapshots, and moving their files over its channel.

use std::io::{Read, Write};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use sos_core::control::{Request, SnapshotRow};
use sos_core::limits;
use sos_core::operator::{self, Bytes, Contents, Packing, Refusal, ToNode, ToOperator};

use crate::exec::{Client, Event};

/// Asks what the shell could ask as well; the answer is JSON.
///
/// # Errors
/// The node's refusal, or that it is gone.
pub fn ask(client: &mut Client, wanted: &Request) -> Result<Vec<u8>> {
    let request = client.number();
    let bytes = operator::encode(wanted);
    client.say_in_parts(request, &bytes, |data| ToNode::Control { request, data })?;
    let mut report = Vec::new();
    loop {
        let body = next_frame(client)?;
        match operator::decode(&body)? {
            ToOperator::Report {
                request: of,
                last,
                data,
            } if of == request => {
                report.extend_from_slice(data.0);
                if last {
                    return Ok(report);
                }
            }
            other => refuse_or_skip(request, other)?,
        }
    }
}

/// What came of a line of the node's shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// What it printed.
    Done(String),
    /// What it printed; not everything was done.
    Failed(String),
}

/// Runs a line of the node's shell.
///
/// # Errors
/// The node is gone, or refuses lines.
pub fn run_line(client: &mut Client, line: &str) -> Result<Line> {
    let request = client.number();
    client.say(&ToNode::Line { request, line })?;
    let mut text = Vec::new();
    loop {
        let body = next_frame(client)?;
        match operator::decode(&body)? {
            ToOperator::Report {
                request: of,
                last,
                data,
            } if of == request => {
                text.extend_from_slice(data.0);
                if last {
                    return Ok(Line::Done(String::from_utf8_lossy(&text).into_owned()));
                }
            }
            ToOperator::Refused {
                request: of,
                refusal: Refusal::Control(text),
            } if of == request => return Ok(Line::Failed(text)),
            other => refuse_or_skip(request, other)?,
        }
    }
}

/// The snapshots of a node.
///
/// # Errors
/// The node's refusal, or that it is gone.
pub fn list(client: &mut Client) -> Result<Vec<SnapshotRow>> {
    let rows = ask(client, &Request::Snapshots)?;
    serde_json::from_slice(&rows).context("understand the node's list of snapshots")
}

/// How far an export is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Bytes that came.
    pub bytes: u64,
    /// Bytes of the whole file, once it is made in the node.
    pub whole: Option<u64>,
}

/// Writes a snapshot's file to `out`; tells how many bytes it has. `progress` is told how far it is.
///
/// # Errors
/// The node's refusal, that it is gone, or that `out` cannot be written.
pub fn export(
    client: &mut Client,
    snapshot: &str,
    contents: Contents,
    packing: Packing,
    out: &mut impl Write,
    progress: &mut dyn FnMut(Arrived),
) -> Result<u64> {
    let request = client.number();
    client.say(&ToNode::Export {
        request,
        snapshot,
        contents,
        packing,
    })?;
    let mut arrived = Arrived::default();
    loop {
        let body = next_frame(client)?;
        match operator::decode(&body)? {
            ToOperator::SnapshotDrafted { request: of, bytes } if of == request => {
                arrived.whole = Some(bytes);
                progress(arrived);
            }
            ToOperator::SnapshotData { request: of, data } if of == request => {
                arrived.bytes += data.0.len() as u64;
                out.write_all(data.0).context("write the snapshot")?;
                progress(arrived);
            }
            ToOperator::Done { request: of } if of == request => {
                out.flush().context("write the snapshot")?;
                return Ok(arrived.bytes);
            }
            other => refuse_or_skip(request, other)?,
        }
    }
}

/// Hands a snapshot's file of so many bytes to a node, which keeps it as `snapshot`. `progress` is told how
/// many were sent. After an error the conversation cannot go on.
///
/// # Errors
/// The node's refusal, that it is gone, or that the file cannot be read.
pub fn import(
    client: &mut Client,
    snapshot: &str,
    file: &mut impl Read,
    bytes: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let request = client.number();
    client.say(&ToNode::Import {
        request,
        snapshot,
        bytes,
    })?;
    let mut buffer = vec![0; limits::OPERATOR_PIECE_BYTES];
    let mut sent = 0;
    while sent < bytes {
        let piece = (bytes - sent).min(buffer.len() as u64) as usize;
        let piece = &mut buffer[..piece];
        file.read_exact(piece).context("read the snapshot")?;
        let data = Bytes(piece);
        client.say(&ToNode::SnapshotData { request, data })?;
        sent += piece.len() as u64;
        progress(sent);
        // A refusal ends it early.
        while let Some(event) = client.next(Some(Instant::now())) {
            if is_done(request, event)? {
                bail!("the node wants no more of the snapshot before its end");
            }
        }
    }
    while !is_done(request, next_event(client)?)? {}
    Ok(())
}

/// Whether the node has carried out the request; what belongs to others is passed over.
fn is_done(request: u32, event: Event) -> Result<bool> {
    let body = frame(event)?;
    match operator::decode(&body)? {
        ToOperator::Done { request: of } if of == request => Ok(true),
        other => refuse_or_skip(request, other).map(|()| false),
    }
}

fn next_frame(client: &Client) -> Result<Vec<u8>> {
    frame(next_event(client)?)
}

fn next_event(client: &Client) -> Result<Event> {
    client.next(None).context("the node is gone")
}

fn frame(event: Event) -> Result<Vec<u8>> {
    match event {
        Event::Frame(body) => Ok(body),
        Event::Gone(why) => bail!("the node is gone: {why}"),
        Event::Typed(_) | Event::Interrupt => bail!("interrupted"),
    }
}

/// Ends with the refusal of this request; what belongs to others is no matter.
fn refuse_or_skip(request: u32, message: ToOperator<'_>) -> Result<()> {
    match message {
        ToOperator::Refused {
            request: of,
            refusal,
        } if of == request => bail!("{refusal}"),
        ToOperator::Broken(violation) => bail!("{violation}"),
        _ => Ok(()),
    }
}
