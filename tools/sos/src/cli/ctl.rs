//! `sos ctl`: one line of a node's shell from here.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::follow::{Following, Handing, Outcome, verdict};
use super::snapshot::connect;
use crate::cluster::remote;
use crate::exec::Client;
use crate::snapshot::transfer::{self, Line};

/// Among the words of a line that hands instances over: do not follow it.
const NO_WAIT: &str = "--no-wait";

/// What the node is asked.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo sos ctl ls                             the instances of the only node that runs
  cargo sos ctl --node demo clone web --count 3
  cargo sos ctl snapshot --group web store to both --json
  cargo sos ctl --node 192.168.1.20 ls --json   a node of the network, by the project's cluster key
  cargo sos ctl --node node1 migrate web node2  hand web over, and wait for its end
  cargo sos ctl help snapshot                  every verb of the shell explains itself

`migrate NAME NODE` and `evacuate NODE...` show how far they are on standard error until the hand-overs are over, and
succeed when every instance moved; with --json they print what became of each. With --no-wait they end when
the node has begun.

What goes on until it is interrupted (console, logs -f, ping) is the console's: cargo sos run")]
pub struct Arguments {
    /// The node: its name, as `cargo sos exec --list` has it, or the address of its control port, as
    /// `ADDRESS` or `ADDRESS:PORT`; without it the only one that runs
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// The cluster key for a node on the network; without it that of the project in this folder
    #[arg(long, value_name = "FILE", requires = "node")]
    cluster_key: Option<PathBuf>,
    /// The node, by the socket of its channel
    #[arg(long, value_name = "SOCKET", conflicts_with = "node")]
    channel: Option<PathBuf>,
    /// Do not wait for the end of what `migrate` and `evacuate` begin
    #[arg(long)]
    no_wait: bool,
    /// A verb of the node's shell and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Runs the line and prints what it prints; a failure is on standard error, unless it is JSON.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut client = open(arguments)?;
    let mut words = arguments.words.clone();
    let handing = Handing::of(&words);
    let mut waits = !arguments.no_wait;
    if handing.is_some() {
        words.retain(|word| word != NO_WAIT);
        waits &= words.len() == arguments.words.len();
    }
    let wants_json = words.iter().any(|word| word == "--json");
    let following = match &handing {
        Some(handing) if waits => Some(Following::before(&mut client, handing)?),
        _ => None,
    };
    let line: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let text = match transfer::run_line(&mut client, &line.join(" "))? {
        Line::Done(text) => text,
        Line::Failed(text) => {
            match wants_json {
                true => print!("{text}"),
                false => eprint!("{text}"),
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    match following {
        Some(following) => follow(arguments, following, client, wants_json),
        None => {
            print!("{text}");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn open(arguments: &Arguments) -> Result<Client> {
    connect(
        arguments.node.as_deref(),
        arguments.channel.as_deref(),
        arguments.cluster_key.as_deref(),
    )
}

/// Waits for the end of hand-overs and says what became of them.
fn follow(
    arguments: &Arguments,
    following: Following,
    client: Client,
    wants_json: bool,
) -> Result<ExitCode> {
    let is_remote = match &arguments.node {
        Some(node) => remote::address_of(node)?.is_some(),
        None => false,
    };
    // A channel takes one program at a time, and somebody may want to cancel.
    let mut kept = Some(client);
    let ends = following.until_over(|look| {
        let mut client = match kept.take() {
            Some(client) => client,
            None => open(arguments)?,
        };
        look(&mut client)?;
        kept = is_remote.then_some(client);
        Ok(())
    })?;
    if wants_json {
        println!("{}", json!(ends));
    }
    let mut status = ExitCode::SUCCESS;
    for end in &ends {
        let is_moved = end.outcome == Outcome::Moved;
        if !is_moved {
            status = ExitCode::FAILURE;
        }
        match (wants_json, is_moved) {
            (true, _) => {}
            (false, true) => println!("{}", verdict(end)),
            (false, false) => eprintln!("sos: {}", verdict(end)),
        }
    }
    Ok(status)
}

/// A word as the shell takes it for one.
fn quoted(word: &str) -> String {
    let is_plain = |character: char| !character.is_whitespace() && !"\"'".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into();
    }
    // Quotes keep each other's kind.
    let pieces = word
        .split_inclusive('"')
        .map(|piece| match piece.strip_suffix('"') {
            Some(rest) => format!("\"{rest}\"'\"'"),
            None => format!("\"{piece}\""),
        });
    let pieces: String = pieces.collect();
    match pieces.is_empty() {
        true => "\"\"".into(),
        false => pieces,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        assert_eq!(quoted("--count"), "--count");
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("it's"), "\"it's\"");
        assert_eq!(quoted("a\"b"), "\"a\"'\"'\"b\"");
    }
}
