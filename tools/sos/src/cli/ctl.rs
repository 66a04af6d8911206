//! `sos ctl`: one line of a node's shell from here.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::snapshot::connect;
use crate::snapshot::transfer::{self, Line};

/// What the node is asked.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo sos ctl ls                             the instances of the only node that runs
  cargo sos ctl --node demo clone web --count 3
  cargo sos ctl snapshot --group web store to both --json
  cargo sos ctl --node 192.168.1.20 ls --json   a node of the network, by the project's cluster key
  cargo sos ctl help snapshot                  every verb of the shell explains itself

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
    /// A verb of the node's shell and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Runs the line and prints what it prints; a failure is on standard error, unless it is JSON.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut client = connect(
        arguments.node.as_deref(),
        arguments.channel.as_deref(),
        arguments.cluster_key.as_deref(),
    )?;
    let words: Vec<String> = arguments.words.iter().map(|word| quoted(word)).collect();
    let wants_json = arguments.words.iter().any(|word| word == "--json");
    Ok(match transfer::run_line(&mut client, &words.join(" "))? {
        Line::Done(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Line::Failed(text) => {
            match wants_json {
                true => print!("{text}"),
                false => eprint!("{text}"),
            }
            ExitCode::FAILURE
        }
    })
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
