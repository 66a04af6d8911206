//! From a typed line to a [`Command`]: words, quotes, flags, and errors that show the usage.

use super::verbs::{self, Verb};
use crate::control::{CutMode, Extent, SegmentState};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// How a listing is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Aligned columns for people.
    Table,
    /// One JSON value for programs.
    Json,
}

/// Whether a listing goes on as new entries come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follow {
    /// Print and end.
    Once,
    /// Go on until Ctrl-C.
    Follow,
}

/// What a verb does to instances named one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// `start`
    Start,
    /// `stop`
    Stop,
    /// `kill`
    Kill,
    /// `pause`
    Pause,
    /// `resume`
    Resume,
    /// `restart`
    Restart,
    /// `suspend`
    Suspend,
    /// `snapshot rm`
    RemoveSnapshot,
}

/// The two kinds of segments as the shell names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `switch`
    Switch,
    /// `link`
    Link,
}

/// A parsed line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// An empty line.
    Nothing,
    /// `ls`
    List(Format),
    /// `info`
    Info(String, Format),
    /// `start`, `stop`, …
    Act(Action, Vec<String>),
    /// `console`
    Console(String),
    /// `logs`
    Logs {
        name: String,
        follow: Follow,
        last: Option<usize>,
        format: Format,
    },
    /// `top`
    Top { times: Option<u32>, format: Format },
    /// `net`
    Net(Option<String>, Format),
    /// `switch`, `link`
    Segments(Kind, Format),
    /// `switch add`, `link add`
    AddSegment {
        kind: Kind,
        name: String,
        uplink: Option<usize>,
    },
    /// `switch rm`, `link rm`
    RemoveSegment(String),
    /// `switch up`, …
    SetSegment(String, SegmentState),
    /// `snapshot`
    Snapshot {
        name: String,
        to: String,
        cut: CutMode,
        extent: Extent,
    },
    /// `snapshots`
    Snapshots(Format),
    /// `restore`
    Restore {
        snapshot: String,
        to: Option<String>,
    },
    /// `clone`
    Clone {
        name: String,
        to: Option<String>,
        count: u32,
    },
    /// `ping`
    Ping {
        from: String,
        to: IpAddr,
        count: u16,
    },
    /// `events`
    Events(Follow, Format),
    /// `dmesg`
    KernelLog(Follow, Format),
    /// `uptime`
    Uptime(Format),
    /// `help`
    Help(Option<&'static Verb>),
    /// `clear`
    Clear,
    /// `poweroff`
    PowerOff,
    /// `reboot`
    Reboot,
}

/// Why a line is not a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CommandError {
    /// The first word is no verb.
    UnknownVerb(String),
    /// A quote is not closed.
    OpenQuote,
    /// The verb wants other arguments; the text says which word is wrong.
    Usage {
        verb: &'static Verb,
        problem: String,
    },
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::UnknownVerb(word) => {
                write!(f, "unknown verb '{word}'; `help` lists them")
            }
            CommandError::OpenQuote => f.write_str("a quote is not closed"),
            CommandError::Usage { verb, problem } => {
                write!(
                    f,
                    "{}: {problem}; usage: {} {}",
                    verb.name, verb.name, verb.usage
                )
            }
        }
    }
}

/// Splits a line into words; single and double quotes keep blanks together.
pub(super) fn words(line: &str) -> Result<Vec<String>, CommandError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in line.chars() {
        match quote {
            Some(open) if character == open => quote = None,
            Some(_) => word.get_or_insert_default().push(character),
            None if character == '"' || character == '\'' => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            None if character.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err(CommandError::OpenQuote);
    }
    words.extend(word);
    Ok(words)
}

/// The words after a verb, taken one by one.
struct Arguments {
    verb: &'static Verb,
    words: Vec<String>,
}

impl Arguments {
    fn wrong(&self, problem: String) -> CommandError {
        CommandError::Usage {
            verb: self.verb,
            problem,
        }
    }

    fn take_flag(&mut self, flag: &str) -> bool {
        let found = self.words.iter().position(|word| word == flag);
        found.map(|at| self.words.remove(at)).is_some()
    }

    fn take_option(&mut self, option: &str) -> Result<Option<String>, CommandError> {
        let Some(at) = self.words.iter().position(|word| word == option) else {
            return Ok(None);
        };
        if at + 1 >= self.words.len() {
            return Err(self.wrong(alloc::format!("{option} wants a value")));
        }
        self.words.remove(at);
        Ok(Some(self.words.remove(at)))
    }

    fn take_number<T: core::str::FromStr>(
        &mut self,
        option: &str,
    ) -> Result<Option<T>, CommandError> {
        let Some(text) = self.take_option(option)? else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(self.wrong(alloc::format!(
                "'{text}' is not a number that {option} takes"
            ))),
        }
    }

    fn take_format(&mut self) -> Format {
        match self.take_flag("--json") {
            true => Format::Json,
            false => Format::Table,
        }
    }

    fn take_follow(&mut self) -> Follow {
        match self.take_flag("-f") {
            true => Follow::Follow,
            false => Follow::Once,
        }
    }

    fn take_word(&mut self, what: &str) -> Result<String, CommandError> {
        match self.words.first() {
            None => Err(self.wrong(alloc::format!("{what} is missing"))),
            Some(word) if word.starts_with('-') => {
                Err(self.wrong(alloc::format!("unknown flag '{word}'")))
            }
            Some(_) => Ok(self.words.remove(0)),
        }
    }

    fn end(&self) -> Result<(), CommandError> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(self.wrong(alloc::format!("'{word}' is not expected"))),
        }
    }
}

/// Parses one line.
///
/// # Errors
/// [`CommandError`], whose text shows what is wrong and the verb's usage.
pub(super) fn parse(line: &str) -> Result<Command, CommandError> {
    let mut words = words(line)?;
    if words.is_empty() {
        return Ok(Command::Nothing);
    }
    let name = words.remove(0);
    let verb = verbs::find(&name).ok_or(CommandError::UnknownVerb(name))?;
    let mut arguments = Arguments { verb, words };
    let command = parse_verb(&mut arguments)?;
    arguments.end()?;
    Ok(command)
}

fn parse_verb(arguments: &mut Arguments) -> Result<Command, CommandError> {
    Ok(match arguments.verb.name {
        "ls" => Command::List(arguments.take_format()),
        "info" => {
            let format = arguments.take_format();
            Command::Info(arguments.take_word("an instance")?, format)
        }
        "start" => act(arguments, Action::Start)?,
        "stop" => act(arguments, Action::Stop)?,
        "kill" => act(arguments, Action::Kill)?,
        "pause" => act(arguments, Action::Pause)?,
        "resume" => act(arguments, Action::Resume)?,
        "restart" => act(arguments, Action::Restart)?,
        "suspend" => act(arguments, Action::Suspend)?,
        "snapshot" => snapshot(arguments)?,
        "snapshots" => Command::Snapshots(arguments.take_format()),
        "restore" => Command::Restore {
            snapshot: arguments.take_word("a snapshot")?,
            to: take_name_after(arguments, "as")?,
        },
        "clone" => Command::Clone {
            count: arguments.take_number("--count")?.unwrap_or(1),
            name: arguments.take_word("an instance")?,
            to: take_name_after(arguments, "as")?,
        },
        "console" => Command::Console(arguments.take_word("an instance")?),
        "logs" => {
            let (follow, format) = (arguments.take_follow(), arguments.take_format());
            let last = arguments.take_number("-n")?;
            let name = arguments.take_word("an instance")?;
            Command::Logs {
                name,
                follow,
                last,
                format,
            }
        }
        "top" => {
            let format = arguments.take_format();
            Command::Top {
                times: arguments.take_number("-n")?,
                format,
            }
        }
        "net" => {
            let format = arguments.take_format();
            let name = match arguments.words.is_empty() {
                true => None,
                false => Some(arguments.take_word("an instance")?),
            };
            Command::Net(name, format)
        }
        "switch" => segment(arguments, Kind::Switch)?,
        "link" => segment(arguments, Kind::Link)?,
        "ping" => ping(arguments)?,
        "events" => Command::Events(arguments.take_follow(), arguments.take_format()),
        "dmesg" => Command::KernelLog(arguments.take_follow(), arguments.take_format()),
        "uptime" => Command::Uptime(arguments.take_format()),
        "help" => help(arguments)?,
        "clear" => Command::Clear,
        "poweroff" => Command::PowerOff,
        "reboot" => Command::Reboot,
        other => return Err(CommandError::UnknownVerb(other.into())),
    })
}

fn act(arguments: &mut Arguments, action: Action) -> Result<Command, CommandError> {
    let mut names = Vec::new();
    names.push(arguments.take_word("an instance")?);
    while !arguments.words.is_empty() {
        names.push(arguments.take_word("an instance")?);
    }
    Ok(Command::Act(action, names))
}

/// `snapshot NAME to SNAPSHOT`, `snapshot rm SNAPSHOT...`
fn snapshot(arguments: &mut Arguments) -> Result<Command, CommandError> {
    let cut = match arguments.take_flag("--stop") {
        true => CutMode::Stopping,
        false => CutMode::Running,
    };
    let extent = match arguments.take_flag("--incremental") {
        true => Extent::Incremental,
        false => Extent::Full,
    };
    let name = arguments.take_word("an instance")?;
    match take_name_after(arguments, "to")? {
        Some(to) => Ok(Command::Snapshot {
            name,
            to,
            cut,
            extent,
        }),
        None if name == "rm" => act(arguments, Action::RemoveSnapshot),
        None => Err(arguments.wrong("`to SNAPSHOT` is missing".into())),
    }
}

/// The word after `keyword`, if that comes next.
fn take_name_after(
    arguments: &mut Arguments,
    keyword: &str,
) -> Result<Option<String>, CommandError> {
    if arguments.words.first().is_none_or(|word| word != keyword) {
        return Ok(None);
    }
    arguments.words.remove(0);
    arguments.take_word("a name").map(Some)
}

fn segment(arguments: &mut Arguments, kind: Kind) -> Result<Command, CommandError> {
    let format = arguments.take_format();
    if arguments.words.is_empty() {
        return Ok(Command::Segments(kind, format));
    }
    let uplink = match kind {
        Kind::Switch => arguments.take_option("--uplink")?,
        Kind::Link => None,
    };
    let uplink = match uplink {
        None => None,
        Some(text) => match text
            .strip_prefix("nic")
            .and_then(|number| number.parse().ok())
        {
            Some(number) => Some(number),
            None => {
                return Err(arguments.wrong(alloc::format!("'{text}' is not a NIC such as nic0")));
            }
        },
    };
    let what = arguments.take_word("add, rm, up or down")?;
    let name = arguments.take_word("a name")?;
    match what.as_str() {
        "add" => Ok(Command::AddSegment { kind, name, uplink }),
        "rm" => Ok(Command::RemoveSegment(name)),
        "up" => Ok(Command::SetSegment(name, SegmentState::Up)),
        "down" => Ok(Command::SetSegment(name, SegmentState::Down)),
        other => Err(arguments.wrong(alloc::format!("'{other}' is not add, rm, up or down"))),
    }
}

fn ping(arguments: &mut Arguments) -> Result<Command, CommandError> {
    let count = arguments.take_number("-c")?.unwrap_or(4);
    let from = arguments.take_word("the sending instance")?;
    let text = arguments.take_word("an address")?;
    match text.parse() {
        Ok(to) => Ok(Command::Ping { from, to, count }),
        Err(_) => Err(arguments.wrong(alloc::format!("'{text}' is not an IPv4 or IPv6 address"))),
    }
}

fn help(arguments: &mut Arguments) -> Result<Command, CommandError> {
    if arguments.words.is_empty() {
        return Ok(Command::Help(None));
    }
    let name = arguments.take_word("a verb")?;
    let verb = verbs::find(&name).ok_or_else(|| CommandError::UnknownVerb(name.to_string()))?;
    Ok(Command::Help(Some(verb)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn wrong(line: &str, part: &str) {
        let text = parse(line).expect_err(line).to_string();
        assert!(text.contains(part), "{line}: {text}");
    }

    #[test]
    fn lines_become_commands() {
        assert_eq!(parse("  "), Ok(Command::Nothing));
        assert_eq!(parse("ls --json"), Ok(Command::List(Format::Json)));
        assert_eq!(
            parse("stop web 'a b'"),
            Ok(Command::Act(Action::Stop, vec!["web".into(), "a b".into()]))
        );
        assert_eq!(
            parse("logs -f web -n 5"),
            Ok(Command::Logs {
                name: "web".into(),
                follow: Follow::Follow,
                last: Some(5),
                format: Format::Table
            })
        );
        assert_eq!(
            parse("switch add lan2 --uplink nic1"),
            Ok(Command::AddSegment {
                kind: Kind::Switch,
                name: "lan2".into(),
                uplink: Some(1)
            })
        );
        assert_eq!(
            parse("ping web fd00::1 -c 2"),
            Ok(Command::Ping {
                from: "web".into(),
                to: "fd00::1".parse().unwrap(),
                count: 2
            })
        );
    }

    #[test]
    fn snapshots_are_taken_and_used() {
        let taken = |cut, extent| {
            Ok(Command::Snapshot {
                name: "web".into(),
                to: "monday".into(),
                cut,
                extent,
            })
        };
        assert_eq!(
            parse("snapshot web to monday"),
            taken(CutMode::Running, Extent::Full)
        );
        assert_eq!(
            parse("snapshot --stop web to monday --incremental"),
            taken(CutMode::Stopping, Extent::Incremental)
        );
        assert_eq!(
            parse("snapshot rm a b"),
            Ok(Command::Act(
                Action::RemoveSnapshot,
                ["a".into(), "b".into()].into()
            ))
        );
        assert!(
            matches!(parse("snapshot rm to b"), Ok(Command::Snapshot { name, .. }) if name == "rm")
        );
        assert_eq!(
            parse("restore monday as web2"),
            Ok(Command::Restore {
                snapshot: "monday".into(),
                to: Some("web2".into())
            })
        );
        assert_eq!(
            parse("clone web --count 3"),
            Ok(Command::Clone {
                name: "web".into(),
                to: None,
                count: 3
            })
        );
        wrong("snapshot web", "`to SNAPSHOT` is missing");
        wrong("snapshot web to", "a name is missing");
        wrong("restore monday as", "a name is missing");
        wrong("clone web --count many", "'many' is not a number");
    }

    #[test]
    fn every_verb_is_parsed_and_wrong_lines_name_the_word() {
        for verb in verbs::VERBS {
            let error = parse(&alloc::format!("{} a b --nonsense", verb.name));
            let text = error.expect_err(verb.name).to_string();
            assert!(text.contains(verb.name), "{text}");
        }
        wrong("nonsense", "unknown verb 'nonsense'");
        wrong("info", "an instance is missing");
        wrong("logs web -n many", "'many' is not a number");
        wrong("ping web here", "'here' is not an IPv4 or IPv6 address");
        wrong("switch add x --uplink eth0", "not a NIC such as nic0");
        wrong("ls 'web", "quote is not closed");
    }
}
