//! QEMU's own control protocol, as far as saving and loading a machine needs it (QEMU,
//! `docs/interop/qmp-spec.txt`).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::qemu::channel;

/// QEMU answers at once but for what it has to finish before.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether a migration has ended.
const POLL_INTERVAL: Duration = Duration::from_micros(500);
/// Bytes per second of a migration: more than any machine reaches.
const BANDWIDTH: u64 = 1 << 40;

/// A conversation with a QEMU.
pub struct Qmp {
    input: UnixStream,
    output: BufReader<UnixStream>,
}

/// QEMU's arguments for a conversation at `socket`.
pub fn arguments(socket: &Path) -> [String; 2] {
    let path = socket.display();
    ["-qmp".into(), format!("unix:{path},server=on,wait=off")]
}

impl Qmp {
    /// Connects, waiting for QEMU to make the socket.
    pub fn connect(socket: &Path) -> Result<Qmp> {
        let input = channel::connect(socket, PATIENCE).context("connect to QEMU")?;
        input.set_read_timeout(Some(PATIENCE))?;
        let mut qmp = Qmp {
            output: BufReader::new(input.try_clone()?),
            input,
        };
        let greeting = qmp.read()?;
        ensure!(greeting["QMP"].is_object(), "QEMU greets with {greeting}");
        qmp.execute("qmp_capabilities", json!({}))?;
        let fast = json!({ "max-bandwidth": BANDWIDTH });
        qmp.execute("migrate-set-parameters", fast)?;
        Ok(qmp)
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        ensure!(
            read.context("listen to QEMU")? > 0,
            "QEMU closed its control socket"
        );
        serde_json::from_str(&line).with_context(|| format!("read QEMU's `{}`", line.trim()))
    }

    /// Gives a command and returns what it returns.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let line = json!({ "execute": command, "arguments": arguments });
        self.input.write_all(format!("{line}\n").as_bytes())?;
        loop {
            let mut said = self.read()?;
            if let Some(error) = said.get("error") {
                bail!("QEMU refused `{command}`: {error}");
            }
            if said.get("return").is_some() {
                return Ok(said["return"].take());
            }
        }
    }

    /// Stops the machine and writes it to a file; it stays stopped.
    pub fn save(&mut self, file: &Path) -> Result<()> {
        self.execute("stop", json!({}))?;
        let uri = format!("exec:cat > {}", file.display());
        self.execute("migrate", json!({ "uri": uri }))?;
        self.await_migration()
    }

    /// Loads a machine that was started with `-incoming defer`, and lets it run.
    pub fn load(&mut self, file: &Path) -> Result<()> {
        let uri = format!("exec:cat {}", file.display());
        self.execute("migrate-incoming", json!({ "uri": uri }))?;
        self.await_migration()?;
        self.execute("cont", json!({})).map(drop)
    }

    /// Waits until all of the machine is out, or in.
    fn await_migration(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let state = self.execute("query-migrate", json!({}))?;
            match state["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => bail!("QEMU did not migrate: {state}"),
                _ => std::thread::sleep(POLL_INTERVAL),
            }
        }
        bail!("QEMU did not migrate within {PATIENCE:?}")
    }
}
