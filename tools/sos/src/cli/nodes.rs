//! `sos run --nodes N`: several nodes, and their consoles on this terminal.

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result, bail};

use super::run::{Arguments, explain, forwards, lan_forward};
use crate::cluster::{
    self, Cluster, Ground, KEYS_HELP, Keystroke, Lines, Network, Options, Order, Report, Screen,
    Target, Typing, View, Windows, Wiring, keys,
};
use crate::image::BootImage;
use crate::lan::{Forward, Subnet};
use crate::process::say;
use crate::qemu::End;
use crate::terminal::RawMode;

/// What the run waits for.
enum Event {
    /// Something of the nodes.
    Node(Report),
    /// Bytes from standard input.
    Typed(Vec<u8>),
    /// Bytes from a node's own window.
    Keys {
        /// The node's index.
        node: usize,
        /// What was typed.
        bytes: Vec<u8>,
    },
}

/// Runs nodes until all have ended or the user leaves.
pub fn run(
    arguments: &Arguments,
    kernel: &Path,
    manifest: &Path,
    image: &BootImage,
) -> Result<ExitCode> {
    refuse_what_is_for_one(arguments)?;
    let wiring = wiring(arguments)?;
    let ground = match &wiring {
        Some(_) => Ground::Host,
        None => Ground::Lan(Subnet::default()),
    };
    let plans = cluster::plan(image, arguments.nodes, &arguments.place, ground)?;
    let specs = match &wiring {
        Some(_) => Vec::new(),
        None => forwards(&image.manifest, &arguments.forward)?,
    };
    let services: Vec<Forward> = specs
        .iter()
        .map(|spec| lan_forward(&image.manifest, spec))
        .collect();
    let options = Options {
        memory_mib: arguments.memory >> 20,
        cpus: arguments.cpus,
        append: arguments.append.clone(),
        network: match wiring {
            Some(wiring) => Network::Host(wiring),
            None => Network::Lan {
                forwards: services,
                pcap: arguments.pcap.clone(),
            },
        },
        state: keys::state_folder(manifest)?,
        watchdog: None,
        arguments: Vec::new(),
    };
    let (events, happened) = channel();
    let (reports, reported) = channel();
    let cluster = Cluster::start(kernel, plans, options, reports)?;
    for (index, spec) in specs.iter().enumerate() {
        let host = cluster.lan().map_or(0, |lan| lan.forward_port(index));
        let (instance, port) = (&spec.instance, spec.instance_port);
        say(format!(
            "http://127.0.0.1:{host}/ leads to {instance}:{port}"
        ));
    }
    introduce(&cluster);
    let is_terminal = std::io::stdin().is_terminal();
    let view = match is_terminal {
        true => {
            say(format!("booting; {KEYS_HELP}"));
            View::Terminal
        }
        false => View::Lines,
    };
    let raw = RawMode::enter().context("switch the terminal to raw mode")?;
    pass_on(reported, events.clone());
    let input = events.clone();
    std::thread::spawn(move || read_input(&input));
    let windows = match arguments.tmux {
        true => Some(open_windows(&cluster, &events)?),
        false => None,
    };
    let screen = Screen::new(view, &cluster.names(), std::io::stdout());
    let mut desk = Desk {
        lines: Lines::new(&cluster.names()),
        listens: vec![false; cluster.count()],
        waiting: vec![Vec::new(); cluster.count()],
        typing: Typing::default(),
        begun: Vec::new(),
        status: 0,
        kernel,
        view,
        screen,
        windows,
        cluster,
    };
    desk.attend(&happened);
    drop(raw);
    if is_terminal {
        println!();
    }
    Ok(ExitCode::from(desk.status))
}

/// How the nodes are plugged into a network of the host, if they are.
fn wiring(arguments: &Arguments) -> Result<Option<Wiring>> {
    if let Some(bridge) = &arguments.bridge {
        return Ok(Some(Wiring::Bridge(bridge.clone())));
    }
    let taps = &arguments.tap;
    if taps.is_empty() {
        return Ok(None);
    }
    if taps.len() as u64 != u64::from(arguments.nodes) {
        bail!(
            "{} taps for {} nodes: give --tap once for each",
            taps.len(),
            arguments.nodes
        );
    }
    Ok(Some(Wiring::Taps(taps.clone())))
}

fn refuse_what_is_for_one(arguments: &Arguments) -> Result<()> {
    let refused = [
        ("--no-lan", arguments.no_lan),
        ("--snapshot", !arguments.snapshot.is_empty()),
        ("--key-file", arguments.key_file.is_some()),
    ];
    match refused.iter().find(|(_, given)| *given) {
        Some((name, _)) => bail!("{name} is for a single node: leave out --nodes"),
        None => Ok(()),
    }
}

/// Says which nodes there are and how each is reached.
fn introduce(cluster: &Cluster) {
    for (index, name) in cluster.names().iter().enumerate() {
        let mut words = match cluster.address(index) {
            Some(address) => format!("{name} at {}: ", address.ip()),
            None => format!("{name}, whose address DHCP gives: "),
        };
        if let Some(name) = cluster.public_name(index) {
            words.push_str(&format!("cargo sos ctl --node {name}"));
        }
        if let Some(address) = cluster.control(index) {
            words.push_str(&format!("; its control port at {address}"));
        }
        say(words);
    }
}

/// A window for each console, which types as the terminal does.
fn open_windows(cluster: &Cluster, events: &Sender<Event>) -> Result<Windows> {
    let events = events.clone();
    Windows::open(&cluster.names(), move |node, bytes| {
        let bytes = bytes.to_vec();
        // Nobody listens any more when the run is over.
        let _ = events.send(Event::Keys { node, bytes });
    })
}

fn pass_on(reports: Receiver<Report>, events: Sender<Event>) {
    std::thread::spawn(move || {
        for report in reports {
            if events.send(Event::Node(report)).is_err() {
                return;
            }
        }
    });
}

fn read_input(events: &Sender<Event>) {
    let mut buffer = [0; 1024];
    let mut stdin = std::io::stdin().lock();
    while let Ok(length @ 1..) = stdin.read(&mut buffer) {
        if events
            .send(Event::Typed(buffer[..length].to_vec()))
            .is_err()
        {
            return;
        }
    }
}

/// Where the user sits.
struct Desk<'a> {
    cluster: Cluster,
    screen: Screen,
    windows: Option<Windows>,
    view: View,
    typing: Typing,
    lines: Lines,
    /// A line of a pipe that has not ended yet.
    begun: Vec<u8>,
    /// Which nodes have printed something and so take input.
    listens: Vec<bool>,
    /// What waits for a node to listen.
    waiting: Vec<Vec<u8>>,
    status: u8,
    kernel: &'a Path,
}

/// Whether the run goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    On,
    Over,
}

impl Desk<'_> {
    fn attend(&mut self, happened: &Receiver<Event>) {
        for event in happened {
            let next = match event {
                Event::Node(Report::Printed { node, bytes }) => {
                    self.screen.printed(node, &bytes);
                    if let Some(windows) = &self.windows {
                        windows.printed(node, &bytes);
                    }
                    self.hears(node);
                    Next::On
                }
                Event::Node(Report::Ended { node, life }) => self.ended(node, life),
                Event::Keys { node, bytes } => {
                    self.send(node, &bytes);
                    Next::On
                }
                Event::Typed(bytes) => match self.view {
                    View::Terminal => self.typed(&bytes),
                    View::Lines => self.piped(&bytes),
                },
            };
            if next == Next::Over {
                return;
            }
        }
    }

    /// A node has ended: the others go on.
    fn ended(&mut self, node: usize, life: u32) -> Next {
        self.screen.ended(node);
        if !self.cluster.is_current(node, life) {
            return Next::On;
        }
        let end = self.cluster.end(node).unwrap_or(End::Killed);
        self.status = self.status.max(end.exit_code());
        self.listens[node] = false;
        let names = self.cluster.names();
        let goes_on = self.cluster.any_runs();
        let rest = if goes_on { "; the others go on" } else { "" };
        self.screen
            .say(&format!("{} ended: {end}{rest}", names[node]));
        if end == End::Panic
            && let Some(console) = self.cluster.console(node)
        {
            explain(self.kernel, &console.transcript());
        }
        if !goes_on {
            return Next::Over;
        }
        if node == self.screen.shown() {
            self.show_next();
        }
        Next::On
    }

    fn typed(&mut self, bytes: &[u8]) -> Next {
        for stroke in self.typing.sort(bytes) {
            match stroke {
                Keystroke::Text(text) => self.send(self.screen.shown(), &text),
                Keystroke::Show(node) if node < self.cluster.count() => self.screen.show(node),
                Keystroke::Show(_) => {}
                Keystroke::Next => self.show_next(),
                Keystroke::Ordering(line) => self.screen.echo(&format!("order: {line}")),
                Keystroke::Order(line) if line.is_empty() => self.screen.show(self.screen.shown()),
                Keystroke::Order(line) => self.order(&line),
                Keystroke::Quit => return Next::Over,
            }
        }
        Next::On
    }

    fn piped(&mut self, bytes: &[u8]) -> Next {
        self.begun.extend_from_slice(bytes);
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            match self.lines.address(&String::from_utf8_lossy(&line)) {
                Err(refused) => self.screen.say(&refused),
                Ok(line) => match line.target {
                    Target::Tool => self.order(&line.text),
                    Target::Node(node) => self.send(node, format!("{}\r", line.text).as_bytes()),
                    Target::All => (0..self.cluster.count())
                        .for_each(|node| self.send(node, format!("{}\r", line.text).as_bytes())),
                },
            }
        }
        Next::On
    }

    fn order(&mut self, text: &str) {
        let done = text
            .parse::<Order>()
            .map_err(anyhow::Error::msg)
            .and_then(|order| self.cluster.obey(&order));
        match done {
            Ok(()) => self.screen.say(&format!("done: {text}")),
            Err(error) => self.screen.say(&format!("{error:#}")),
        }
    }

    fn show_next(&mut self) {
        let (shown, count) = (self.screen.shown(), self.cluster.count());
        let mut others = (1..=count).map(|step| (shown + step) % count);
        let alive = others.find(|node| self.cluster.end(*node).is_none());
        if let Some(next) = alive {
            self.screen.show(next);
        }
    }

    /// Types into a node, as soon as it listens.
    fn send(&mut self, node: usize, bytes: &[u8]) {
        let ready = self.view == View::Terminal || self.listens[node];
        if !ready {
            self.waiting[node].extend_from_slice(bytes);
        } else if let Some(console) = self.cluster.console(node) {
            // A machine that has just ended says so itself.
            let _ = console.send(bytes);
        }
    }

    /// A node has printed something: what waited for it goes there.
    fn hears(&mut self, node: usize) {
        if !std::mem::replace(&mut self.listens[node], true) {
            let waiting = std::mem::take(&mut self.waiting[node]);
            if let Some(console) = self.cluster.console(node) {
                let _ = console.send(&waiting);
            }
        }
    }
}
