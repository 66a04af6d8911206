//! A TCP proxy: every client gets a connection of its own to the service behind, and both directions
//! go on independently. Two tasks for each client, all in one instance.
//!
//! Configuration: `port` (7000), `to` (10.1.0.2:7000), `clients` (most at once, 100).

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

use sos_sdk::net::{Shutdown, SocketAddr, ToSocketAddrs};
use sos_sdk::task::net::{TcpListener, TcpStream};
use sos_sdk::task::{block_on, join, sleep, spawn, timeout};
use sos_sdk::time::Duration;
use sos_sdk::{Result, config, info, warn};

/// Bytes that one direction of a client holds.
const BUFFER_BYTES: usize = 16 * 1024;
/// How long the service behind may take to answer a connection.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How often to look for a free place when there is none.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// Serves for ever.
///
/// # Errors
/// Those of listening, accepting, and looking up the service behind.
pub fn serve() -> Result<Infallible> {
    let port: u16 = config::parse("port").unwrap_or(7000);
    let most: usize = config::parse("clients").unwrap_or(100);
    let target = config::get("to").unwrap_or_else(|| "10.1.0.2:7000".into());
    let targets = target.to_socket_addrs()?;
    info!("port {port} leads to {target}");
    block_on(pass_on(port, targets[0], most))
}

async fn pass_on(port: u16, target: SocketAddr, most: usize) -> Result<Infallible> {
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    let clients = Rc::new(Cell::new(0));
    loop {
        // Further clients wait to be accepted.
        while clients.get() >= most {
            sleep(FULL_PAUSE).await;
        }
        let (client, peer) = listener.accept().await?;
        clients.set(clients.get() + 1);
        let clients = clients.clone();
        spawn(async move {
            if let Err(error) = serve_client(&client, target).await {
                warn!("{peer}: {error}");
            }
            clients.set(clients.get() - 1);
        });
    }
}

async fn serve_client(client: &TcpStream, target: SocketAddr) -> Result<()> {
    let connected = timeout(CONNECT_TIME, TcpStream::connect(target)).await;
    let service = connected.unwrap_or(Err(sos_sdk::ErrorCode::TimedOut.into()))?;
    let (there, back) = join(copy(client, &service), copy(&service, client)).await;
    there.and(back)
}

/// Copies one direction to its end, and says so to the other side.
async fn copy(from: &TcpStream, to: &TcpStream) -> Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer).await? {
            0 => return to.shutdown(Shutdown::Write),
            count => to.write_all(&buffer[..count]).await?,
        }
    }
}
