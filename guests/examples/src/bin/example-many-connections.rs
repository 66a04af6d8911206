//! Many connections in one instance: what one client sends, all clients get. Each client is two tasks:
//! one reads, one writes what waits for it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::rc::Rc;

use sos_sdk::net::SocketAddr;
use sos_sdk::task::net::{TcpListener, TcpStream};
use sos_sdk::task::{Either, block_on, select, sleep, try_spawn};
use sos_sdk::time::Duration;
use sos_sdk::{Result, info, warn};

/// Pieces that may wait for a client; one that does not read loses the oldest.
const WAITING: usize = 100;
/// How often to look whether something waits for a client.
const PERIOD: Duration = Duration::from_millis(10);

/// What waits for each client.
type Room = Rc<RefCell<BTreeMap<SocketAddr, VecDeque<Rc<[u8]>>>>>;

async fn serve() -> Result<Infallible> {
    let listener = TcpListener::bind("0.0.0.0:7")?;
    let room = Room::default();
    loop {
        let (stream, peer) = listener.accept().await?;
        let room = room.clone();
        let client = async move {
            room.borrow_mut().insert(peer, VecDeque::new());
            info!("{peer} has come, {} are here", room.borrow().len());
            // The first of the two to end drops the other.
            let (Either::Left(end) | Either::Right(end)) =
                select(hear(&stream, &room), tell(&stream, &room, peer)).await;
            room.borrow_mut().remove(&peer);
            info!("{peer} has left: {end:?}");
        };
        if let Err(error) = try_spawn(client) {
            warn!("{peer} is turned away: {error}");
        }
    }
}

async fn hear(stream: &TcpStream, room: &Room) -> Result<()> {
    let mut buffer = [0; 1000];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let piece: Rc<[u8]> = buffer[..count].into();
        for waiting in room.borrow_mut().values_mut() {
            if waiting.len() >= WAITING {
                waiting.pop_front();
            }
            waiting.push_back(piece.clone());
        }
    }
}

async fn tell(stream: &TcpStream, room: &Room, peer: SocketAddr) -> Result<()> {
    loop {
        let piece = room
            .borrow_mut()
            .get_mut(&peer)
            .and_then(VecDeque::pop_front);
        match piece {
            Some(piece) => stream.write_all(&piece).await?,
            None => sleep(PERIOD).await,
        }
    }
}

fn start() -> Result<Infallible> {
    block_on(serve())
}

sos_sdk::main!(start);
