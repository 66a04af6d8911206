//! Nodes that stay: a machine in the background, found again by its name.
//!
//! Each has a folder below one that only the user may enter: the channel's socket, its console's log and
//! its process's number. A socket that nobody listens at is what a dead node left behind. The channel
//! takes one program at a time; the next one waits until the first has left.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sos_core::control::Request;
use sos_core::operator::{self, ToNode};

use super::client::{Client, Event};
use super::nodes::{BOOT_PATIENCE, EARLY, SOCKET, Wants, builder};
use crate::process::say;
use crate::qemu;

/// How long a program waits for its turn on a node.
const TURN_PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// After which somebody who waits for the turn is told so.
const TURN_EARLY: Duration = Duration::from_millis(500);
/// How long a node may take to switch itself off.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// File of a node's folder with the number of its process.
const PROCESS: &str = "process";
/// File of a node's folder with what its console printed.
const CONSOLE: &str = "console";
/// File of a node's folder with the number of the process that runs it, of a node that does not stay.
const OWNER: &str = "owner";
/// File of a node's folder with where its control port is reached on this host, of a node that has one.
const CONTROL: &str = "control";
/// Longest name, so that the socket's path stays short enough.
const NAME_BYTES: usize = 32;

/// A node that stays, by its name.
#[derive(Clone, Debug)]
pub struct KeptNode {
    name: String,
    folder: PathBuf,
}

impl KeptNode {
    /// The node of this name, whether it runs or not.
    ///
    /// # Errors
    /// When the name cannot be one of a folder, or the user has no folder of their own for it.
    pub fn named(name: &str) -> Result<KeptNode> {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=NAME_BYTES).contains(&name.len()) || !name.bytes().all(sound) {
            bail!("`{name}` is no name for a node: at most {NAME_BYTES} letters, digits, - and _");
        }
        Ok(KeptNode {
            name: name.to_string(),
            folder: runtime_folder()?.join(name),
        })
    }

    /// The nodes that run.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn running() -> Result<Vec<String>> {
        let mut names = Vec::new();
        let folder = runtime_folder()?;
        let entries =
            fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
        for entry in entries {
            let Ok(name) = entry?.file_name().into_string() else {
                continue;
            };
            if folder.join(&name).join(SOCKET).exists() && KeptNode::named(&name)?.is_alive() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Connects to the node, which is booted if it does not run.
    ///
    /// # Errors
    /// When it does not come up or does not answer.
    pub fn connect(&self, wants: Wants) -> Result<Client> {
        let (stream, early, why) = match UnixStream::connect(self.socket()) {
            Ok(stream) => {
                if wants.secret.is_some() {
                    let name = &self.name;
                    say(format!(
                        "note: node {name} runs already and keeps the secret that it was booted with"
                    ));
                }
                (stream, TURN_EARLY, "it runs another program or boots")
            }
            Err(_) => (self.boot(wants)?, EARLY, "it boots"),
        };
        Client::open(stream, TURN_PATIENCE, early, || {
            say(format!("waiting for node {}: {why}", self.name));
        })
        .with_context(|| {
            let name = &self.name;
            format!("speak to node {name}; `cargo sos exec --stop={name}` ends it")
        })
    }

    /// Where the node's control port is reached on this host, if whoever runs it has said so.
    pub fn control(&self) -> Option<SocketAddr> {
        let text = fs::read_to_string(self.folder.join(CONTROL)).ok()?;
        text.trim().parse().ok()
    }

    /// Connects to the node if it runs.
    ///
    /// # Errors
    /// When it does not run or does not answer.
    pub fn connect_running(&self) -> Result<Client> {
        let name = &self.name;
        let stream = UnixStream::connect(self.socket()).with_context(|| {
            format!("no node {name} runs; `cargo sos exec --list` lists those that do")
        })?;
        Client::open(stream, TURN_PATIENCE, TURN_EARLY, || {
            say(format!("waiting for node {name} (it boots or is busy)"));
        })
        .with_context(|| format!("speak to node {name}"))
    }

    /// Boots the node, unless somebody else was quicker.
    fn boot(&self, wants: Wants) -> Result<UnixStream> {
        let context = || format!("keep a node in {}", self.folder.display());
        let _lock = self.lock().with_context(context)?;
        if let Ok(stream) = UnixStream::connect(self.socket()) {
            return Ok(stream);
        }
        // What is there was left by a node that died.
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(context);
            }
            _ => {}
        }
        fs::create_dir(&self.folder).with_context(context)?;
        let mut command = builder(&wants)?.channel(&self.socket()).command()?;
        let console = File::create(self.folder.join(CONSOLE)).with_context(context)?;
        command
            .stdin(Stdio::null())
            .stdout(console.try_clone().with_context(context)?)
            .stderr(console);
        let mut child = spawn_detached(command).context("start QEMU")?;
        fs::write(self.folder.join(PROCESS), child.id().to_string()).with_context(context)?;
        match qemu::channel::connect(&self.socket(), BOOT_PATIENCE.min(EARLY)) {
            Ok(stream) => Ok(stream),
            Err(error) => {
                // It may have ended by itself, which is why it does not answer.
                let _ = child.kill();
                let _ = child.wait();
                let printed = fs::read(self.folder.join(CONSOLE)).unwrap_or_default();
                let printed = String::from_utf8_lossy(&printed).into_owned();
                Err(error).with_context(|| format!("boot node {}:\n{printed}", self.name))
            }
        }
    }

    /// Ends the node; tells whether it ran.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&self) -> Result<bool> {
        let Ok(stream) = UnixStream::connect(self.socket()) else {
            return Ok(false);
        };
        let _lock = self.lock().context("stop a node")?;
        // A node that is busy with a program, or hangs, does not listen: its process is ended.
        let deadline = Instant::now() + STOP_PATIENCE;
        if let Ok(mut client) = Client::open(stream, TURN_EARLY, TURN_EARLY, || ()) {
            let request = client.number();
            let wanted = operator::encode(&Request::PowerOff);
            let data = operator::Bytes(&wanted);
            client.say(&ToNode::Control { request, data })?;
            while let Some(event) = client.next(Some(deadline)) {
                if let Event::Gone(_) = event {
                    break;
                }
            }
        }
        if self.is_alive() {
            self.kill()?;
        }
        fs::remove_dir_all(&self.folder)
            .with_context(|| format!("remove {}", self.folder.display()))?;
        Ok(true)
    }

    /// Kills the node's process, after a look whether it is that still.
    fn kill(&self) -> Result<()> {
        let number = fs::read_to_string(self.folder.join(PROCESS)).context("find its process")?;
        let number: i32 = number.trim().parse().context("find its process")?;
        let command = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let socket = self.socket();
        if !String::from_utf8_lossy(&command).contains(&*socket.to_string_lossy()) {
            bail!("node {} runs and is no process of its folder", self.name);
        }
        // SAFETY: kill has no memory effects; the number is that of a process with our socket.
        if unsafe { libc::kill(number, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error()).context("kill the node");
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        while self.is_alive() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Whether a process that lives still holds the folder for a node that it runs.
    fn is_reserved(&self) -> bool {
        let owner = fs::read_to_string(self.folder.join(OWNER)).unwrap_or_default();
        !owner.is_empty() && Path::new("/proc").join(owner.trim()).exists()
    }

    fn is_alive(&self) -> bool {
        UnixStream::connect(self.socket()).is_ok()
    }

    fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    /// Held by whoever starts or stops the node; the system lets go of it when its process dies.
    fn lock(&self) -> io::Result<File> {
        let file = File::create(self.folder.with_extension("lock"))?;
        file.lock()?;
        Ok(file)
    }
}

/// Where the channel of a node that this process runs is found by others, by the node's name; until it is
/// dropped.
#[derive(Debug)]
pub struct Place(KeptNode);

impl Place {
    /// A place for a node of this name, or of one with a number behind it if such a node runs already.
    ///
    /// # Errors
    /// When the user has no folder of their own for it.
    pub fn reserve(name: &str) -> Result<Place> {
        let base: String = name.chars().take(NAME_BYTES - 4).collect();
        for number in 1..1000 {
            let name = match number {
                1 => base.clone(),
                number => format!("{base}-{number}"),
            };
            let node = KeptNode::named(&name)?;
            let _lock = node
                .lock()
                .context("lock a folder for the node's channel")?;
            if !node.is_alive() && !node.is_reserved() {
                match fs::remove_dir_all(&node.folder) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(error).context("clear a folder for the node's channel");
                    }
                    _ => {}
                }
                fs::create_dir(&node.folder).context("make a folder for the node's channel")?;
                let process = std::process::id().to_string();
                fs::write(node.folder.join(OWNER), process).context("own the node's folder")?;
                return Ok(Place(node));
            }
        }
        bail!("a thousand nodes named {base} run")
    }

    /// Where the channel's socket is to be.
    pub fn socket(&self) -> PathBuf {
        self.0.socket()
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Writes down where the node's control port is reached on this host.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn note_control(&self, address: SocketAddr) -> Result<()> {
        let file = self.0.folder.join(CONTROL);
        fs::write(&file, address.to_string()).with_context(|| format!("write {}", file.display()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left is cleared by the next node of this name.
        let _ = fs::remove_dir_all(&self.0.folder);
    }
}

/// The folder for nodes that stay, which nobody else may enter.
fn runtime_folder() -> Result<PathBuf> {
    // SAFETY: getuid has no preconditions and cannot fail.
    let user = unsafe { libc::getuid() };
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let folder = match given.filter(|folder| folder.is_absolute() && folder.is_dir()) {
        Some(folder) => folder.join("sos"),
        None => std::env::temp_dir().join(format!("sos-{user}")),
    };
    own_folder(&folder, user)?;
    Ok(folder)
}

/// Makes a folder that is the user's alone, or makes sure that it is.
fn own_folder(folder: &Path, user: u32) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("make the folder {}", folder.display()));
        }
        _ => {}
    }
    // Not of what a link leads to: whoever made the link could lead elsewhere later.
    let data = fs::symlink_metadata(folder)
        .with_context(|| format!("look at the folder {}", folder.display()))?;
    if !data.is_dir() || data.uid() != user || data.mode() & 0o077 != 0 {
        bail!(
            "{} is not a folder of yours alone: remove it, or set XDG_RUNTIME_DIR",
            folder.display()
        );
    }
    Ok(())
}

/// Starts a process that stays when this one ends, and that the terminal's signals do not reach.
fn spawn_detached(mut command: Command) -> io::Result<std::process::Child> {
    // SAFETY: between fork and exec the closure makes only the system call setsid, which is
    // async-signal-safe, and allocates nothing.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    command.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_a_folder_of_the_users_own_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        // SAFETY: getuid has no preconditions and cannot fail.
        let user = unsafe { libc::getuid() };
        let mine = folder.path().join("mine");
        own_folder(&mine, user).unwrap();
        assert_eq!(fs::metadata(&mine).unwrap().mode() & 0o777, 0o700);
        own_folder(&mine, user).unwrap();
        assert!(own_folder(&mine, user + 1).is_err());
        fs::set_permissions(&mine, fs::Permissions::from_mode(0o750)).unwrap();
        let error = own_folder(&mine, user).unwrap_err().to_string();
        assert!(error.contains("yours alone"), "{error}");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(own_folder(&link, user).is_err());
    }

    #[test]
    fn names_are_those_of_folders() {
        for name in ["", "a/b", "..", &"x".repeat(33)] {
            assert!(KeptNode::named(name).is_err(), "{name}");
        }
    }
}
