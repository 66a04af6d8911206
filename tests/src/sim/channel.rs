//! An operator outside a simulated node, at the other end of its channel.

use super::cluster::Cluster;
use sos_core::image::{BlobHash, InstanceSpec, blob_hash};
use sos_core::machine::Duration;
use sos_core::operator::{
    self, Bytes, Contents, FrameReader, Launch, Packing, Refusal, StandardInput, ToNode,
    ToOperator, append_frame,
};

/// Simulated time in which the node has answered.
const ANSWER_TIME: Duration = Duration::from_millis(50);

/// One conversation with a node.
pub struct Outsider {
    node: usize,
    reader: FrameReader,
}

impl Outsider {
    /// Connects to a node, in place of whoever was connected; the greeting is not read yet.
    pub fn connect(cluster: &mut Cluster, node: usize) -> Outsider {
        let channel = &mut cluster.nodes[node].machine.channel;
        channel.connection = Some(channel.connection.map_or(0, |number| number + 1));
        channel.to_node.clear();
        channel.from_node.clear();
        channel.changed = true;
        Outsider {
            node,
            reader: FrameReader::default(),
        }
    }

    /// Connects and exchanges greetings.
    ///
    /// # Panics
    /// When the node's first word is no greeting.
    pub fn greeted(cluster: &mut Cluster, node: usize) -> Outsider {
        let mut outsider = Outsider::connect(cluster, node);
        outsider.expect(cluster, |message| {
            assert!(
                matches!(message, ToOperator::Greeting { .. }),
                "{message:?}"
            );
        });
        let hello = ToNode::Hello {
            magic: operator::MAGIC,
            version: operator::VERSION,
        };
        outsider.say(cluster, &hello);
        outsider
    }

    /// Ends the conversation.
    pub fn leave(self, cluster: &mut Cluster) {
        let channel = &mut cluster.nodes[self.node].machine.channel;
        channel.connection = None;
        channel.changed = true;
    }

    /// Sends raw bytes.
    pub fn send(&self, cluster: &mut Cluster, bytes: &[u8]) {
        let channel = &mut cluster.nodes[self.node].machine.channel;
        channel.to_node.extend(bytes);
        channel.changed = true;
    }

    /// Sends a message.
    ///
    /// # Panics
    /// When it does not fit a frame.
    pub fn say(&self, cluster: &mut Cluster, message: &ToNode<'_>) {
        let mut frame = Vec::new();
        append_frame(&mut frame, message).expect("a message that fits");
        self.send(cluster, &frame);
    }

    /// Sends a blob; the answer is not read.
    pub fn put(&self, cluster: &mut Cluster, request: u32, hash: BlobHash, bytes: &[u8]) {
        let length = bytes.len() as u64;
        let put = ToNode::PutBlob {
            request,
            hash,
            bytes: length,
        };
        self.say(cluster, &put);
        for piece in bytes.chunks(10_000) {
            let data = Bytes(piece);
            self.say(cluster, &ToNode::BlobData { request, data });
        }
    }

    /// Sends a module in text form and launches it; the node's answers up to the launch are read.
    ///
    /// # Panics
    /// When the text does not parse or the node does not launch it.
    pub fn launch(&mut self, cluster: &mut Cluster, request: u32, text: &str, room: [u32; 2]) {
        let bytes = wat::parse_str(text).expect("module text");
        let hash = blob_hash(&bytes);
        self.put(cluster, request, hash, &bytes);
        self.expect(cluster, |message| {
            assert_eq!(*message, ToOperator::Done { request });
        });
        self.say_launch(cluster, request, hash, room);
        self.expect(cluster, |message| {
            assert!(
                matches!(message, ToOperator::Launched { .. }),
                "{message:?}"
            );
        });
    }

    /// The file of a snapshot, plain.
    ///
    /// # Errors
    /// Why the node refuses.
    ///
    /// # Panics
    /// When the node answers with something else.
    pub fn export(
        &mut self,
        cluster: &mut Cluster,
        snapshot: &str,
        contents: Contents,
    ) -> Result<Vec<u8>, String> {
        self.export_packed(cluster, snapshot, contents, Packing::Plain)
    }

    /// The file of a snapshot.
    ///
    /// # Errors
    /// Why the node refuses.
    ///
    /// # Panics
    /// When the node answers with something else.
    pub fn export_packed(
        &mut self,
        cluster: &mut Cluster,
        snapshot: &str,
        contents: Contents,
        packing: Packing,
    ) -> Result<Vec<u8>, String> {
        let request = 77;
        self.say(
            cluster,
            &ToNode::Export {
                request,
                snapshot,
                contents,
                packing,
            },
        );
        let mut file = Vec::new();
        let (mut drafted, mut end) = (None, None);
        while end.is_none() {
            self.expect(cluster, |message| match message {
                ToOperator::SnapshotDrafted { bytes, .. } => {
                    assert!(file.is_empty(), "drafted before it is sent");
                    drafted = Some(*bytes);
                }
                ToOperator::SnapshotData { data, .. } => file.extend_from_slice(data.0),
                ToOperator::Done { .. } => end = Some(Ok(())),
                ToOperator::Refused {
                    refusal: Refusal::Control(text),
                    ..
                } => end = Some(Err(text.clone())),
                other => panic!("{other:?}"),
            });
        }
        end.unwrap_or(Ok(()))?;
        let whole = drafted.unwrap_or(file.len() as u64);
        assert_eq!(whole, file.len() as u64, "as long as was drafted");
        Ok(file)
    }

    /// Gives the file of a snapshot to the node.
    ///
    /// # Errors
    /// Why the node refuses.
    ///
    /// # Panics
    /// When the node answers with something else.
    pub fn import(
        &mut self,
        cluster: &mut Cluster,
        snapshot: &str,
        file: &[u8],
    ) -> Result<(), String> {
        let request = 78;
        let bytes = file.len() as u64;
        self.say(
            cluster,
            &ToNode::Import {
                request,
                snapshot,
                bytes,
            },
        );
        for piece in file.chunks(50_000) {
            let data = Bytes(piece);
            self.say(cluster, &ToNode::SnapshotData { request, data });
        }
        let mut result = Ok(());
        self.expect(cluster, |message| match message {
            ToOperator::Done { .. } => {}
            ToOperator::Refused {
                refusal: Refusal::Control(text),
                ..
            } => result = Err(text.clone()),
            other => panic!("{other:?}"),
        });
        result
    }

    /// Asks for a launch.
    pub fn say_launch(
        &self,
        cluster: &mut Cluster,
        request: u32,
        module: BlobHash,
        output_room: [u32; 2],
    ) {
        let launch = operator::encode(&Launch {
            spec: InstanceSpec::new("guest", module, "guest.wasm"),
            input: StandardInput::Operator,
            output_room,
        });
        let data = Bytes(&launch);
        self.say(cluster, &ToNode::Launch { request, data });
    }

    /// Hands every message that comes within a while to `look`; leave for input is left out.
    ///
    /// # Panics
    /// When the node's bytes are no messages.
    pub fn listen(&mut self, cluster: &mut Cluster, mut look: impl FnMut(&ToOperator<'_>)) {
        let end = cluster.now() + ANSWER_TIME;
        while cluster.now() < end {
            cluster.run_for(ANSWER_TIME / 10);
            self.read(cluster, usize::MAX, &mut look);
        }
    }

    /// Hands every message that is there to `look`, while no time passes; leave for input is left out.
    ///
    /// # Panics
    /// When the node's bytes are no messages.
    pub fn hear(&mut self, cluster: &mut Cluster, mut look: impl FnMut(&ToOperator<'_>)) {
        self.read(cluster, usize::MAX, &mut look);
    }

    /// The next message; leave for input is left out.
    ///
    /// # Panics
    /// When none comes within a while.
    pub fn expect(&mut self, cluster: &mut Cluster, mut look: impl FnMut(&ToOperator<'_>)) {
        for _ in 0..1000 {
            if self.read(cluster, 1, &mut look) == 1 {
                return;
            }
            cluster.run_for(ANSWER_TIME / 10);
        }
        panic!("the node says nothing");
    }

    /// Reads at most so many messages that are there.
    fn read(
        &mut self,
        cluster: &mut Cluster,
        most: usize,
        look: &mut impl FnMut(&ToOperator<'_>),
    ) -> usize {
        let mut count = 0;
        loop {
            while count < most
                && let Some(message) = self.reader.next::<ToOperator<'_>>().expect("messages")
            {
                if !matches!(message, ToOperator::InputRoom { .. }) {
                    count += 1;
                    look(&message);
                }
            }
            let channel = &mut cluster.nodes[self.node].machine.channel;
            let wanted = channel.from_node.len().min(self.reader.room());
            if wanted == 0 || count == most {
                return count;
            }
            let bytes: Vec<u8> = channel.from_node.drain(..wanted).collect();
            channel.changed = true;
            self.reader.push(&bytes).expect("room");
        }
    }
}
