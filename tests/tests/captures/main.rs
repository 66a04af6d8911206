//! A hundred captures within one call or one long transfer, on a simulated node: what the program tells, its own
//! times included, is what it tells without them.
//!
//! Three manners: snapshots while it runs; suspended and resumed; a stopping snapshot that is restored from its
//! file. The first two take no time of the world, so that even what comes from outside comes at the same guest
//! time.

mod files;
mod network;
mod programs;

use sos_core::machine::Duration;
use sos_core::operator::Contents;
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::Cluster;

/// Captures in one run.
const CAPTURES: usize = 100;
/// What an instance that was resumed pays for another look at the call that it waits in: at most this.
const LOOK: Duration = Duration::from_micros(2);

/// How captures are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// None is.
    Never,
    /// Snapshots of the running instance, which are thrown away.
    Running,
    /// It is suspended and resumed.
    Suspended,
    /// It is stopped by a snapshot and restored from that.
    Stopped,
    /// It is stopped by a snapshot, whose file alone is kept, and restored from the file.
    Filed,
}

/// A run of one program: the cluster, and who captures it how.
struct Run {
    cluster: Cluster,
    manner: Manner,
    names: &'static [&'static str],
    outsider: Option<Outsider>,
    captures: usize,
}

impl Run {
    /// Instances of the cluster's first node are captured.
    fn new(mut cluster: Cluster, manner: Manner, names: &'static [&'static str]) -> Run {
        let outsider = (manner == Manner::Filed).then(|| Outsider::greeted(&mut cluster, 0));
        Run {
            cluster,
            manner,
            names,
            outsider,
            captures: 0,
        }
    }

    /// Captures one instance now; they take turns. Tells whether it was there.
    fn capture(&mut self) -> bool {
        let name = self.names[self.captures % self.names.len()];
        let is_there = match self.manner {
            Manner::Never => self.type_lines(&[]),
            Manner::Running => {
                self.type_lines(&[format!("snapshot {name} to cut"), "snapshot rm cut".into()])
            }
            Manner::Suspended => {
                self.type_lines(&[format!("suspend {name}"), format!("resume {name}")])
            }
            Manner::Stopped => self.type_lines(&[
                format!("snapshot {name} to cut --stop"),
                "restore cut".into(),
                "snapshot rm cut".into(),
            ]),
            Manner::Filed => self.capture_to_file(name),
        };
        self.captures += usize::from(is_there);
        is_there
    }

    /// Lines that the node takes in one turn, while a nanosecond passes. Tells whether the instance was there that
    /// they are about.
    fn type_lines(&mut self, lines: &[String]) -> bool {
        let printed = self.cluster.nodes[0].machine.printed.len();
        let text: String = lines.iter().map(|line| format!("{line}\r")).collect();
        assert!(text.len() < 200, "more than one turn takes");
        self.cluster.type_text(0, &text);
        self.cluster.run_for(Duration::from_nanos(1));
        let printed = &self.cluster.nodes[0].machine.printed[printed..];
        let printed = String::from_utf8_lossy(printed);
        let is_there = !printed.contains("does not run");
        let is_well = !is_there || !printed.contains("error");
        assert!(is_well, "{:?}: {printed}", self.manner);
        is_there
    }

    fn capture_to_file(&mut self, name: &str) -> bool {
        if !self.type_lines(&[format!("snapshot {name} to cut --stop")]) {
            return false;
        }
        let (cluster, outsider) = (&mut self.cluster, &mut self.outsider);
        let outsider = outsider.as_mut().expect("an operator");
        let file = outsider.export(cluster, "cut", Contents::StateOnly);
        self.type_lines(&["snapshot rm cut".into()]);
        let (cluster, outsider) = (&mut self.cluster, &mut self.outsider);
        let outsider = outsider.as_mut().expect("an operator");
        let file = file.expect("a file");
        assert_eq!(outsider.import(cluster, "cut", &file), Ok(()));
        self.type_lines(&["restore cut".into(), "snapshot rm cut".into()])
    }

    /// Lets `step` pass between one capture and the next, until there were all.
    fn capture_every(&mut self, step: Duration) {
        for number in 0..CAPTURES {
            self.cluster.run_for(step);
            let is_there = self.capture();
            assert!(
                is_there,
                "{:?}: it ended after {number} captures",
                self.manner
            );
        }
    }

    /// Runs until the instance has ended, and gives the numbers that it told.
    fn finish(mut self, name: &str) -> Vec<u64> {
        for _ in 0..1000 {
            if self.cluster.state(0, name).0 == "exited" {
                let log = self.cluster.json(0, &format!("logs {name} --json"));
                let entries = log["entries"].as_array().expect("entries").iter();
                let numbers = entries.map(|entry| {
                    let text = entry["text"].as_str().expect("a text");
                    u64::from_str_radix(text, 16).unwrap_or_else(|_| panic!("{text}"))
                });
                return numbers.collect();
            }
            self.cluster.run_for(Duration::from_millis(20));
        }
        let log = self.cluster.shell(0, &format!("logs {name}"));
        panic!("{:?}: {name} did not end: {log}", self.manner);
    }
}

/// Asserts that two runs told the same: the same numbers, but that those at `times` may be later by what the looks
/// at a call cost that was captured.
fn assert_same(manner: Manner, told: &[u64], expected: &[u64], times: &[usize]) {
    assert_eq!(
        told.len(),
        expected.len(),
        "{manner:?}: {told:x?}, not {expected:x?}"
    );
    for (place, (&told, &expected)) in told.iter().zip(expected).enumerate() {
        let most = match (manner, times.contains(&place)) {
            (Manner::Suspended | Manner::Stopped | Manner::Filed, true) => {
                expected + LOOK.as_nanos() as u64 * CAPTURES as u64
            }
            _ => expected,
        };
        assert!(
            (expected..=most).contains(&told),
            "{manner:?}, number {place}: {told}, not {expected}"
        );
    }
}
