//! The simulated node: time, turns, ends and the network, as a test's author sees them.

use sos_sdk::net::{SocketAddr, TcpListener, TcpStream, UdpSocket, lookup_host};
use sos_sdk::testing::{End, Node};
use sos_sdk::time::{Duration, Instant, SystemTime, sleep};
use sos_sdk::{ErrorCode, config, console, identity, random};

/// Sends back what each client sends, one after the other.
fn echo() -> sos_sdk::Result<()> {
    let port: u16 = config::parse("port").unwrap_or(7);
    for stream in TcpListener::bind(format!("0.0.0.0:{port}"))?.incoming() {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..count])?;
        }
    }
    Ok(())
}

fn exchange(stream: &TcpStream, text: &[u8]) -> Vec<u8> {
    stream.write_all(text).unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn the_test_talks_to_a_service_by_its_name() {
    let node = Node::new();
    let server = node.instance("echo").config("port", 70).spawn(echo);
    let stream = node.connect("echo:70").unwrap();
    assert_eq!(exchange(&stream, b"hello"), b"hello");
    let address = SocketAddr::new(server.address().into(), 70);
    assert_eq!(stream.peer_addr(), Ok(address));
    assert_eq!(lookup_host("echo").unwrap(), [address.ip()]);
}

#[test]
fn services_talk_to_each_other() {
    fn forward() -> sos_sdk::Result<()> {
        for client in TcpListener::bind("0.0.0.0:8")?.incoming() {
            let echo = TcpStream::connect("echo:7")?;
            let mut buffer = [0; 3];
            client.read_exact(&mut buffer)?;
            client.write_all(&exchange(&echo, &buffer))?;
        }
        Ok(())
    }
    let node = Node::new();
    node.spawn("echo", echo);
    node.spawn("forward", forward);
    let stream = node.connect("forward:8").unwrap();
    assert_eq!(exchange(&stream, b"far"), b"far");
}

#[test]
fn time_is_virtual_and_exact() {
    let node = Node::new();
    let sleeper = node.spawn("sleeper", || sleep(Duration::from_secs(3600)));
    node.set_wall_clock(Duration::from_secs(1000));
    let began = Instant::now();
    assert_eq!(sleeper.join(), End::Exited(0));
    assert_eq!(began.elapsed(), Duration::from_secs(3600));
    assert_eq!(
        SystemTime::now().since_epoch(),
        Duration::from_secs(1000 + 3600)
    );
}

#[test]
fn a_loop_on_the_clock_ends_and_lets_others_compute() {
    let node = Node::new();
    let busy = node.spawn("busy", || {
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(20) {}
    });
    let beside = node.spawn("beside", || ());
    assert_eq!(beside.join(), End::Exited(0));
    assert!(busy.is_running());
    assert_eq!(busy.join(), End::Exited(0));
}

fn exit_with_seven() {
    sos_sdk::exit(7);
}

fn panic_with_a_message() {
    panic!("no {}", "luck");
}

#[test]
fn ends_are_told_apart() {
    let node = Node::new();
    let failing = node.spawn("failing", || -> sos_sdk::Result<()> {
        Err(ErrorCode::Unreachable.into())
    });
    let exiting = node.spawn("exiting", exit_with_seven);
    let panicking = node.spawn("panicking", panic_with_a_message);
    let waiting = node.spawn("waiting", echo);
    assert_eq!(failing.join(), End::Exited(1));
    assert!(failing.has_logged("no route leads to that address"));
    assert_eq!(exiting.join(), End::Exited(7));
    assert_eq!(panicking.join(), End::Panicked("no luck".into()));
    assert!(panicking.has_logged("no luck"));
    waiting.kill();
    assert_eq!(waiting.join(), End::Killed);
}

#[test]
fn a_killed_peer_breaks_connections_and_then_does_not_answer() {
    let node = Node::new();
    let server = node.spawn("echo", echo);
    let stream = node.connect("echo:7").unwrap();
    assert_eq!(exchange(&stream, b"a"), b"a");
    server.kill();
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionReset);
    let error = TcpStream::connect("echo:7").unwrap_err();
    assert_eq!(error.code(), ErrorCode::TimedOut);
}

#[test]
fn the_console_is_typed_on_and_read() {
    fn ask() -> sos_sdk::Result<()> {
        sos_sdk::print!("name? ");
        let name = console::read_line()?;
        sos_sdk::println!("hello {name}");
        Ok(())
    }
    let node = Node::new();
    let instance = node.spawn("ask", ask);
    node.settle();
    assert_eq!(instance.console(), "name? ");
    instance.type_text("Ada\r");
    assert_eq!(instance.join(), End::Exited(0));
    assert_eq!(instance.console(), "name? hello Ada\n");
}

#[test]
fn an_instance_sees_its_arguments_configuration_and_name() {
    let node = Node::new();
    let instance = node
        .instance("facts")
        .argument("one")
        .argument("two")
        .config("b", 2)
        .config("a", "1")
        .spawn(|| {
            assert_eq!(sos_sdk::args(), ["one", "two"]);
            assert_eq!(config::keys(), ["a", "b"]);
            assert_eq!(config::parse("b"), Some(2));
            assert_eq!(config::get("c"), None);
            assert_eq!(identity::instance_name(), "facts");
        });
    assert_eq!(instance.join(), End::Exited(0));
}

#[test]
fn random_numbers_and_generations_repeat_with_the_seed() {
    let draw = |seed| {
        let _node = Node::with_seed(seed);
        (random::next_u64(), identity::generation())
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let node = Node::new();
    let copied = node.spawn("copied", || {
        let before = identity::generation();
        sleep(Duration::from_secs(1));
        assert_ne!(identity::generation(), before);
    });
    node.settle();
    copied.change_generation();
    assert_eq!(copied.join(), End::Exited(0));
}

#[test]
fn revivals_are_told_once_and_to_hooks_before_what_is_ready() {
    use sos_sdk::identity::{Revival, RevivalKind, RevivalWatch, on_revival};
    let node = Node::new();
    let copied = node.spawn("copied", || {
        let mut watch = RevivalWatch::new();
        assert_eq!(watch.look(), None);
        sos_sdk::task::block_on(async {
            let told = std::rc::Rc::new(std::cell::Cell::new(Revival::default()));
            let (first, second) = (told.clone(), told.clone());
            on_revival(move |revival| first.set(revival));
            on_revival(move |revival| assert_eq!(revival, second.get()));
            sos_sdk::task::sleep(Duration::from_secs(1)).await;
            let expected = Revival {
                resumed: 2,
                restored: 0,
                cloned: 1,
            };
            assert_eq!(told.take(), expected);
            sos_sdk::task::sleep(Duration::from_secs(1)).await;
            assert_eq!(told.take(), Revival::default());
        });
        let revival = watch.look().expect("it was cloned");
        assert!(revival.is_copy());
        assert_eq!(watch.look(), None);
    });
    node.settle();
    for kind in [
        RevivalKind::Resumed,
        RevivalKind::Cloned,
        RevivalKind::Resumed,
    ] {
        copied.revive(kind);
    }
    assert_eq!(copied.join(), End::Exited(0));
}

#[test]
fn what_happens_while_a_hook_waits_is_told_when_it_is_done() {
    use sos_sdk::identity::{Revival, RevivalKind, on_revival};
    let node = Node::new();
    let copied = node.spawn("copied", || {
        let told = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let first = told.clone();
        on_revival(move |revival: Revival| {
            first.borrow_mut().push(revival);
            if revival.resumed > 0 {
                sos_sdk::task::block_on(sos_sdk::task::sleep(Duration::from_secs(1)));
            }
        });
        sos_sdk::task::block_on(sos_sdk::task::sleep(Duration::from_secs(1)));
        let told = told.take();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(!told[0].is_copy() && told[1].is_copy(), "{told:?}");
    });
    node.settle();
    copied.revive(RevivalKind::Resumed);
    sleep(Duration::from_millis(1500));
    copied.revive(RevivalKind::Cloned);
    assert_eq!(copied.join(), End::Exited(0));
}

#[test]
fn datagrams_find_their_socket_and_one_is_for_all() {
    fn receive() -> sos_sdk::Result<()> {
        let socket = UdpSocket::bind("0.0.0.0:9")?;
        let mut buffer = [0; 100];
        loop {
            let (count, from) = socket.recv_from(&mut buffer)?;
            socket.send_to(&buffer[..count], from)?;
        }
    }
    let node = Node::new();
    node.spawn("one", receive);
    node.spawn("two", receive);
    node.settle();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket
        .send_to(b"one", "10.0.0.2:9".parse().unwrap())
        .unwrap();
    let mut buffer = [0; 100];
    let (count, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!((count, from), (3, "10.0.0.2:9".parse().unwrap()));
    socket
        .send_to(b"all", "255.255.255.255:9".parse().unwrap())
        .unwrap();
    let senders = [
        socket.recv_from(&mut buffer).unwrap().1,
        socket.recv_from(&mut buffer).unwrap().1,
    ];
    assert_eq!(
        senders,
        ["10.0.0.2:9".parse().unwrap(), "10.0.0.3:9".parse().unwrap()]
    );
}

#[test]
#[should_panic = "nobody can go on: test waits in `tcp_accept`, echo waits in `tcp_accept`"]
fn a_test_that_would_wait_for_ever_fails_and_says_who_waits() {
    let node = Node::new();
    node.spawn("echo", echo);
    let _ = TcpListener::bind("0.0.0.0:1").unwrap().accept();
}

#[test]
#[should_panic = "panicked: careless"]
fn a_panic_that_no_test_asked_for_fails_the_test() {
    let node = Node::new();
    node.spawn("careless", panic_with_a_message);
    node.settle();
}

#[test]
fn without_a_node_calls_are_unsupported() {
    let error = TcpListener::bind("0.0.0.0:1").unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unsupported);
}

#[test]
fn one_test_goes_the_same_way_each_time() {
    let run = || {
        let node = Node::new();
        let server = node.spawn("echo", || -> sos_sdk::Result<()> {
            let listener = TcpListener::bind("0.0.0.0:7")?;
            loop {
                let (stream, peer) = listener.accept()?;
                sleep(Duration::from_micros(random::below(1000)));
                sos_sdk::info!("{peer} at {:?}", Instant::now());
                drop(stream);
            }
        });
        for name in ["a", "b", "c"] {
            node.spawn(name, || {
                for _ in 0..10 {
                    let stream = TcpStream::connect("echo:7").unwrap();
                    sleep(Duration::from_micros(random::below(1000)));
                    drop(stream);
                }
            });
        }
        sleep(Duration::from_secs(1));
        server.log()
    };
    let first = run();
    assert_eq!(first.len(), 30);
    assert_eq!(first, run());
}
