//! QEMU's own control socket, in its JSON protocol (QMP: "QEMU Machine Protocol Specification").

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use super::{PATIENCE, eventually};

/// A connection to a machine's monitor.
pub struct Monitor {
    stream: BufReader<UnixStream>,
}

impl Monitor {
    /// QEMU's arguments for a monitor at `path`.
    pub fn arguments(path: &Path) -> [String; 2] {
        let path = path.display();
        ["-qmp".into(), format!("unix:{path},server=on,wait=off")]
    }

    /// Connects and ends the negotiation.
    ///
    /// # Panics
    /// When QEMU does not answer.
    pub fn connect(path: &Path) -> Monitor {
        let stream = eventually("the monitor", || {
            UnixStream::connect(path).map_err(|error| error.to_string())
        });
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut monitor = Monitor {
            stream: BufReader::new(stream),
        };
        assert!(monitor.read()["QMP"].is_object(), "no greeting");
        monitor.execute("qmp_capabilities", json!({}));
        monitor
    }

    /// Carries out a command and returns what it gives.
    ///
    /// # Panics
    /// When QEMU refuses it.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Value {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        let sent = self.stream.get_mut().write_all(line.as_bytes());
        sent.expect("write to the monitor");
        loop {
            let mut answer = self.read();
            if answer["event"].is_string() {
                continue;
            }
            assert!(answer["error"].is_null(), "{command}: {answer}");
            return answer["return"].take();
        }
    }

    /// Carries out a line of the monitor for people.
    pub fn human(&mut self, line: &str) -> String {
        let said = self.execute("human-monitor-command", json!({ "command-line": line }));
        said.as_str().unwrap_or_default().to_string()
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        let length = self.stream.read_line(&mut line);
        assert!(
            length.expect("the monitor's word") > 0,
            "the monitor closed"
        );
        serde_json::from_str(&line).expect("JSON from the monitor")
    }
}
