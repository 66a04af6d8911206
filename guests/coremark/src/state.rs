//! A state machine that tells integers, decimals and numbers with exponents from other words.

use crate::crc::Crc16;

const TEXT_BYTES: usize = 400;
const WORDS: [&[u8]; 8] = [
    b"5012",
    b"+1.25",
    b"-9.6e+3",
    b"T0.3e-1F",
    b"12e",
    b"7.5E7",
    b"--3",
    b"88.120",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Sign,
    Integer,
    Fraction,
    ExponentMark,
    ExponentSign,
    Exponent,
    Invalid,
}

const STATES: usize = 8;

/// Words of all kinds, separated by commas.
pub fn sample_text() -> [u8; TEXT_BYTES] {
    let mut text = [b','; TEXT_BYTES];
    let mut at = 0;
    for word in WORDS.iter().cycle() {
        if at + word.len() + 1 > TEXT_BYTES {
            break;
        }
        text[at..at + word.len()].copy_from_slice(word);
        at += word.len() + 1;
    }
    text
}

/// Counts the words by their last state, in the text and in a damaged form of it.
pub fn exercise(text: &mut [u8; TEXT_BYTES], seed: u16) -> u16 {
    let mut crc = Crc16::default();
    let step = 3 + seed as usize % 13;
    count(text).iter().for_each(|&words| crc.add(words));
    damage(text, step, seed);
    count(text).iter().for_each(|&words| crc.add(words));
    damage(text, step, seed);
    crc.value()
}

/// Changes every `step`-th byte but the separators; twice gives the text back.
fn damage(text: &mut [u8], step: usize, seed: u16) {
    let flip = (seed as u8 & 0x0F) | 0x80;
    for byte in text.iter_mut().step_by(step) {
        if *byte != b',' {
            *byte ^= flip;
        }
    }
}

fn count(text: &[u8]) -> [u16; STATES] {
    let mut words = [0; STATES];
    let mut state = State::Start;
    for &byte in text {
        if byte == b',' {
            words[state as usize] += 1;
            state = State::Start;
        } else {
            state = next(state, byte);
        }
    }
    words
}

fn next(state: State, byte: u8) -> State {
    match (state, byte) {
        (State::Start, b'+' | b'-') => State::Sign,
        (State::Start | State::Sign | State::Integer, b'0'..=b'9') => State::Integer,
        (State::Start | State::Sign | State::Integer, b'.') => State::Fraction,
        (State::Fraction, b'0'..=b'9') => State::Fraction,
        (State::Integer | State::Fraction, b'e' | b'E') => State::ExponentMark,
        (State::ExponentMark, b'+' | b'-') => State::ExponentSign,
        (State::ExponentMark | State::ExponentSign | State::Exponent, b'0'..=b'9') => {
            State::Exponent
        }
        _ => State::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        let words = count(b"12,-1.5,1e+3,x,+,");
        assert_eq!(words[State::Integer as usize], 1);
        assert_eq!(words[State::Fraction as usize], 1);
        assert_eq!(words[State::Exponent as usize], 1);
        assert_eq!(words[State::Invalid as usize], 1);
        assert_eq!(words[State::Sign as usize], 1);
    }

    #[test]
    fn damage_is_undone_by_damage() {
        let mut text = sample_text();
        exercise(&mut text, 1234);
        assert_eq!(text, sample_text());
    }
}
