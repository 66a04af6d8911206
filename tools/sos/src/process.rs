//! Starting other programs: a spawner whose children die with us, and commands that explain
//! themselves when they fail.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};

use anyhow::{Context, Result, bail};

/// Says in one line on standard error what the tool does.
pub fn say(line: impl AsRef<str>) {
    eprintln!("sos: {}", line.as_ref());
}

/// A command as a person would type it.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    words.join(" ")
}

/// Runs a command whose output the user sees; a status other than zero is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs a command and returns what it prints; a status other than zero is an error with its words.
pub fn output(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .with_context(|| format!("start `{}`", shown(command)))?;
    if !status.success() {
        let words = String::from_utf8_lossy(&stderr);
        bail!("`{}` failed ({status}): {}", shown(command), words.trim());
    }
    String::from_utf8(stdout).with_context(|| format!("read what `{}` prints", shown(command)))
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a child that the system kills when this process ends, however it ends.
///
/// The kernel ties the child to the *thread* that started it (`PR_SET_PDEATHSIG` in prctl(2)), and
/// a test's thread is short-lived; so one thread that lives as long as the process starts them all.
pub fn spawn_bound(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                // The one who asked may have given up; then the child ends with its handle.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let mut command = command;
    let parent = std::process::id();
    // SAFETY: between fork and exec the closure makes only the system calls prctl and getppid,
    // both async-signal-safe, and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            if libc::getppid() as u32 != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
    let (answer, result) = channel();
    let gone = |_| io::Error::other("the thread that starts children is gone");
    spawner
        .lock()
        .map_err(|_| gone(()))?
        .send((command, answer))
        .map_err(|_| gone(()))?;
    result.recv().map_err(|_| gone(()))?
}

/// Variables by which a surrounding `cargo run` or `cargo test` would bend a cargo that we start.
///
/// Folders, network, registry and terminal settings of the user stay, as does `RUSTUP_TOOLCHAIN`
/// (the toolchain that the user or `rust-toolchain.toml` chose).
pub fn is_outer_cargo(name: &str) -> bool {
    const KEPT: [&str; 8] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_INSTALL_ROOT",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
        "CARGO_UNSTABLE_",
    ];
    const DROPPED: [&str; 10] = [
        "OUT_DIR",
        "RUSTC",
        "RUSTC_BOOTSTRAP",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTDOC",
        "RUSTDOCFLAGS",
        "RUSTFLAGS",
        "RUST_RECURSION_COUNT",
        "LD_LIBRARY_PATH",
    ];
    let ours = name == "CARGO" || name.starts_with("CARGO_");
    DROPPED.contains(&name) || (ours && !KEPT.iter().any(|kept| name.starts_with(kept)))
}

/// A cargo that is not bent by the one around us; its flags come in `CARGO_ENCODED_RUSTFLAGS`,
/// which outranks every other source, so that a user's configuration cannot break the build.
pub fn clean_cargo(cargo: impl Into<OsString>, rustflags: &[String]) -> Command {
    let mut command = Command::new(cargo.into());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_outer_cargo) {
            command.env_remove(name);
        }
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", rustflags.join("\x1f"));
    command
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn an_outer_cargo_leaves_no_trace() {
        for name in [
            "CARGO",
            "CARGO_MANIFEST_DIR",
            "CARGO_TARGET_DIR",
            "CARGO_PKG_NAME",
            "RUSTFLAGS",
        ] {
            assert!(is_outer_cargo(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "RUSTUP_TOOLCHAIN",
            "PATH",
            "CARGONAUT",
        ] {
            assert!(!is_outer_cargo(name), "{name}");
        }
    }

    #[test]
    fn a_failed_command_is_named_with_its_words() {
        let error = output(Command::new("sh").args(["-c", "echo no disk >&2; exit 3"]));
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("no disk"),
            "{error}"
        );
    }

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = std::thread::spawn(|| spawn_bound(command))
            .join()
            .unwrap()
            .unwrap();
        assert!(child.try_wait().unwrap().is_none());
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
}
