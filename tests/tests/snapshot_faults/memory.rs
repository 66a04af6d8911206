//! Memory that ends at any one of the questions that the kernel asks for it, and from any one on.

use super::{Talk, talking};
use sos_core::operator::Contents;
use sos_tests::heap::live_bytes;
use sos_tests::sim::channel::Outsider;
use sos_tests::sim::cluster::Cluster;
use std::ops::Range;

/// What is done while memory is short.
#[derive(Debug, Clone, Copy)]
enum Deed {
    /// This line of the shell; `#` stands for a number.
    Line(&'static str),
    /// The snapshot `s` is fetched as a file.
    Export,
    /// The file of a snapshot comes as `s`.
    Import,
}

/// One verb under test.
struct Case {
    /// Lines that lead to it.
    before: &'static [&'static str],
    deed: Deed,
    /// State of `echo` when it is refused: none where it runs.
    refused: Option<&'static [&'static str]>,
    /// State of `echo` when it succeeds: none where it runs.
    succeeded: Option<&'static str>,
    /// Lines that lead back to where all began, after a success; after a refusal, `deed` comes first once more, if
    /// it has to.
    after: &'static [&'static str],
    /// Bytes that one round may keep: lines of the log and events, and the record of an instance that ended.
    kept_bytes: i64,
}

const CASES: &[Case] = &[
    Case {
        before: &[],
        deed: Deed::Line("snapshot echo to s"),
        refused: None,
        succeeded: None,
        after: &["snapshot rm s"],
        kept_bytes: 1024,
    },
    Case {
        before: &["snapshot echo to first"],
        deed: Deed::Line("snapshot echo to s --incremental"),
        refused: None,
        succeeded: None,
        after: &["snapshot rm s", "snapshot rm first"],
        kept_bytes: 1024,
    },
    Case {
        before: &[],
        deed: Deed::Line("snapshot echo to s --stop"),
        refused: None,
        succeeded: Some("stopped"),
        after: &["restore s", "snapshot rm s"],
        kept_bytes: 2048,
    },
    Case {
        before: &[],
        deed: Deed::Line("suspend echo"),
        refused: None,
        succeeded: Some("suspended"),
        after: &["resume echo"],
        kept_bytes: 1024,
    },
    Case {
        before: &["suspend echo"],
        deed: Deed::Line("resume echo"),
        refused: Some(&["suspended", "failed"]),
        succeeded: None,
        after: &[],
        kept_bytes: 2048,
    },
    Case {
        before: &["snapshot echo to s --stop"],
        deed: Deed::Line("restore s"),
        refused: Some(&["stopped", "failed"]),
        succeeded: None,
        after: &["snapshot rm s"],
        kept_bytes: 2048,
    },
    Case {
        before: &[],
        deed: Deed::Line("clone echo as copy#"),
        refused: None,
        succeeded: None,
        after: &["kill copy#"],
        kept_bytes: 16 * 1024,
    },
    Case {
        before: &["snapshot echo to s"],
        deed: Deed::Line("restore s as copy#"),
        refused: None,
        succeeded: None,
        after: &["kill copy#", "snapshot rm s"],
        kept_bytes: 16 * 1024,
    },
    Case {
        before: &["snapshot echo to s"],
        deed: Deed::Export,
        refused: None,
        succeeded: None,
        after: &["snapshot rm s"],
        kept_bytes: 1024,
    },
    Case {
        before: &[],
        deed: Deed::Import,
        refused: None,
        succeeded: None,
        after: &["snapshot rm s"],
        kept_bytes: 1024,
    },
];

/// One case in one scene, again and again.
struct Sweep {
    case: &'static Case,
    cluster: Cluster,
    talk: Talk,
    outsider: Outsider,
    /// What comes in where a file is imported.
    file: Vec<u8>,
    rounds: usize,
}

impl Sweep {
    fn new(case: &'static Case) -> Sweep {
        let (mut cluster, _, talk) = talking();
        let mut outsider = Outsider::greeted(&mut cluster, 0);
        cluster.shell(0, "snapshot echo to s");
        let file = outsider.export(&mut cluster, "s", Contents::SelfContained);
        cluster.shell(0, "snapshot rm s");
        Sweep {
            case,
            cluster,
            talk,
            outsider,
            file: file.expect("a file"),
            rounds: 0,
        }
    }

    /// A line of the shell that must succeed.
    fn line(&mut self, line: &str) {
        let line = line.replace('#', &self.rounds.to_string());
        let text = self.cluster.shell(0, &line);
        assert!(!text.contains("error"), "{line}: {text}");
    }

    /// The refusal, if it comes to one.
    fn act(&mut self) -> Result<(), String> {
        match self.case.deed {
            Deed::Line(line) => {
                let line = line.replace('#', &self.rounds.to_string());
                let text = self.cluster.shell(0, &line);
                match text.split_once("error: ") {
                    None => Ok(()),
                    Some((_, error)) => Err(error.into()),
                }
            }
            Deed::Export => {
                let contents = Contents::SelfContained;
                let file = self.outsider.export(&mut self.cluster, "s", contents);
                file.map(drop)
            }
            Deed::Import => self.outsider.import(&mut self.cluster, "s", &self.file),
        }
    }

    fn memory(&self) -> (u64, u64) {
        let memory = &self.cluster.nodes[0].machine.memory;
        (memory.free_bytes(), memory.images())
    }

    /// One round from the beginning to where all began, in which these of the questions of the deed find no memory;
    /// how many there were, and whether it was refused.
    fn round(&mut self, shortage: Range<u64>) -> (u64, bool) {
        self.rounds += 1;
        let when = format!("{:?}, shortage at {shortage:?}", self.case.deed);
        self.cluster.nodes[0].machine.printed = Vec::new();
        let held = self.memory();
        self.case.before.iter().for_each(|line| self.line(line));
        // On its way while it happens.
        self.talk.say(&mut self.cluster);
        let memory = self.cluster.nodes[0].machine.memory.clone();
        let begin = memory.questions();
        memory.set_shortage(begin + shortage.start..begin.saturating_add(shortage.end));
        let result = self.act();
        let questions = memory.questions() - begin;
        memory.set_shortage(0..0);
        if let Err(reason) = &result {
            let names_it = ["node more memory", "give the node", "no memory"];
            let is_named = names_it.iter().any(|text| reason.contains(text));
            assert!(is_named, "{when}: {reason}");
        }
        let (state, _) = self.cluster.state(0, "echo");
        match (&result, self.case.refused, self.case.succeeded) {
            (Ok(()), _, Some(expected)) => assert_eq!(state, expected, "{when}"),
            (Err(_), Some(expected), _) => {
                assert!(expected.contains(&state.as_str()), "{when}: {state}");
                assert_eq!(self.act(), Ok(()), "{when}: not even later");
            }
            _ => assert_eq!(state, "waiting", "{when}"),
        }
        let made_nothing = result.is_err() && self.case.refused.is_none();
        for line in self.case.after {
            // What was not made cannot be taken away.
            let name = line.rsplit(' ').next().expect("a name");
            let mut before = self.case.before.iter();
            let is_of_deed = !before.any(|line| line.rsplit(' ').next() == Some(name));
            if !(made_nothing && is_of_deed) {
                self.line(line);
            }
        }
        self.talk.hear(&mut self.cluster, &when);
        self.talk.exchange(&mut self.cluster, &when);
        assert_eq!(self.cluster.resets, 0, "{when}");
        assert_eq!(
            self.memory(),
            held,
            "{when}: memory is kept that nobody has"
        );
        (questions, result.is_err())
    }
}

/// Each case with every shortage that `shortage` makes of the number of a question.
fn sweep(shortage: impl Fn(u64) -> Range<u64>) {
    for case in CASES {
        let mut sweep = Sweep::new(case);
        let (questions, refused) = sweep.round(0..0);
        assert!(!refused, "{:?}", case.deed);
        // Tables have grown to where they stay.
        sweep.round(0..0);
        let (before, rounds_before) = (live_bytes(), sweep.rounds);
        let mut refusals = 0;
        for question in 0..questions {
            let (_, refused) = sweep.round(shortage(question));
            refusals += usize::from(refused);
        }
        // An export is made in steps, which may find all of what they need.
        let is_export = matches!(case.deed, Deed::Export);
        assert!(
            refusals > 0 || is_export,
            "{:?}: memory was never missed",
            case.deed
        );
        let rounds = (sweep.rounds - rounds_before) as i64;
        let kept = (live_bytes() - before) / rounds;
        assert!(
            kept <= case.kept_bytes,
            "{:?}: {kept} bytes a round",
            case.deed
        );
    }
}

#[test]
fn memory_that_ends_at_one_question_costs_no_more_than_the_deed() {
    sweep(|question| question..question + 1);
}

#[test]
fn memory_that_ends_from_a_question_on_costs_no_more_than_the_deed() {
    sweep(|question| question..u64::MAX);
}
