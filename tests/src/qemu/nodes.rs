//! Several nodes under test on one LAN, as `cargo sos run --nodes` starts them.

use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;
use sos::cluster::{Cluster, Options, Placement, Report, plan};
use sos::image::BootImage;
use sos::lan::{Forward, Subnet};
use sos::qemu::Node;
use tempfile::TempDir;

use super::{PATIENCE, WATCHDOG, kernel};

/// Running nodes. Dropping them ends them.
pub struct TestNodes {
    cluster: Cluster,
    // Held: reports are sent while somebody may listen.
    _reports: Receiver<Report>,
    _state: TempDir,
}

impl TestNodes {
    /// Starts `count` nodes with what is placed on each, on a LAN that forwards what the manifest says from
    /// free ports, and waits for their shells.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn start(image: &BootImage, count: u32, placements: &[&str]) -> TestNodes {
        let placements: Vec<Placement> = placements
            .iter()
            .map(|text| text.parse().expect("INSTANCE=NODE"))
            .collect();
        let plans = plan(image, count, &placements, Subnet::default());
        let plans = plans.unwrap_or_else(|error| panic!("{error:#}"));
        let forwards = image.manifest.forwards.iter();
        let forwards = forwards.map(|spec| Forward::to_name(&spec.instance, spec.instance_port));
        let state = tempfile::tempdir().expect("a folder");
        let options = Options {
            memory_mib: 128,
            cpus: 1,
            append: Vec::new(),
            forwards: forwards.collect(),
            pcap: None,
            state: state.path().to_path_buf(),
            watchdog: Some(WATCHDOG),
            arguments: Vec::new(),
        };
        let (reports, reported) = channel();
        let cluster = Cluster::start(kernel(), plans, options, reports);
        let nodes = TestNodes {
            cluster: cluster.unwrap_or_else(|error| panic!("{error:#}")),
            _reports: reported,
            _state: state,
        };
        (1..=nodes.cluster.count()).for_each(|number| {
            nodes.until_prompt(number);
        });
        nodes
    }

    /// The nodes themselves.
    pub fn cluster(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    /// The host's port that leads to the forward of this index in the manifest.
    pub fn port(&self, index: usize) -> u16 {
        self.cluster.lan().forward_port(index)
    }

    /// The machine of a node, counted from 1 as in its name.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn machine(&self, number: usize) -> &Node {
        self.cluster.machine(number - 1).expect("a node")
    }

    /// Waits for a node's prompt; returns what was printed before it.
    ///
    /// # Panics
    /// When it does not come.
    pub fn until_prompt(&self, number: usize) -> String {
        let prompt = format!("\rnode{number}> \x1b[K");
        let text = self.machine(number).console().expect(&prompt, PATIENCE);
        let text = text.unwrap_or_else(|error| panic!("{error}"));
        text[..text.len() - prompt.len()].replace("\r\n", "\n")
    }

    /// Runs a line of a node's shell to its end; returns what it printed.
    ///
    /// # Panics
    /// When it does not end.
    pub fn shell(&self, number: usize, line: &str) -> String {
        let console = self.machine(number).console();
        let sent = console.send_line(line);
        sent.unwrap_or_else(|error| panic!("{error}"));
        let echo = console.expect(&format!("{line}\r\n"), PATIENCE);
        echo.unwrap_or_else(|error| panic!("{error}"));
        self.until_prompt(number)
    }

    /// Runs a listing verb with `--json` on a node and parses what it printed.
    ///
    /// # Panics
    /// When that is not JSON.
    pub fn json(&self, number: usize, line: &str) -> Value {
        let text = self.shell(number, &format!("{line} --json"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"))
    }
}
