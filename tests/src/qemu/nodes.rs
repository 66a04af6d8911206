//! Several nodes under test on one LAN, as `cargo sos run --nodes` starts them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use sos::cluster::{Cluster, Ground, Network, Options, Placement, Report, Wiring, keys, plan};
use sos::image::BootImage;
use sos::lan::{Forward, Subnet};
use sos::qemu::Node;
use tempfile::TempDir;

use super::{PATIENCE, WATCHDOG, kernel};

/// Which nodes to start, and how.
pub struct BootNodes<'a> {
    image: &'a BootImage,
    count: u32,
    placements: Vec<Placement>,
    wiring: Option<Wiring>,
    kernels: Vec<(usize, PathBuf)>,
    watchdog: Duration,
}

impl<'a> BootNodes<'a> {
    /// `count` nodes, everything on the first, on a LAN that forwards what the manifest says from free ports.
    pub fn new(image: &'a BootImage, count: u32) -> BootNodes<'a> {
        BootNodes {
            image,
            count,
            placements: Vec::new(),
            wiring: None,
            kernels: Vec::new(),
            watchdog: WATCHDOG,
        }
    }

    /// With instances on other nodes than the first, as `web=node2`.
    ///
    /// # Panics
    /// When one is not of that form.
    pub fn place(mut self, placements: &[&str]) -> BootNodes<'a> {
        let placements = placements.iter();
        self.placements = placements
            .map(|text| text.parse().expect("INSTANCE=NODE"))
            .collect();
        self
    }

    /// On a bridge of the host.
    pub fn on_bridge(mut self, bridge: &str) -> BootNodes<'a> {
        self.wiring = Some(Wiring::Bridge(bridge.to_string()));
        self
    }

    /// With another kernel for a node, counted from 1.
    pub fn kernel(mut self, number: usize, kernel: &Path) -> BootNodes<'a> {
        self.kernels.push((number, kernel.to_path_buf()));
        self
    }

    /// How long each may live.
    pub fn watchdog(mut self, limit: Duration) -> BootNodes<'a> {
        self.watchdog = limit;
        self
    }

    /// Starts them and waits for their shells.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn start(self) -> TestNodes {
        let ground = match &self.wiring {
            Some(_) => Ground::Host,
            None => Ground::Lan(Subnet::default()),
        };
        let plans = plan(self.image, self.count, &self.placements, ground);
        let mut plans = plans.unwrap_or_else(|error| panic!("{error:#}"));
        for (number, other) in self.kernels {
            plans[number - 1].kernel = Some(other);
        }
        let forwards = self.image.manifest.forwards.iter();
        let forwards = forwards.map(|spec| Forward::to_name(&spec.instance, spec.instance_port));
        let state = tempfile::tempdir().expect("a folder");
        let options = Options {
            memory_mib: 128,
            cpus: 1,
            append: Vec::new(),
            network: match self.wiring {
                Some(wiring) => Network::Host(wiring),
                None => Network::Lan {
                    forwards: forwards.collect(),
                    pcap: None,
                },
            },
            state: state.path().to_path_buf(),
            watchdog: Some(self.watchdog),
            arguments: Vec::new(),
        };
        let (reports, reported) = channel();
        let cluster = Cluster::start(kernel(), plans, options, reports);
        let nodes = TestNodes {
            cluster: cluster.unwrap_or_else(|error| panic!("{error:#}")),
            _reports: reported,
            state,
        };
        (1..=nodes.cluster.count()).for_each(|number| {
            nodes.until_prompt(number);
        });
        nodes
    }
}

/// Running nodes. Dropping them ends them.
pub struct TestNodes {
    cluster: Cluster,
    // Held: reports are sent while somebody may listen.
    _reports: Receiver<Report>,
    state: TempDir,
}

impl TestNodes {
    /// Starts nodes as [`BootNodes`] does.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn start(image: &BootImage, count: u32, placements: &[&str]) -> TestNodes {
        BootNodes::new(image, count).place(placements).start()
    }

    /// The file of the key by which the nodes and their operators accept each other.
    pub fn cluster_key(&self) -> PathBuf {
        keys::cluster_key_file(self.state.path())
    }

    /// Where this host reaches a node's control port.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn control(&self, number: usize) -> SocketAddr {
        self.cluster.control(number - 1).expect("a control port")
    }

    /// Waits until a node is linked with so many others.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn until_linked(&self, number: usize, others: usize) {
        super::eventually("links between the nodes", || {
            let rows = self.json(number, "nodes");
            let rows = rows.as_array().cloned().unwrap_or_default();
            let linked = rows.iter().filter(|row| row["state"] == "linked").count();
            match linked >= others {
                true => Ok(()),
                false => Err(format!("node{number} is linked with {linked}")),
            }
        });
    }

    /// The names of the instances on a node.
    pub fn instances(&self, number: usize) -> Vec<String> {
        let rows = self.json(number, "ls");
        let rows = rows.as_array().cloned().unwrap_or_default();
        let name = |row: &Value| row["name"].as_str().unwrap_or_default().to_string();
        rows.iter().map(name).collect()
    }

    /// The texts of an instance's log on a node.
    pub fn log(&self, number: usize, instance: &str) -> Vec<String> {
        let rows = self.json(number, &format!("logs {instance}"));
        let rows = rows["entries"].as_array().cloned().unwrap_or_default();
        let text = |row: &Value| row["text"].as_str().unwrap_or_default().to_string();
        rows.iter().map(text).collect()
    }

    /// Hands an instance over and waits until it is on the other node and not on the first.
    ///
    /// # Panics
    /// When the shell refuses, or that does not come about.
    pub fn migrate(&self, instance: &str, from: usize, to: usize, options: &str) {
        let moved = self.try_migrate(instance, from, to, options);
        moved.unwrap_or_else(|reason| panic!("{instance} was not moved to node{to}: {reason}"));
    }

    /// Hands an instance over and waits for the end of that: the node's words about how it went, or why it runs on
    /// where it was.
    ///
    /// # Errors
    /// It was not moved.
    ///
    /// # Panics
    /// When the shell refuses, or it does not end.
    pub fn try_migrate(
        &self,
        instance: &str,
        from: usize,
        to: usize,
        options: &str,
    ) -> Result<String, String> {
        let since = self.json(from, "events")["next"].as_u64().unwrap_or(0);
        let said = self.shell(from, &format!("migrate {instance} node{to} {options}"));
        assert_eq!(said, "", "migrate {instance} node{to} {options}");
        let told = |kind: &str| {
            let events = self.json(from, "events");
            let fresh = events["next"].as_u64().unwrap_or(0).saturating_sub(since);
            let entries = events["entries"].as_array().cloned().unwrap_or_default();
            let mut fresh = entries.into_iter().rev().take(fresh as usize);
            let found = fresh.find(|it| it["instance"] == instance && it["kind"] == kind);
            found.map(|event| event["detail"].as_str().unwrap_or_default().to_string())
        };
        let ended = super::eventually(&format!("{instance} gets to node{to}"), || {
            match (told("moved"), told("not-moved")) {
                (Some(detail), _) => Ok(Ok(detail)),
                (None, Some(reason)) => Ok(Err(reason)),
                (None, None) => Err(self.shell(from, "migrate")),
            }
        });
        if ended.is_ok() {
            let is_on = |number| self.instances(number).iter().any(|there| there == instance);
            assert!(
                is_on(to) && !is_on(from),
                "{instance} is not on node{to} alone"
            );
        }
        ended
    }

    /// The nodes themselves.
    pub fn cluster(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    /// The host's port that leads to the forward of this index in the manifest.
    ///
    /// # Panics
    /// When the nodes are on a network of the host, which forwards nothing.
    pub fn port(&self, index: usize) -> u16 {
        let lan = self.cluster.lan().expect("the tool's own LAN");
        lan.forward_port(index)
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
