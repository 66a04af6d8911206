//! What a test asks of a node the way an operator does: by typing at its shell.

use super::channel::Outsider;
use super::cluster::Cluster;
use sos_core::machine::Duration;
use sos_core::operator::Contents;

/// Simulated time in which a verb has answered.
const ANSWER_TIME: Duration = Duration::from_millis(20);

impl Cluster {
    /// Types a line at a node and returns what it printed.
    pub fn shell(&mut self, node: usize, line: &str) -> String {
        let before = self.nodes[node].machine.printed.len();
        self.type_text(node, &format!("{line}\r"));
        self.run_for(ANSWER_TIME);
        let printed = &self.nodes[node].machine.printed[before..];
        String::from_utf8_lossy(printed).replace('\r', "")
    }

    /// Types a line that the node carries out.
    ///
    /// # Panics
    /// When it says otherwise.
    pub fn done(&mut self, node: usize, line: &str) {
        let text = self.shell(node, line);
        assert!(!text.contains("error"), "{text}");
    }

    /// Types a line that the node refuses, and says `why`.
    ///
    /// # Panics
    /// When it does not.
    pub fn refused(&mut self, node: usize, line: &str, why: &str) {
        let text = self.shell(node, line);
        assert!(text.contains("error: ") && text.contains(why), "{text}");
    }

    /// The file of a snapshot, with its modules.
    ///
    /// # Panics
    /// When the node makes none.
    pub fn export(&mut self, node: usize, snapshot: &str) -> Vec<u8> {
        let mut outsider = Outsider::greeted(self, node);
        let file = outsider.export(self, snapshot, Contents::SelfContained);
        outsider.leave(self);
        // The node notices.
        self.run_for(Duration::from_millis(1));
        file.expect("a file")
    }

    /// The JSON that a verb prints.
    ///
    /// # Panics
    /// When it prints none.
    pub fn json(&mut self, node: usize, line: &str) -> serde_json::Value {
        let text = self.shell(node, line);
        let line = text
            .lines()
            .find(|line| line.starts_with(['[', '{']))
            .unwrap_or_else(|| panic!("no JSON in {text}"));
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// How often an instance of [`crate::programs::ticks`] has logged.
    ///
    /// # Panics
    /// When there is no such instance.
    pub fn ticks(&mut self, node: usize, name: &str) -> usize {
        let log = self.json(node, &format!("logs {name} --json"));
        let entries = log["entries"].as_array().expect("entries");
        entries
            .iter()
            .filter(|entry| entry["text"] == "tick")
            .count()
    }

    /// An instance's state, and the detail beside it.
    ///
    /// # Panics
    /// When there is no such instance.
    pub fn state(&mut self, node: usize, name: &str) -> (String, String) {
        let detail = self.json(node, &format!("info {name} --json"));
        let text = |key: &str| detail[key].as_str().expect(key).to_string();
        (text("state"), text("detail"))
    }
}
