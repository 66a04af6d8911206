//! A window of tmux for each node's console: [`Windows`] offers the consoles at sockets, [`attend`] is what runs in
//! each window.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::terminal::RawMode;
use crate::{paths, process};

/// The program.
const TMUX: &str = "tmux";
/// Where tmux says that one is inside of it (tmux(1), "Environment").
const INSIDE: &str = "TMUX";
/// What a window that is opened later sees of what was printed before, in bytes.
const PAST_BYTES: usize = 16 * 1024;
/// How long a window may hold up what others wait for.
const STALL: Duration = Duration::from_millis(200);

/// Runs this very command again within tmux, unless it is there already. Returns only in the latter case.
///
/// # Errors
/// When there is no tmux, or it does not start.
pub fn enter() -> Result<()> {
    if paths::program(TMUX).is_none() {
        bail!(
            "--tmux needs the program tmux, which is missing: install the package tmux, or leave --tmux out"
        );
    }
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    let this = std::env::current_exe().context("find this program")?;
    let mut command = Command::new(TMUX);
    command.args(["new-session", "-n", "sos", "--"]).arg(this);
    command.args(std::env::args_os().skip(1));
    Err(command.exec()).context("start tmux")
}

/// Consoles at sockets, each with a window of tmux. Dropping it lets the windows close.
pub struct Windows {
    consoles: Vec<Arc<Mutex<Console>>>,
    _folder: TempDir,
}

#[derive(Default)]
struct Console {
    past: Vec<u8>,
    viewers: Vec<UnixStream>,
}

impl Windows {
    /// Opens a window for each node. `typed` hears what is typed there, with the node's index.
    ///
    /// # Errors
    /// When a socket or a window cannot be made.
    pub fn open(
        names: &[String],
        typed: impl Fn(usize, &[u8]) + Clone + Send + 'static,
    ) -> Result<Windows> {
        let folder = tempfile::Builder::new()
            .prefix("sos-windows-")
            .tempdir()
            .context("make a folder for the consoles' sockets")?;
        let mut consoles = Vec::new();
        for (node, name) in names.iter().enumerate() {
            let console = Arc::new(Mutex::new(Console::default()));
            let socket = folder.path().join(name);
            let listener = UnixListener::bind(&socket).context("offer a console")?;
            let (shown, typed) = (console.clone(), typed.clone());
            std::thread::spawn(move || {
                for viewer in listener.incoming().flatten() {
                    let typed = typed.clone();
                    // A viewer that cannot be served sees its window close.
                    let _ = admit(&shown, viewer, move |bytes| typed(node, bytes));
                }
            });
            open_window(name, &socket)?;
            consoles.push(console);
        }
        Ok(Windows {
            consoles,
            _folder: folder,
        })
    }

    /// A node has printed something.
    pub fn printed(&self, node: usize, bytes: &[u8]) {
        if let Some(console) = self.consoles.get(node)
            && let Ok(mut console) = console.lock()
        {
            console.past.extend_from_slice(bytes);
            let surplus = console.past.len().saturating_sub(PAST_BYTES);
            console.past.drain(..surplus);
            console
                .viewers
                .retain_mut(|viewer| viewer.write_all(bytes).is_ok());
        }
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        for console in &self.consoles {
            if let Ok(console) = console.lock() {
                let ends = console.viewers.iter();
                // Those that have left already need no end.
                ends.for_each(|viewer| drop(viewer.shutdown(std::net::Shutdown::Both)));
            }
        }
    }
}

/// Shows a viewer what was printed and will be, and hears what it types.
fn admit(
    console: &Mutex<Console>,
    viewer: UnixStream,
    typed: impl Fn(&[u8]) + Send + 'static,
) -> io::Result<()> {
    viewer.set_write_timeout(Some(STALL))?;
    let mut keys = viewer.try_clone()?;
    if let Ok(mut console) = console.lock() {
        let mut viewer = viewer;
        viewer.write_all(&console.past)?;
        console.viewers.push(viewer);
    }
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = keys.read(&mut buffer) {
            typed(&buffer[..count]);
        }
    });
    Ok(())
}

fn open_window(name: &str, socket: &Path) -> Result<()> {
    let this = std::env::current_exe().context("find this program")?;
    let mut command = Command::new(TMUX);
    // Behind the others, and the one that is shown stays shown.
    command.args(["new-window", "-d", "-n", name, "--"]);
    command.arg(this).arg("attend").arg(socket);
    process::run(&mut command)
}

/// Joins this terminal to a console until that ends.
///
/// # Errors
/// When nobody offers it.
pub fn attend(socket: &Path) -> Result<()> {
    let mut console = UnixStream::connect(socket)
        .with_context(|| format!("no console is offered at {}", socket.display()))?;
    let raw = RawMode::enter().context("switch the terminal to raw mode")?;
    let mut keys = console.try_clone().context("use the console")?;
    std::thread::spawn(move || {
        // It ends with either.
        let _ = io::copy(&mut io::stdin().lock(), &mut keys);
    });
    let mut out = io::stdout();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = console.read(&mut buffer) {
        out.write_all(&buffer[..count])?;
        out.flush()?;
    }
    drop(raw);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_viewer_sees_what_was_and_what_comes_and_is_heard() {
        let console = Mutex::new(Console {
            past: b"before ".to_vec(),
            viewers: Vec::new(),
        });
        let (mut here, there) = UnixStream::pair().unwrap();
        let (heard, keys) = channel();
        admit(&console, there, move |bytes| {
            heard.send(bytes.to_vec()).unwrap()
        })
        .unwrap();
        let windows = Windows {
            consoles: vec![Arc::new(console)],
            _folder: tempfile::tempdir().unwrap(),
        };
        windows.printed(0, b"and after");
        here.write_all(b"ls\r").unwrap();
        assert_eq!(keys.recv().unwrap(), b"ls\r");
        drop(windows);
        let mut seen = String::new();
        here.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "before and after");
    }
}
