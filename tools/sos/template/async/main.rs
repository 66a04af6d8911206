//! The service {{name}}: sends back what its clients send, many at once, one task for each.

use std::convert::Infallible;

use sos_sdk::task::net::{TcpListener, TcpStream};
use sos_sdk::task::{block_on, try_spawn};
use sos_sdk::{info, warn};

/// Serves for ever, or says why it cannot.
fn serve() -> sos_sdk::Result<Infallible> {
    block_on(async {
        let listener = TcpListener::bind("0.0.0.0:7")?;
        info!("{{name}} echoes on port 7");
        loop {
            let (stream, peer) = listener.accept().await?;
            let client = async move {
                if let Err(error) = echo(&stream).await {
                    warn!("{peer}: {error}");
                }
            };
            if let Err(error) = try_spawn(client) {
                warn!("{peer} is turned away: {error}");
            }
        }
    })
}

/// Sends back what comes, to its end.
async fn echo(stream: &TcpStream) -> sos_sdk::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count]).await?,
        }
    }
}

sos_sdk::main!(serve);

#[cfg(test)]
mod tests {
    use sos_sdk::testing::Node;

    #[test]
    fn clients_are_served_at_once() {
        let node = Node::new();
        node.spawn("it", super::serve);
        let clients = [(); 3].map(|()| node.connect("it:7").unwrap());
        for client in &clients {
            client.write_all(b"hello").unwrap();
            let mut answer = [0; 5];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"hello");
        }
    }
}
