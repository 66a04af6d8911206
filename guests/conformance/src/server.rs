//! The services that the client's script needs.

use std::convert::Infallible;

use sos_sdk::Result;
use sos_sdk::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use sos_sdk::time::{Duration, sleep};

use crate::observe::{note, note_result};

/// Takes one connection after the other; its first byte says what becomes of it.
pub fn serve_streams() -> Result<()> {
    let listener = TcpListener::bind("0.0.0.0:7")?;
    loop {
        let (stream, peer) = listener.accept()?;
        let mut order = [0];
        if let Err(error) = stream.read_exact(&mut order) {
            note("a client without an order", error.code().name());
            continue;
        }
        note("a client comes from", (peer.ip(), order[0] as char));
        match order[0] {
            b'e' => echo(&stream)?,
            b'c' => {}
            b'h' => hold(&stream),
            b'f' => finish(&stream)?,
            _ => return Ok(()),
        }
    }
}

/// Sends back what comes, to its end.
fn echo(stream: &TcpStream) -> Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}

/// Reads nothing for a while, then everything.
fn hold(stream: &TcpStream) {
    sleep(Duration::from_secs(2));
    let mut buffer = vec![0; 65_536];
    let mut total = 0;
    let end = loop {
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => total += count,
            end => break end,
        }
    };
    note_result("the stream that was held ends with", &end);
    note("it had at least the buffers' bytes", total >= 65_536);
}

/// Says that it has finished, and then hears the client out.
fn finish(stream: &TcpStream) -> Result<()> {
    stream.write_all(b"last words")?;
    stream.shutdown(Shutdown::Write)?;
    note_result("write after the last words", &stream.write(b"more"));
    let mut heard = Vec::new();
    let mut buffer = [0; 100];
    while let count @ 1.. = stream.read(&mut buffer)? {
        heard.extend_from_slice(&buffer[..count]);
    }
    note("heard", String::from_utf8_lossy(&heard));
    Ok(())
}

/// Sends datagrams back.
pub fn serve_datagrams() -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:9")?;
    let mut buffer = vec![0; 2000];
    let never: Result<Infallible> = loop {
        let (count, from) = socket.recv_from(&mut buffer)?;
        note("a datagram from", (from.ip(), count));
        if let Err(error) = socket.send_to(&buffer[..count], from) {
            break Err(error);
        }
    };
    never.map(|_| ())
}
