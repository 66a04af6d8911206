//! The channel between a program on this host and a node's kernel: bytes both ways, none lost.
//!
//! A port of QEMU's virtio serial device at one end ([`arguments`]) and a Unix socket at the other
//! ([`connect`]). One program at a time is connected; others wait until it leaves. The node speaks
//! first: what this side sends before it has read the node's greeting may be lost, as the node has
//! not seen the connection yet.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Between two looks whether the socket is there.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// Longest path of a Unix socket, in bytes (unix(7): 108 with the zero at its end).
const PATH_BYTES_MAX: usize = 107;

/// QEMU's arguments for a machine with a channel at `socket`.
///
/// Port 0 is QEMU's console, which drops what nobody takes; hence two ports and the second of them.
///
/// # Errors
/// A path that no socket can have.
pub fn arguments(socket: &Path) -> Result<Vec<String>> {
    let length = socket.as_os_str().as_bytes().len();
    ensure!(
        length <= PATH_BYTES_MAX,
        "the socket {} has a path of {length} bytes and may have {PATH_BYTES_MAX}; choose a shorter folder",
        socket.display()
    );
    let path = socket.to_str().with_context(|| {
        format!(
            "the socket {} has a name that is no text; choose another folder",
            socket.display()
        )
    })?;
    // A comma in a value is written twice.
    let path = path.replace(',', ",,");
    Ok([
        "-chardev",
        &format!("socket,id=channel,path={path},server=on,wait=off"),
        "-device",
        "virtio-serial-pci,id=channels,max_ports=2",
        "-device",
        "virtserialport,bus=channels.0,nr=1,chardev=channel",
    ]
    .map(str::to_string)
    .to_vec())
}

/// Connects to a node's channel, waiting for QEMU to make the socket.
///
/// # Errors
/// Why there is no connection when `limit` has passed.
pub fn connect(socket: &Path, limit: Duration) -> io::Result<UnixStream> {
    let deadline = Instant::now() + limit;
    loop {
        match UnixStream::connect(socket) {
            Err(error) if is_early(&error) && Instant::now() < deadline => {
                std::thread::sleep(POLL_INTERVAL);
            }
            result => return result,
        }
    }
}

/// Whether QEMU may just not have come so far: no socket yet, or one that nobody listens at.
fn is_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn commas_are_doubled_and_long_paths_refused() {
        let typed = arguments(Path::new("/run/a,b/c.sock")).unwrap().join(" ");
        assert!(typed.contains("path=/run/a,,b/c.sock,server=on"), "{typed}");
        let long = "/x".repeat(60);
        let error = arguments(Path::new(&long)).unwrap_err().to_string();
        assert!(error.contains("120 bytes"), "{error}");
    }

    #[test]
    fn a_socket_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("channel.sock");
        let error = connect(&socket, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let path = socket.clone();
        let node = std::thread::spawn(move || UnixListener::bind(path).unwrap().accept().map(drop));
        connect(&socket, Duration::from_secs(60)).unwrap();
        node.join().unwrap().unwrap();
    }
}
