//! What Tab may make of a word: the shell's verbs and flags, and the names that the node has.

use super::verbs::{self, Operand, VERBS, Verb};
use crate::control::Control;
use alloc::string::String;
use alloc::vec::Vec;

/// What `word` after `head` may become, in order.
pub(super) fn candidates(head: &str, word: &str, control: &dyn Control) -> Vec<String> {
    let mut before = head.split_whitespace();
    let mut all = match before.next().map(verbs::find) {
        None => verb_names(),
        Some(None) => Vec::new(),
        Some(Some(verb)) if word.starts_with('-') => flags(verb),
        Some(Some(verb)) => {
            let words: Vec<&str> = before.filter(|word| !word.starts_with('-')).collect();
            operands(verb, &words, control)
        }
    };
    all.retain(|candidate| candidate.starts_with(word));
    all.sort();
    all.dedup();
    all
}

fn verb_names() -> Vec<String> {
    VERBS.iter().map(|verb| verb.name.into()).collect()
}

/// The flags of a verb, as its usage has them.
fn flags(verb: &Verb) -> Vec<String> {
    let words = verb
        .usage
        .split(|it: char| it.is_whitespace() || "[]|".contains(it));
    let flags = words.filter(|word| word.starts_with('-') && word.len() > 1);
    flags.map(String::from).collect()
}

/// What may stand behind `words` of a verb.
fn operands(verb: &Verb, words: &[&str], control: &dyn Control) -> Vec<String> {
    let keyword = |word: &str| Vec::from([String::from(word)]);
    let named = words.iter().position(|word| ["to", "as"].contains(word));
    match (verb.operand, words) {
        (Operand::Instance, _) => control.instance_names(),
        (Operand::Segment, []) => ["add", "rm", "up", "down"].map(String::from).into(),
        (Operand::Segment, ["add", ..]) => Vec::new(),
        (Operand::Segment, _) => control.segment_names(),
        (Operand::Snapshot, []) => control.snapshot_names(),
        (Operand::Snapshot, [_]) => keyword("as"),
        (Operand::SnapshotOrInstance, ["rm", ..]) => control.snapshot_names(),
        // A new name is the operator's to choose.
        (Operand::Snapshot | Operand::SnapshotOrInstance | Operand::Original, _)
            if named.is_some() =>
        {
            Vec::new()
        }
        (Operand::SnapshotOrInstance, _) => {
            let mut names = control.instance_names();
            names.extend(keyword(if words.is_empty() { "rm" } else { "to" }));
            names
        }
        (Operand::Original, _) => {
            let mut names = control.instance_names();
            if !words.is_empty() {
                names.extend(keyword("as"));
            }
            names
        }
        (Operand::Verb, _) => verb_names(),
        (Operand::Snapshot | Operand::None, _) => Vec::new(),
    }
}
