//! Asking a node about snapshots, and moving their files over its channel.

use std::io::Write;

use anyhow::{Context, Result, bail};
use sos_core::control::Request;
use sos_core::limits;
use sos_core::operator::{self, Bytes, Contents, Packing, ToNode, ToOperator};

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

/// Writes a snapshot's file to `out`; tells how many bytes it has.
///
/// # Errors
/// The node's refusal, that it is gone, or that `out` cannot be written.
pub fn export(
    client: &mut Client,
    snapshot: &str,
    contents: Contents,
    packing: Packing,
    out: &mut impl Write,
) -> Result<u64> {
    let request = client.number();
    client.say(&ToNode::Export {
        request,
        snapshot,
        contents,
        packing,
    })?;
    let mut bytes = 0;
    loop {
        let body = next_frame(client)?;
        match operator::decode(&body)? {
            ToOperator::SnapshotData { request: of, data } if of == request => {
                bytes += data.0.len() as u64;
                out.write_all(data.0).context("write the snapshot")?;
            }
            ToOperator::Done { request: of } if of == request => {
                out.flush().context("write the snapshot")?;
                return Ok(bytes);
            }
            other => refuse_or_skip(request, other)?,
        }
    }
}

/// Hands a snapshot's file to a node, which keeps it as `snapshot`.
///
/// # Errors
/// The node's refusal, or that it is gone.
pub fn import(client: &mut Client, snapshot: &str, file: &[u8]) -> Result<()> {
    let request = client.number();
    client.say(&ToNode::Import {
        request,
        snapshot,
        bytes: file.len() as u64,
    })?;
    for piece in file.chunks(limits::OPERATOR_PIECE_BYTES) {
        let data = Bytes(piece);
        client.say(&ToNode::SnapshotData { request, data })?;
    }
    loop {
        let body = next_frame(client)?;
        match operator::decode(&body)? {
            ToOperator::Done { request: of } if of == request => return Ok(()),
            other => refuse_or_skip(request, other)?,
        }
    }
}

fn next_frame(client: &Client) -> Result<Vec<u8>> {
    match client.next(None) {
        Some(Event::Frame(body)) => Ok(body),
        Some(Event::Gone(why)) => bail!("the node is gone: {why}"),
        Some(Event::Typed(_) | Event::Interrupt) | None => bail!("interrupted"),
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
