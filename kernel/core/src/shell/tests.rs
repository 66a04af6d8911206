//! The shell typed at, over a stand-in for the kernel.

use super::*;
use crate::control::{
    ConsoleOutput, GuestLogRow, InstanceRow, MadeRow, NodeDetail, Numbered, PingReply,
};
use crate::machine::Duration;
use alloc::string::ToString;
use alloc::vec;

#[derive(Default)]
struct FakeControl {
    requests: Vec<Request>,
    logs: Vec<GuestLogRow>,
    console: Vec<u8>,
    pings: Vec<u16>,
    /// How often an order is not done yet.
    under_way: u32,
}

impl Control for FakeControl {
    fn outcome(&mut self, order: u32) -> Option<Result<Report, ControlError>> {
        assert_eq!(order, 9);
        if self.under_way > 0 {
            self.under_way -= 1;
            return None;
        }
        let made = ["web-2", "web-3"].map(|name| MadeRow::of(name.into()));
        Some(Ok(Report::Made(made.into())))
    }

    fn execute(&mut self, request: Request) -> Result<Report, ControlError> {
        self.requests.push(request.clone());
        Ok(match request {
            Request::Instances => Report::Instances(vec![row("web"), row("store")]),
            Request::Start { name } if name == "ghost" => {
                return Err(ControlError::NoSuchInstance(name));
            }
            Request::Logs { since, .. } => Report::Logs(Numbered {
                entries: self.logs[since as usize..].to_vec(),
                next: self.logs.len() as u64,
            }),
            Request::ConsoleRead { since, .. } => Report::Console(ConsoleOutput {
                bytes: self.console[since as usize..].to_vec(),
                next: self.console.len() as u64,
                live: true,
            }),
            Request::ConsoleWrite { bytes, .. } => {
                self.console.extend(bytes);
                Report::Done
            }
            Request::PingStart { .. } => Report::PingStarted { ping: 7 },
            Request::Clone { .. } => Report::Ordered { order: 9 },
            Request::PingSend { sequence, .. } => {
                self.pings.push(sequence);
                Report::Done
            }
            Request::PingPoll { .. } => {
                let reply = |sequence| PingReply {
                    sequence,
                    from: "10.1.0.2".parse().unwrap(),
                    round_trip_nanos: 250_000,
                };
                Report::PingReplies(self.pings.drain(..).map(reply).collect())
            }
            Request::Node => Report::Node(NodeDetail {
                name: "test".into(),
                version: "0".into(),
                uptime_nanos: 1,
                wall_nanos: 0,
                busy_nanos: 0,
                memory: Default::default(),
                instances: 2,
                running: 2,
                nics: vec![],
            }),
            _ => Report::Done,
        })
    }

    fn instance_names(&self) -> Vec<String> {
        vec!["store".into(), "web".into(), "web2".into()]
    }

    fn segment_names(&self) -> Vec<String> {
        vec!["lan".into()]
    }

    fn snapshot_names(&self) -> Vec<String> {
        vec!["monday".into()]
    }
}

fn row(name: &str) -> InstanceRow {
    InstanceRow {
        name: name.into(),
        state: "waiting".into(),
        detail: String::new(),
        module: name.into(),
        cpu_nanos: 0,
        resident_bytes: 65_536,
        memory_bytes: 65_536,
        received_frames: 0,
        sent_frames: 0,
        uptime_nanos: 1,
        restarts: 0,
        health: String::new(),
        addresses: vec![],
    }
}

struct Session {
    shell: Shell,
    control: FakeControl,
    now: Time,
}

impl Session {
    fn new() -> Session {
        Session {
            shell: Shell::new("sos"),
            control: FakeControl::default(),
            now: Time::ZERO,
        }
    }

    fn type_text(&mut self, text: &str) -> String {
        self.shell
            .input(text.as_bytes(), self.now, &mut self.control);
        self.take()
    }

    fn wait(&mut self, duration: Duration) -> String {
        let end = self.now + duration;
        while let Some(due) = self.shell.next_tick().filter(|&due| due <= end) {
            self.now = due;
            self.shell.tick(due, &mut self.control);
        }
        self.now = end;
        self.take()
    }

    fn take(&mut self) -> String {
        let text = String::from_utf8_lossy(self.shell.output()).into_owned();
        self.shell.consume(usize::MAX);
        text
    }
}

#[test]
fn listing_is_aligned_and_the_prompt_returns() {
    let text = Session::new().type_text("ls\r");
    assert!(text.contains("NAME   STATE"), "{text}");
    assert!(text.contains("\nstore  waiting"), "{text}");
    assert!(text.ends_with("sos> \x1b[K"), "{text}");
}

#[test]
fn json_is_one_line_that_parses() {
    let text = Session::new().type_text("ls --json\r");
    let line = text
        .lines()
        .find(|line| line.starts_with('['))
        .expect("a JSON line");
    let value: serde_json::Value = serde_json::from_str(line).expect("valid JSON");
    assert_eq!(value[0]["name"], "web");
}

#[test]
fn one_failing_name_does_not_keep_the_others() {
    let mut session = Session::new();
    let text = session.type_text("start ghost web\r");
    assert!(text.contains("error: no instance named 'ghost'"), "{text}");
    assert_eq!(
        session.control.requests.last(),
        Some(&Request::Start { name: "web".into() })
    );
}

#[test]
fn tab_completes_verbs_and_names() {
    let mut session = Session::new();
    session.type_text("sta\tst\t\r");
    assert_eq!(
        session.control.requests,
        [Request::Start {
            name: "store".into()
        }]
    );
    let text = session.type_text("info w\t");
    assert!(text.ends_with("web"), "the common part only: {text:?}");
    let text = session.type_text("\t");
    assert!(text.contains("web  web2"), "{text}");
}

#[test]
fn tab_completes_snapshots_keywords_and_flags() {
    let mut session = Session::new();
    session.type_text("snapshot --g\tst\tweb t\tmonday2\r");
    assert_eq!(
        session.control.requests.last(),
        Some(&Request::SnapshotGroup {
            names: vec!["store".into(), "web".into()],
            to: "monday2".into(),
            cut: crate::control::CutMode::Running,
            extent: crate::control::Extent::Full,
        })
    );
    session.type_text("restore mo\ta\tcopy\r");
    assert_eq!(
        session.control.requests.last(),
        Some(&Request::Restore {
            snapshot: "monday".into(),
            to: Some("copy".into()),
            addresses: vec![],
        })
    );
    session.type_text("snapshot rm mo\t\r");
    assert_eq!(
        session.control.requests.last(),
        Some(&Request::RemoveSnapshot {
            name: "monday".into()
        })
    );
    session.type_text("clone sto\t--cou\t2 a\tx\r");
    assert!(matches!(
        session.control.requests.last(),
        Some(Request::Clone { name, to: Some(to), count: 2, .. }) if name == "store" && to == "x"
    ));
}

#[test]
fn every_verb_answers_in_json_errors_too() {
    let mut session = Session::new();
    let mut json = |line: &str| {
        let text = session.type_text(&format!("{line}\r"));
        let line = text.lines().find(|line| line.starts_with(['{', '[', 'n']));
        let value: serde_json::Value = serde_json::from_str(line.expect(&text)).expect(&text);
        value
    };
    assert_eq!(json("suspend web --json")[0]["name"], "web");
    let both = json("start ghost web --json");
    let error = both[0]["error"].as_str().expect("an error");
    assert!(error.contains("no instance named 'ghost'"), "{error}");
    assert!(both[1]["error"].is_null());
    assert_eq!(json("switch add x --json"), serde_json::Value::Null);
    let error = json("restore --json");
    assert!(error["error"].as_str().unwrap().contains("usage"));
    let without = ["console", "ping", "help", "clear"];
    for verb in VERBS.iter().filter(|verb| !without.contains(&verb.name)) {
        assert!(verb.usage.contains("--json"), "{}", verb.name);
    }
}

#[test]
fn a_line_from_elsewhere_prints_or_says_why_not() {
    let mut control = FakeControl::default();
    let mut run = |line: &str| run_line(line, Time::ZERO, &mut control);
    let done = |result: LineResult| match result {
        LineResult::Done(text) => text,
        other => panic!("{other:?}"),
    };
    let failed = |result: LineResult| match result {
        LineResult::Failed(text) => text,
        other => panic!("{other:?}"),
    };
    assert!(done(run("ls")).contains("store"));
    assert_eq!(done(run("logs web")), "");
    assert!(failed(run("start web ghost")).starts_with("error: no instance named 'ghost'"));
    assert!(failed(run("nonsense --json")).starts_with("{\"error\":"));
    for line in ["console web", "logs -f web", "top", "ping web 10.0.0.1"] {
        assert!(
            failed(run(line)).contains("until it is interrupted"),
            "{line}"
        );
    }
    assert!(failed(run(&"x".repeat(5000))).contains("more than"));
    let LineResult::Ordered(order) = run("clone web --count 2 --json") else {
        panic!("it takes several turns");
    };
    let outcome = control.outcome(order.number).expect("an outcome");
    assert!(done(order.result(outcome)).starts_with("[{\"name\":\"web-2\""));
}

#[test]
fn the_prompt_comes_when_what_takes_several_turns_is_done() {
    let mut session = Session::new();
    session.control.under_way = 3;
    let text = session.type_text("clone web --count 2\r");
    assert!(!text.contains("sos> "), "{text}");
    let text = session.wait(Duration::from_millis(100));
    assert!(text.contains("web-3") && text.contains("sos> "), "{text}");
    session.control.under_way = 1000;
    session.type_text("clone web --count 2\r");
    assert!(session.type_text("\x03").contains("sos> "));
}

#[test]
fn logs_are_followed_until_interrupted() {
    let mut session = Session::new();
    let entry = |text: &str| GuestLogRow {
        time_nanos: 0,
        level: "info".into(),
        text: text.to_string(),
    };
    session.control.logs.extend([entry("one"), entry("two")]);
    let text = session.type_text("logs web -f -n 1\r");
    assert!(text.contains("two") && !text.contains("one"), "{text}");
    session.control.logs.push(entry("three"));
    let text = session.wait(Duration::from_secs(1));
    assert_eq!(text.matches("three").count(), 1, "{text}");
    assert!(session.type_text("\x03").contains("sos> "));
    assert_eq!(session.shell.next_tick(), None);
}

#[test]
fn console_passes_bytes_and_is_left_by_its_key() {
    let mut session = Session::new();
    session.type_text("console web\r");
    session.type_text("hi\r");
    assert_eq!(session.control.console, b"hi\n");
    assert!(session.type_text("\x1d").contains("sos> "));
}

#[test]
fn ping_counts_and_sums_up() {
    let mut session = Session::new();
    session.type_text("ping web 10.1.0.2 -c 2\r");
    let text = session.wait(Duration::from_secs(5));
    assert!(text.contains("seq=1 time=250us"), "{text}");
    assert!(text.contains("2 sent, 2 received, 0% lost"), "{text}");
    assert!(matches!(
        session.control.requests.last(),
        Some(Request::PingStop { ping: 7, .. })
    ));
}

#[test]
fn top_prints_as_often_as_asked() {
    let mut session = Session::new();
    session.type_text("top -n 2\r");
    let text = session.wait(Duration::from_secs(5));
    assert!(text.contains("%CPU"), "{text}");
    assert!(text.ends_with("sos> \x1b[K"), "{text}");
}

#[test]
fn errors_say_what_is_wrong_and_the_shell_goes_on() {
    let mut session = Session::new();
    assert!(
        session
            .type_text("frobnicate\r")
            .contains("error: unknown verb 'frobnicate'")
    );
    let long = "x".repeat(10_000) + "\r";
    assert!(
        session
            .type_text(&long)
            .contains("error: the line has more than")
    );
    assert!(session.type_text("help\r").contains("poweroff"));
}

#[test]
fn output_is_bounded_and_the_loss_is_said() {
    let mut session = Session::new();
    for _ in 0..2000 {
        session
            .shell
            .input(b"help\r", Time::ZERO, &mut session.control);
    }
    assert!(session.shell.output().len() <= limits::SHELL_OUTPUT_BYTES);
    session.shell.consume(usize::MAX);
    assert!(session.take().contains("bytes of output dropped"));
}
