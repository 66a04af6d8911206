//! Tasks on the simulated node: their order, their ends, their sockets, and other crates' combinators.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use futures_util::{StreamExt, TryStreamExt};
use sos_sdk::ErrorCode;
use sos_sdk::task::net::{TcpListener, TcpStream, UdpSocket};
use sos_sdk::task::{self, Either, Elapsed, block_on, select, sleep, spawn, timeout, yield_now};
use sos_sdk::testing::{End, Node};
use sos_sdk::time::{Duration, Instant};

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Sends back what each of any number of clients sends.
async fn echo() -> sos_sdk::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:7")?;
    loop {
        let (stream, _) = listener.accept().await?;
        spawn(async move {
            let mut buffer = [0; 1000];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..count]).await.unwrap();
            }
        });
    }
}

#[test]
fn sleeping_tasks_end_in_the_order_of_their_times() {
    let _node = Node::new();
    let began = Instant::now();
    let order = Rc::new(RefCell::new(Vec::new()));
    block_on(async {
        let tasks = [30, 10, 20].map(|time| {
            let order = order.clone();
            spawn(async move {
                sleep(millis(time)).await;
                order.borrow_mut().push(time);
                time
            })
        });
        for (task, time) in tasks.into_iter().zip([30, 10, 20]) {
            assert_eq!(task.await, time);
        }
    });
    assert_eq!(*order.borrow(), [10, 20, 30]);
    assert_eq!(began.elapsed(), millis(30));
}

#[test]
fn tasks_that_yield_take_turns() {
    let _node = Node::new();
    let order = Rc::new(RefCell::new(String::new()));
    block_on(async {
        let tasks = ["a", "b"].map(|name| {
            let order = order.clone();
            spawn(async move {
                for _ in 0..3 {
                    order.borrow_mut().push_str(name);
                    yield_now().await;
                }
            })
        });
        for task in tasks {
            task.await;
        }
    });
    assert_eq!(*order.borrow(), "ababab");
}

#[test]
fn a_busy_task_does_not_keep_others_from_sockets_and_timers() {
    let _node = Node::new();
    block_on(async {
        let busy = spawn(async {
            loop {
                yield_now().await;
            }
        });
        sleep(millis(10)).await;
        busy.abort();
    });
}

#[test]
fn an_aborted_task_is_dropped_where_it_waits() {
    let _node = Node::new();
    let witness = Rc::new(());
    block_on(async {
        let held = witness.clone();
        let task = spawn(async move {
            let _held = held;
            sleep(Duration::from_secs(1)).await;
        });
        yield_now().await;
        assert_eq!(Rc::strong_count(&witness), 2);
        task.abort();
        assert_eq!(Rc::strong_count(&witness), 1);
    });
}

#[test]
fn a_task_may_abort_itself() {
    let _node = Node::new();
    block_on(async {
        let own: Rc<RefCell<Option<task::JoinHandle<()>>>> = Rc::default();
        let handle = own.clone();
        let task = spawn(async move {
            yield_now().await;
            handle.borrow_mut().take().unwrap().abort();
            sleep(Duration::from_secs(3600)).await;
            panic!("it goes on");
        });
        *own.borrow_mut() = Some(task);
        sleep(millis(10)).await;
        // Its slot serves another.
        assert_eq!(spawn(async { 7 }).await, 7);
    });
}

#[test]
fn the_first_of_two_wins_and_a_timeout_gives_up() {
    let _node = Node::new();
    let began = Instant::now();
    block_on(async {
        let first = select(sleep(millis(20)), async {
            sleep(millis(10)).await;
            5
        });
        assert_eq!(first.await, Either::Right(5));
        let late = timeout(millis(10), sleep(Duration::from_secs(60)));
        assert_eq!(late.await, Err(Elapsed));
        assert_eq!(timeout(millis(10), async { 3 }).await, Ok(3));
        assert_eq!(task::join(async { 1 }, sleep(millis(5))).await, (1, ()));
    });
    assert_eq!(began.elapsed(), millis(25));
}

#[test]
fn one_instance_serves_many_clients_at_once() {
    let node = Node::new();
    let server = node.spawn("echo", || block_on(echo()));
    node.settle();
    block_on(async {
        let clients = (0..200u8).map(|number| {
            spawn(async move {
                let stream = TcpStream::connect("echo:7").await.unwrap();
                for round in 0..3 {
                    stream.write_all(&[number, round]).await.unwrap();
                    sleep(millis(u64::from(number % 7))).await;
                    let mut answer = [0; 2];
                    stream.read_exact(&mut answer).await.unwrap();
                    assert_eq!(answer, [number, round]);
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await;
        }
    });
    assert!(server.is_running());
}

#[test]
fn both_directions_of_a_stream_wait_at_once() {
    let node = Node::new();
    node.spawn("echo", || block_on(echo()));
    node.settle();
    block_on(async {
        let stream = Rc::new(TcpStream::connect("echo:7").await.unwrap());
        let total = 1_000_000;
        let writer = stream.clone();
        let writing = spawn(async move { writer.write_all(&vec![7; total]).await });
        let mut buffer = vec![0; total];
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(writing.await, Ok(()));
        assert!(buffer.iter().all(|&byte| byte == 7));
    });
}

#[test]
fn connections_that_fail_say_why() {
    let node = Node::new();
    node.spawn("silent", || sos_sdk::time::sleep(Duration::from_secs(1)));
    block_on(async {
        let refused = TcpStream::connect("silent:1").await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::ConnectionRefused);
        let nobody = TcpStream::connect("10.0.0.99:1").await.unwrap_err();
        assert_eq!(nobody.code(), ErrorCode::TimedOut);
    });
}

#[test]
fn datagrams_are_awaited() {
    let node = Node::new();
    let sender = node.spawn("sender", || {
        block_on(async {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            sleep(millis(10)).await;
            socket
                .send_to(b"hello", "10.0.0.1:9".parse().unwrap())
                .await
        })
        .map(drop)
    });
    let socket = UdpSocket::bind("0.0.0.0:9").unwrap();
    let mut buffer = [0; 100];
    let (count, from) = block_on(socket.recv_from(&mut buffer)).unwrap();
    assert_eq!((count, from.ip()), (5, sender.address().into()));
    assert_eq!(sender.join(), End::Exited(0));
}

#[test]
fn combinators_of_other_crates_work() {
    let node = Node::new();
    node.spawn("server", || {
        block_on(async {
            let listener = TcpListener::bind("0.0.0.0:7")?;
            let clients = listener.incoming().take(3);
            clients
                .try_for_each_concurrent(None, |(stream, _)| async move {
                    let mut text = Vec::new();
                    let (mut reader, mut writer) = (&stream, &stream);
                    reader.read_to_end(&mut text).await.unwrap();
                    writer.write_all(&text).await.unwrap();
                    writer.close().await.unwrap();
                    Ok(())
                })
                .await
        })
    });
    node.settle();
    block_on(async {
        let exchanges = [b"one", b"two", b"six"].map(|text| async move {
            let mut stream = TcpStream::connect("server:7").await.unwrap();
            AsyncWriteExt::write_all(&mut stream, text).await.unwrap();
            stream.close().await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            answer
        });
        let answers = futures_util::future::join_all(exchanges).await;
        assert_eq!(answers, [b"one", b"two", b"six"]);
        let mut ready = futures_util::future::select_all([sleep(millis(3)), sleep(millis(1))]);
        assert_eq!((&mut ready).await.1, 1);
        futures_util::select! {
            () = futures_util::FutureExt::fuse(sleep(millis(1))) => {}
            () = futures_util::FutureExt::fuse(sleep(millis(9))) => panic!("the later one"),
        }
    });
}
