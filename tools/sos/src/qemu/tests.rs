//! A node is spoken to and ends on every path; a shell plays the machine where none is needed.

use std::process::Command;
use std::time::Duration;

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// A "machine" that runs a shell script on its console.
fn script(text: &str, watchdog: Option<Duration>) -> Node {
    let mut command = Command::new("sh");
    command.args(["-c", text]);
    Node::spawn("script".to_string(), command, watchdog, |_| {}).unwrap()
}

#[test]
fn words_are_found_in_order_and_once() {
    let node = script(
        "printf 'one two'; printf ' one'; read x; echo \"got $x\"",
        None,
    );
    let console = node.console();
    assert_eq!(console.expect("one", LONG).unwrap(), "one");
    assert_eq!(console.expect("one", LONG).unwrap(), " two one");
    console.send(b"tea\n").unwrap();
    assert_eq!(
        console.expect_any(&["never", "got tea"], LONG).unwrap().0,
        1
    );
    assert_eq!(node.wait(LONG).unwrap(), End::Poweroff);
    assert_eq!(console.transcript(), "one two onegot tea\n");
}

#[test]
fn a_machine_that_ends_early_shows_its_log() {
    let node = script("echo booting; echo no memory >&2; exit 3", None);
    let error = node
        .console()
        .expect("sos> ", LONG)
        .unwrap_err()
        .to_string();
    for words in ["status 3", "`sos> `", "booting", "qemu: no memory"] {
        assert!(error.contains(words), "{error}");
    }
    assert!(node.console().send(b"x").is_err());
}

#[test]
fn words_that_do_not_come_in_time_show_the_log() {
    let node = script("echo booting; exec sleep 600", None);
    node.console().expect("boot", LONG).unwrap();
    let error = node
        .console()
        .expect("sos> ", Duration::from_millis(20))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("within 20ms") && error.contains("booting"),
        "{error}"
    );
    assert_eq!(node.end(), None);
    assert_eq!(node.kill(), End::Killed);
}

#[test]
fn the_watchdog_ends_a_hung_machine() {
    let limit = Duration::from_millis(50);
    let node = script("exec sleep 600", Some(limit));
    let error = node
        .console()
        .expect("sos> ", LONG)
        .unwrap_err()
        .to_string();
    assert!(error.contains("watchdog"), "{error}");
    assert_eq!(node.end(), Some(End::Watchdog(limit)));
}

#[test]
fn dropping_a_node_ends_its_process() {
    let node = script("exec sleep 600", None);
    let process = format!("/proc/{}", node.process_id());
    assert!(std::fs::exists(&process).unwrap());
    drop(node);
    assert!(!std::fs::exists(&process).unwrap());
}

#[test]
fn ends_have_the_meaning_of_their_status() {
    for (status, end, code) in [
        (0, End::Poweroff, 0),
        (PANIC_STATUS, End::Panic, 33),
        (1, End::Failure(Some(1)), 1),
    ] {
        let node = script(&format!("exit {status}"), None);
        let found = node.wait(LONG).unwrap();
        assert_eq!((found, found.exit_code()), (end, code));
    }
}

#[test]
fn the_command_has_what_was_asked_for() {
    let builder = NodeBuilder::new("kernel.elf".as_ref())
        .image("demo.sosimg".as_ref())
        .memory_mib(64)
        .cpus(2)
        .append("panic=halt")
        .append("log=debug")
        .arguments(["-device", "edu"])
        .accelerator(Accelerator::Tcg);
    let typed = crate::process::shown(&builder.command().unwrap());
    for words in [
        "-kernel kernel.elf",
        "-initrd demo.sosimg",
        "-m 64M",
        "-smp 2",
        "-append panic=halt log=debug",
        "-device edu",
        "-accel tcg -cpu max",
    ] {
        assert!(typed.contains(words), "{words}: {typed}");
    }
}
