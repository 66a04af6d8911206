//! The script.

use sos_sdk::net::{
    Blocking, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket, lookup_host,
};
use sos_sdk::poll::{Interest, Poller, Token};
use sos_sdk::time::{Duration, Instant, sleep};
use sos_sdk::{Result, config, console, identity, random};

use crate::observe::{bits, look, note, note_result, note_success, wait};

const SERVER: &str = "10.0.0.2:7";
const SERVER_V6: &str = "[fd00::2]:7";
const ECHO: &str = "10.0.0.3:9";
const BOTH: fn() -> Interest = || Interest::READABLE | Interest::WRITABLE;

/// Runs all of it.
pub fn run() -> Result<()> {
    // Until the services listen.
    sleep(Duration::from_millis(100));
    facts();
    times();
    listeners();
    failing_connections();
    connecting()?;
    streams()?;
    ends()?;
    full_buffers()?;
    datagrams()?;
    handles()?;
    note("the script", "is over");
    Ok(())
}

fn facts() {
    note("arguments", sos_sdk::args());
    note("configuration", config::keys());
    note("a value", config::get("key"));
    note("no value", config::get("none"));
    note("name", identity::instance_name());
    note("random", random::next_u64() != random::next_u64());
    note(
        "generation stays",
        identity::generation() == identity::generation(),
    );
    note("revivals", identity::RevivalWatch::new().look());
    note_result("nothing typed", &console::try_read(&mut [0; 8]));
    note_result("no room to read", &console::read(&mut []));
    note_result("lookup of an address", &lookup_host("10.0.0.2"));
    note_result("lookup of nothing", &lookup_host(""));
    note_result("lookup of a long name", &lookup_host(&"a".repeat(254)));
}

fn times() {
    let began = Instant::now();
    sleep(Duration::from_millis(3));
    note("slept", began.elapsed() >= Duration::from_millis(3));
    let mut poller = Poller::new();
    let mut events = Vec::new();
    let began = Instant::now();
    note_result(
        "poll of nothing",
        &poller.wait(&mut events, Some(Duration::from_millis(3))),
    );
    note("polled", began.elapsed() >= Duration::from_millis(3));
    note("events", events.len());
}

fn listeners() {
    note_success("listen at port 0", TcpListener::bind("0.0.0.0:0"));
    note_success(
        "listen at another's address",
        TcpListener::bind("10.0.0.2:80"),
    );
    let listener = note_success("listen at 80", TcpListener::bind("0.0.0.0:80"));
    note_success("listen at 80 again", TcpListener::bind("0.0.0.0:80"));
    note_success(
        "listen at 80 of one address",
        TcpListener::bind("10.0.0.4:80"),
    );
    let Some(listener) = listener else { return };
    note_result("address of the listener", &listener.local_addr());
    note("listener's bits", look(&listener, BOTH()));
    listener.set_blocking(Blocking::Never);
    note_success("accept", listener.accept());
    drop(listener);
    let one = note_success(
        "listen at 80 of one address",
        TcpListener::bind("10.0.0.4:80"),
    );
    note_result("its address", &one.expect("a listener").local_addr());
}

fn failing_connections() {
    for address in [
        "10.0.0.2:1",
        "10.0.0.2:0",
        "0.0.0.0:7",
        "255.255.255.255:7",
        "224.0.0.1:7",
        "192.168.1.1:7",
        "10.0.0.99:7",
        "10.0.0.4:7",
        "127.0.0.1:7",
    ] {
        let began = Instant::now();
        note_success(
            &format!("connect to {address}"),
            TcpStream::connect(address),
        );
        note("seconds", began.elapsed().as_secs());
    }
}

fn parse(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

fn connecting() -> Result<()> {
    let stream = TcpStream::start_connect(parse(SERVER))?;
    note_result("status at once", &stream.connect_status());
    note_result("read before", &stream.read(&mut [0; 8]));
    note_result("write before", &stream.write(b"e"));
    note_result("shutdown before", &stream.shutdown(Shutdown::Write));
    note_result("peer before", &stream.peer_addr());
    note("bits before", look(&stream, BOTH()));
    note("bits then", wait(&stream, BOTH()));
    note_result("status then", &stream.connect_status());
    note_result("peer then", &stream.peer_addr());
    note_result("local then", &stream.local_addr().map(|local| local.ip()));
    note_result("write then", &stream.write(b"c"));
    let refused = TcpStream::start_connect(parse("10.0.0.2:1"))?;
    note("bits when refused", wait(&refused, BOTH()));
    note_result("status when refused", &refused.connect_status());
    note_result("read when refused", &refused.read(&mut [0; 8]));
    note_result("write when refused", &refused.write(b"e"));
    note_result("options", &refused.set_nodelay(true));
    note_result(
        "alive",
        &refused.set_keepalive(Some(Duration::from_secs(1))),
    );
    Ok(())
}

fn streams() -> Result<()> {
    for address in [SERVER, SERVER_V6] {
        let connected = TcpStream::connect(address);
        note_result(
            &format!("connect to {address}"),
            &connected.as_ref().map(|_| ()).map_err(|e| *e),
        );
        let stream = connected?;
        stream.write_all(b"ehello")?;
        note("bits when answered", wait(&stream, Interest::READABLE));
        sleep(Duration::from_millis(5));
        let mut buffer = [0; 100];
        note_result("peek", &stream.peek(&mut buffer[..2]));
        note_result("read two", &stream.read(&mut buffer[..2]));
        note_result("read none", &stream.read(&mut []));
        note_result("write none", &stream.write(b""));
        note_result("read more", &stream.read(&mut buffer));
        note("read", String::from_utf8_lossy(&buffer[..3]));
        stream.set_blocking(Blocking::Never);
        note_result("read when empty", &stream.read(&mut buffer));
        note("bits when empty", look(&stream, BOTH()));
        note_result("no more writing", &stream.shutdown(Shutdown::Write));
        note_result("write", &stream.write(b"more"));
        note("bits at the end", wait(&stream, Interest::READABLE));
        note_result("read at the end", &stream.read(&mut buffer));
        note_result("read at the end again", &stream.read(&mut buffer));
        note("all bits at the end", look(&stream, BOTH()));
        note_result("shut again", &stream.shutdown(Shutdown::Both));
    }
    Ok(())
}

fn ends() -> Result<()> {
    let mut buffer = [0; 100];
    let stream = TcpStream::connect(SERVER)?;
    stream.write_all(b"c")?;
    note_result("read when closed", &stream.read(&mut buffer));
    note("bits when closed", look(&stream, BOTH()));
    note_result("write when closed", &stream.write(b"to nobody"));
    note("bits after that", wait(&stream, Interest::NONE));
    note_result("write after that", &stream.write(b"to nobody"));
    note_result("read after that", &stream.read(&mut buffer));
    note("all bits after that", look(&stream, BOTH()));

    let stream = TcpStream::connect(SERVER)?;
    stream.write_all(b"f")?;
    sleep(Duration::from_millis(5));
    note_result("last words", &stream.read(&mut buffer));
    note_result("the end", &stream.read(&mut buffer));
    note("half open", look(&stream, BOTH()));
    note_result("write to the half", &stream.write(b"the client's "));
    note_result("no more reading", &stream.shutdown(Shutdown::Read));
    note_result("write again", &stream.write(b"own"));
    note_result("read of what is shut", &stream.read(&mut buffer));
    note("bits of what is shut", look(&stream, BOTH()));
    Ok(())
}

fn full_buffers() -> Result<()> {
    let stream = TcpStream::connect(SERVER)?;
    stream.write_all(b"h")?;
    stream.set_blocking(Blocking::Never);
    let block = vec![7; 100_000];
    note_result(
        "write is bounded",
        &stream.write(&block).map(|count| count <= 65_536),
    );
    // As long as it takes until both buffers are full.
    sleep(Duration::from_millis(500));
    while stream.write(&block).is_ok() {
        sleep(Duration::from_millis(100));
    }
    note_result("write when full", &stream.write(&block));
    note("bits when full", look(&stream, BOTH()));
    let began = Instant::now();
    let mut poller = Poller::new();
    poller.add(&stream, Token(0), Interest::WRITABLE);
    let mut events = Vec::new();
    poller.wait(&mut events, None)?;
    note("bits when read", bits(&events));
    note(
        "it took its time",
        began.elapsed() > Duration::from_millis(100),
    );
    Ok(())
}

fn datagrams() -> Result<()> {
    // Its own socket: under the kernel the ones behind it would wait for a neighbour's answer.
    let unheard = UdpSocket::bind("0.0.0.0:0")?;
    note_result("to nobody", &unheard.send_to(b"?", parse("10.0.0.99:9")));
    drop(unheard);
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let local = socket.local_addr()?;
    note("bound to", (local.ip(), local.port() >= 49152));
    note_success(
        "bind again",
        UdpSocket::bind(("0.0.0.0".parse().unwrap(), local.port())),
    );
    note_success("bind elsewhere", UdpSocket::bind("10.0.0.2:5"));
    note("bits", look(&socket, BOTH()));
    for (address, length) in [
        ("10.0.0.3:0", 1),
        ("0.0.0.0:9", 1),
        ("192.168.1.1:9", 1),
        (ECHO, 1473),
        (ECHO, 70_000),
        (ECHO, 1472),
        (ECHO, 0),
        (ECHO, 10),
    ] {
        let result = socket.send_to(&vec![1; length], parse(address));
        note_result(&format!("{length} bytes to {address}"), &result);
    }
    let mut buffer = [0; 1472];
    for capacity in [1472, 0, 4] {
        let received = socket.recv_from(&mut buffer[..capacity]);
        note_result(&format!("receive into {capacity}"), &received);
    }
    socket.set_blocking(Blocking::Never);
    note_result("receive nothing", &socket.recv_from(&mut buffer));
    Ok(())
}

fn handles() -> Result<()> {
    let mut sockets = Vec::new();
    let full = loop {
        match UdpSocket::bind("0.0.0.0:0") {
            Ok(socket) => sockets.push(socket),
            full => break full,
        }
    };
    note("sockets", sockets.len());
    note_success("one more", full);
    note_success("connect when full", TcpStream::connect(SERVER));
    note_success("listen when full", TcpListener::bind("0.0.0.0:80"));
    let mut poller = Poller::new();
    let last = sockets.pop().expect("a socket");
    poller.add(&last, Token(0), Interest::READABLE);
    drop(last);
    let mut events = Vec::new();
    poller.wait(&mut events, None)?;
    note("a closed handle", bits(&events));
    let listener = note_success("listen", TcpListener::bind("0.0.0.0:80"));
    let listener = listener.expect("a listener");
    listener.set_blocking(Blocking::Never);
    note_success("accept when full", listener.accept());
    Ok(())
}
