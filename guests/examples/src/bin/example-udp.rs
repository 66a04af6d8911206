//! A UDP service: sends every datagram back to where it came from.

use sos_sdk::info;
use sos_sdk::net::UdpSocket;

fn serve() -> sos_sdk::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:9")?;
    info!("waiting for datagrams on {}", socket.local_addr()?);
    let mut buffer = [0; 1500];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        // A longer datagram than the buffer is cut; its length says so.
        socket.send_to(&buffer[..length.min(buffer.len())], from)?;
    }
}

sos_sdk::main!(serve);
