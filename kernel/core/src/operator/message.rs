//! What the frames say: plain data, in postcard. Numbers of variants are append-only.

use super::{Refusal, Violation};
use crate::host::OutputStream;
use crate::image::{BlobHash, InstanceSpec};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// First bytes of both greetings.
pub const MAGIC: [u8; 4] = *b"SOSc";
/// Version of the protocol. Two ends of different versions do not talk.
pub const VERSION: u16 = 4;

/// Raw bytes, which postcard copies in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes<'a>, D::Error> {
        <&'a [u8]>::deserialize(deserializer).map(Bytes)
    }
}

/// What an operator says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToNode<'a> {
    /// The answer to the greeting.
    Hello {
        /// [`MAGIC`].
        magic: [u8; 4],
        /// [`VERSION`].
        version: u16,
    },
    /// A part of a request that does not fit one frame; the request itself brings the last part.
    More {
        /// The request that will come.
        request: u32,
        /// The part.
        data: Bytes<'a>,
    },
    /// Asks what the shell can ask: [`ToOperator::Report`].
    Control {
        /// The request.
        request: u32,
        /// [`crate::control::Request`] in postcard, or the last part of it.
        data: Bytes<'a>,
    },
    /// Sends a blob, whose bytes follow: [`ToOperator::Done`]. One at a time.
    PutBlob {
        /// The request.
        request: u32,
        /// SHA-256 of its bytes.
        hash: BlobHash,
        /// How many they are.
        bytes: u64,
    },
    /// The next bytes of a blob; after a refusal they are dropped.
    BlobData {
        /// The request.
        request: u32,
        /// The bytes.
        data: Bytes<'a>,
    },
    /// Makes an instance and lets it run: [`ToOperator::Launched`]. It exists until it is removed
    /// or the conversation ends.
    Launch {
        /// The request, which stands for the instance from now on.
        request: u32,
        /// [`Launch`] in postcard, or the last part of it.
        data: Bytes<'a>,
    },
    /// Bytes for an instance's standard input, within the room that it gave.
    Input {
        /// The instance's launch.
        request: u32,
        /// The bytes.
        data: Bytes<'a>,
    },
    /// Standard input ends here.
    InputEnd {
        /// The instance's launch.
        request: u32,
    },
    /// Gives leave for more bytes of an output stream.
    Room {
        /// The instance's launch.
        request: u32,
        /// Which stream.
        stream: OutputStream,
        /// How many more.
        bytes: u32,
    },
    /// Ends an instance at once: [`ToOperator::Ended`] follows.
    Kill {
        /// The instance's launch.
        request: u32,
    },
    /// Asks what an instance that ended changed below a directory: [`ToOperator::Change`].
    Fetch {
        /// The instance's launch.
        request: u32,
        /// An absolute path in the instance's file system.
        directory: &'a str,
    },
    /// Forgets an instance, which is killed if it runs: [`ToOperator::Done`].
    Remove {
        /// The instance's launch.
        request: u32,
    },
    /// Asks for the file of a snapshot: [`ToOperator::SnapshotDrafted`] perhaps, then
    /// [`ToOperator::SnapshotData`], then [`ToOperator::Done`]. One at a time.
    Export {
        /// The request.
        request: u32,
        /// The snapshot.
        snapshot: &'a str,
        /// What the file holds besides the instance's state.
        contents: Contents,
        /// How it holds pages.
        packing: Packing,
    },
    /// Sends the file of a snapshot, whose bytes follow: [`ToOperator::Done`]. One at a time.
    Import {
        /// The request.
        request: u32,
        /// What it will be called.
        snapshot: &'a str,
        /// Bytes of the file.
        bytes: u64,
    },
    /// The next bytes of a snapshot's file; after a refusal they are dropped.
    SnapshotData {
        /// The request.
        request: u32,
        /// The bytes.
        data: Bytes<'a>,
    },
    /// Runs one line as the shell does: [`ToOperator::Report`] with what it prints, or a refusal with that.
    Line {
        /// The request.
        request: u32,
        /// The line.
        line: &'a str,
    },
}

/// What a snapshot's file holds besides the instance's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Contents {
    /// Modules and files of the image too: any node can use it.
    SelfContained,
    /// Nothing: for nodes that have them already.
    StateOnly,
}

/// How a snapshot's file holds pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packing {
    /// As they are.
    Plain,
    /// Compressed, where that makes them smaller.
    Compressed,
}

/// What a node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToOperator<'a> {
    /// The first word.
    Greeting {
        /// [`MAGIC`].
        magic: [u8; 4],
        /// [`VERSION`].
        version: u16,
        /// The node's name.
        node: &'a str,
        /// The kernel's version.
        kernel: &'a str,
    },
    /// The conversation is over.
    Broken(Violation),
    /// A request is carried out.
    Done {
        /// The request.
        request: u32,
    },
    /// A request is not carried out. Of a launch: there is no instance.
    Refused {
        /// The request.
        request: u32,
        /// Why.
        refusal: Refusal,
    },
    /// The next bytes of a [`crate::control::Report`] in JSON.
    Report {
        /// The request.
        request: u32,
        /// Whether these are the last ones.
        last: bool,
        /// The bytes.
        data: Bytes<'a>,
    },
    /// A launch names these blobs, which the node does not have; [`Refusal::MissingBlobs`] comes
    /// after the last of them.
    Missing {
        /// The launch.
        request: u32,
        /// Their hashes.
        hashes: Vec<BlobHash>,
    },
    /// An instance was made.
    Launched {
        /// The launch.
        request: u32,
        /// Its name on the node.
        name: &'a str,
    },
    /// Leave for more bytes of standard input.
    InputRoom {
        /// The launch.
        request: u32,
        /// How many more.
        bytes: u32,
    },
    /// What an instance wrote.
    Output {
        /// The launch.
        request: u32,
        /// To which stream.
        stream: OutputStream,
        /// The bytes.
        data: Bytes<'a>,
    },
    /// An instance ended; all of its output came before.
    Ended {
        /// The launch.
        request: u32,
        /// How.
        ended: Ended,
    },
    /// One thing that an instance changed; of a file the data and holes follow.
    Change {
        /// The launch.
        request: u32,
        /// Where, from the directory that was asked for: without a `/` in front.
        path: &'a str,
        /// What is there now.
        change: Change,
    },
    /// The next bytes of the file that was named last.
    ChangeData {
        /// The launch.
        request: u32,
        /// The bytes.
        data: Bytes<'a>,
    },
    /// The next bytes of the file that was named last are zeros, up to its end perhaps.
    ChangeHole {
        /// The launch.
        request: u32,
        /// How many they are.
        bytes: u64,
    },
    /// The next bytes of a snapshot's file.
    SnapshotData {
        /// The request.
        request: u32,
        /// The bytes.
        data: Bytes<'a>,
    },
    /// All bytes of a snapshot's file but those of its seal are made and wait in the node to be sent. Left
    /// out of a file of which the node cannot hold as much.
    SnapshotDrafted {
        /// The request.
        request: u32,
        /// Bytes of the whole file.
        bytes: u64,
    },
}

/// What shall run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The instance. Its blobs were put before or are in the node's image; the node makes its name
    /// unique.
    pub spec: InstanceSpec,
    /// Where its standard input comes from.
    pub input: StandardInput,
    /// Leave for bytes of standard output and standard error.
    pub output_room: [u32; 2],
}

/// Where an instance's standard input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StandardInput {
    /// From the operator ([`ToNode::Input`]).
    Operator,
    /// It is at its end from the start.
    Nothing,
}

/// What became of something in an instance's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A file with new contents, whose data follow from its start to its end.
    File {
        /// How long it is, holes included.
        bytes: u64,
        /// When it was written last, in nanoseconds of wall time.
        modified_ns: u64,
    },
    /// A new directory.
    Directory,
    /// A new symbolic link with this text.
    SymbolicLink(String),
    /// It is no more.
    Removed,
}

/// How an instance ended, and what it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub end: RunEnd,
    /// What it took.
    pub usage: Usage,
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunEnd {
    /// Its program returned (0) or exited.
    Exited(i32),
    /// Its program did what it must not.
    Trapped {
        /// What that was.
        reason: String,
        /// The functions that it was inside of, innermost first, in words.
        backtrace: Vec<String>,
    },
    /// The node had no page for it.
    OutOfMemory,
    /// An operator killed or stopped it.
    Killed,
    /// It could not be made: the text says why.
    NotStarted(String),
}

/// What an instance took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time.
    pub cpu_nanos: u64,
    /// From its start to its end.
    pub run_nanos: u64,
    /// Translating its module, zero when it was translated before.
    pub translate_nanos: u64,
}
