//! From a typed line to a [`Command`]: words, quotes, flags, and errors that show the usage.

mod moves;

use super::verbs::{self, Verb};
use crate::control::{CutMode, Extent, PortAddress, Request, SegmentState};
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
    Act(Action, Vec<String>, Format),
    /// What is asked of the node once: `snapshot`, `clone`, `switch add`, …
    Do(Request, Format),
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
    /// `snapshots`
    Snapshots(Format),
    /// `nodes`
    Nodes(Format),
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

    /// Every `--address [INSTANCE.]PORT=ADDRESS`.
    fn take_addresses(&mut self) -> Result<Vec<PortAddress>, CommandError> {
        let mut addresses = Vec::new();
        while let Some(text) = self.take_option("--address")? {
            let Some(address) = PortAddress::parse(&text) else {
                return Err(self.wrong(alloc::format!(
                    "'{text}' is not like eth0=10.0.0.9/24, eth0=dhcp or web.eth0=10.0.0.9/24"
                )));
            };
            addresses.push(address);
        }
        Ok(addresses)
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
        "nodes" => Command::Nodes(arguments.take_format()),
        "snapshots" => Command::Snapshots(arguments.take_format()),
        "restore" => {
            let (format, addresses) = (arguments.take_format(), arguments.take_addresses()?);
            let request = Request::Restore {
                snapshot: arguments.take_word("a snapshot")?,
                to: take_name_after(arguments, "as")?,
                addresses,
            };
            Command::Do(request, format)
        }
        "clone" => clone(arguments)?,
        "migrate" => moves::migrate(arguments)?,
        "evacuate" => moves::evacuate(arguments)?,
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
        "poweroff" => Command::Do(Request::PowerOff, arguments.take_format()),
        "reboot" => Command::Do(Request::Reboot, arguments.take_format()),
        other => return Err(CommandError::UnknownVerb(other.into())),
    })
}

fn act(arguments: &mut Arguments, action: Action) -> Result<Command, CommandError> {
    let format = arguments.take_format();
    let names = take_names(arguments, "")?;
    Ok(Command::Act(action, names, format))
}

/// The names of instances up to `keyword` or the end, one at least.
fn take_names(arguments: &mut Arguments, keyword: &str) -> Result<Vec<String>, CommandError> {
    let mut names = Vec::new();
    names.push(arguments.take_word("an instance")?);
    while arguments.words.first().is_some_and(|word| word != keyword) {
        names.push(arguments.take_word("an instance")?);
    }
    Ok(names)
}

/// `snapshot NAME to SNAPSHOT`, `snapshot --group NAME... to GROUP`, `snapshot rm SNAPSHOT...`
fn snapshot(arguments: &mut Arguments) -> Result<Command, CommandError> {
    let cut = match arguments.take_flag("--stop") {
        true => CutMode::Stopping,
        false => CutMode::Running,
    };
    let extent = match arguments.take_flag("--incremental") {
        true => Extent::Incremental,
        false => Extent::Full,
    };
    let is_group = arguments.take_flag("--group");
    let format = arguments.take_format();
    let is_removal = !is_group
        && arguments.words.first().is_some_and(|word| word == "rm")
        && arguments.words.get(1).is_none_or(|word| word != "to");
    if is_removal {
        arguments.words.remove(0);
        let names = take_names(arguments, "")?;
        return Ok(Command::Act(Action::RemoveSnapshot, names, format));
    }
    let mut names = take_names(arguments, "to")?;
    let Some(to) = take_name_after(arguments, "to")? else {
        return Err(arguments.wrong("`to SNAPSHOT` is missing".into()));
    };
    let request = match (is_group, names.len()) {
        (true, _) => Request::SnapshotGroup {
            names,
            to,
            cut,
            extent,
        },
        (false, 1) => Request::Snapshot {
            name: names.remove(0),
            to,
            cut,
            extent,
        },
        (false, _) => {
            return Err(arguments.wrong("several instances at one instant want --group".into()));
        }
    };
    Ok(Command::Do(request, format))
}

/// `clone NAME [as NAME]`, `clone --group NAME... [as NAME]`
fn clone(arguments: &mut Arguments) -> Result<Command, CommandError> {
    let count = arguments.take_number("--count")?.unwrap_or(1);
    let is_group = arguments.take_flag("--group");
    let format = arguments.take_format();
    let addresses = arguments.take_addresses()?;
    let mut names = take_names(arguments, "as")?;
    let to = take_name_after(arguments, "as")?;
    let request = match (is_group, names.len()) {
        (true, _) => Request::CloneGroup {
            names,
            to,
            count,
            addresses,
        },
        (false, 1) => Request::Clone {
            name: names.remove(0),
            to,
            count,
            addresses,
        },
        (false, _) => {
            return Err(arguments.wrong("several instances at one instant want --group".into()));
        }
    };
    Ok(Command::Do(request, format))
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
    let set = |name, state| Request::SetSegment { name, state };
    let request = match (what.as_str(), kind) {
        ("add", Kind::Switch) => Request::AddSwitch { name, uplink },
        ("add", Kind::Link) => Request::AddLink { name },
        ("rm", _) => Request::RemoveSegment { name },
        ("up", _) => set(name, SegmentState::Up),
        ("down", _) => set(name, SegmentState::Down),
        (other, _) => {
            return Err(arguments.wrong(alloc::format!("'{other}' is not add, rm, up or down")));
        }
    };
    Ok(Command::Do(request, format))
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
mod tests;
