//! Where a program was when it trapped: its calls by name, as plain data.
//!
//! The engine keeps a bounded part of the chain ([`CallTrace`]); names are read from the module's
//! bytes only now, and are claims of whoever built the module: bounded, and without control
//! characters.

use crate::limits;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use serde::{Deserialize, Serialize};
use sos_engine::CallTrace;

/// The calls that a program was inside of, innermost first. Of a deep chain the middle is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Backtrace {
    frames: Vec<Frame>,
    depth: usize,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// How many calls are inside of it.
    pub depth: usize,
    /// What was called.
    pub place: Place,
}

/// What was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// An import that the kernel carries out: its module and name.
    HostCall(Box<str>),
    /// A function of a module.
    Function {
        /// The module's name in its set, when there are several.
        module: Option<Box<str>>,
        /// The function's index in its module.
        index: u32,
        /// Its name, when the module tells.
        name: Option<Box<str>>,
    },
}

/// A module that calls may be in.
pub(super) struct Traced<'a> {
    /// Its name in its set, when there are several.
    pub name: Option<&'a str>,
    pub module: &'a sos_engine::Module,
    pub bytes: &'a [u8],
}

impl Backtrace {
    /// Names the calls of `trace`, which are in `modules`; `host_call` is inside all of them.
    pub(super) fn new(
        trace: &CallTrace,
        modules: &[Traced<'_>],
        host_call: Option<Box<str>>,
    ) -> Backtrace {
        let inner = usize::from(host_call.is_some());
        let mut frames = Vec::new();
        frames.extend(host_call.map(|name| Frame {
            depth: 0,
            place: Place::HostCall(name),
        }));
        let engine_modules: Vec<_> = modules.iter().map(|traced| traced.module).collect();
        let calls = trace.resolve(&engine_modules);
        frames.extend(calls.iter().map(|call| Frame {
            depth: call.depth + inner,
            place: Place::Function {
                module: modules[call.module].name.map(Box::from),
                index: call.function,
                name: None,
            },
        }));
        for (module, traced) in modules.iter().enumerate() {
            let places: Vec<usize> = (0..calls.len())
                .filter(|&place| calls[place].module == module)
                .collect();
            let wanted: Vec<u32> = places.iter().map(|&place| calls[place].function).collect();
            let names = match wanted.is_empty() {
                true => Vec::new(),
                false => sos_engine::function_names(traced.bytes, &wanted),
            };
            for (place, found) in places.into_iter().zip(names) {
                if let Place::Function { name, .. } = &mut frames[place + inner].place {
                    *name = found.map(readable);
                }
            }
        }
        Backtrace {
            frames,
            depth: trace.depth() + inner,
        }
    }

    /// The calls that are kept, innermost first.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// How many calls there were, those left out included.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Whether [`Backtrace::new`] could have made it: one that was stored is a claim. Without the right bounds
    /// it would reach an operator's terminal as it is.
    pub(super) fn is_sound(&self) -> bool {
        let most = CallTrace::KEPT_CALLS + 1;
        self.frames.len() <= most
            && self.frames.iter().all(|frame| frame.place.is_sound())
            && self.frames.iter().all(|frame| frame.depth < self.depth)
            && self
                .frames
                .is_sorted_by(|inner, outer| inner.depth < outer.depth)
    }

    /// One line for each call, and one that tells how many are left out.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let left_out = self.depth.saturating_sub(self.frames.len());
        let mut expected = 0;
        self.frames.iter().flat_map(move |frame| {
            let gap = frame.depth > expected;
            expected = frame.depth + 1;
            let gap = gap.then(|| alloc::format!("... {left_out} calls left out ..."));
            gap.into_iter().chain([alloc::format!("{frame}")])
        })
    }
}

impl Place {
    fn is_sound(&self) -> bool {
        let is_sound = |text: &str| {
            text.len() <= limits::FUNCTION_NAME_BYTES && !text.contains(char::is_control)
        };
        match self {
            Place::HostCall(name) => is_sound(name),
            Place::Function { module, name, .. } => [module, name]
                .into_iter()
                .flatten()
                .all(|text| is_sound(text)),
        }
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:<3}{}", self.depth, self.place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::HostCall(name) => write!(f, "{name} (host call)"),
            Place::Function {
                module,
                index,
                name,
            } => {
                match name {
                    Some(name) => write!(f, "{name} (function {index}")?,
                    None => write!(f, "(function {index}")?,
                }
                match module {
                    Some(module) => write!(f, " of module '{module}')"),
                    None => f.write_char(')'),
                }
            }
        }
    }
}

/// A name for people: Rust's mangling undone, at most [`limits::FUNCTION_NAME_BYTES`] long.
pub(super) fn readable(name: &str) -> Box<str> {
    let mut text = Bounded(String::new());
    // An error only means that the bound is reached: what fits is kept.
    let _ = write!(text, "{:#}", rustc_demangle::demangle(name));
    text.0.into_boxed_str()
}

/// Text up to the bound, without control characters.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.len() + character.len_utf8() > limits::FUNCTION_NAME_BYTES {
                return Err(fmt::Error);
            }
            self.0.push(match character.is_control() {
                true => '?',
                false => character,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_demangled_bounded_and_harmless() {
        let mangled = "_ZN4main5start17h0123456789abcdefE";
        assert_eq!(&*readable(mangled), "main::start");
        assert_eq!(&*readable("\u{1b}[2Jx"), "?[2Jx");
        let long = "é".repeat(limits::FUNCTION_NAME_BYTES);
        assert!(readable(&long).len() <= limits::FUNCTION_NAME_BYTES);
    }

    fn stored(depths: &[usize], depth: usize, name: &str) -> Backtrace {
        let frame = |&depth: &usize| Frame {
            depth,
            place: Place::Function {
                module: None,
                index: 0,
                name: Some(name.into()),
            },
        };
        Backtrace {
            frames: depths.iter().map(frame).collect(),
            depth,
        }
    }

    #[test]
    fn a_stored_backtrace_is_believed_only_as_far_as_one_could_be_made() {
        assert!(Backtrace::default().is_sound());
        assert!(stored(&[0, 1, 70], 71, "main").is_sound());
        let many: Vec<usize> = (0..CallTrace::KEPT_CALLS + 2).collect();
        let long = "x".repeat(limits::FUNCTION_NAME_BYTES + 1);
        for unsound in [
            stored(&[0, 70], 70, "main"),
            stored(&[0, usize::MAX], usize::MAX, "main"),
            stored(&[1, 0], 2, "main"),
            stored(&[1, 1], 2, "main"),
            stored(&[0], 1, "\u{1b}[2J"),
            stored(&[0], 1, &long),
            stored(&many, many.len(), "main"),
        ] {
            assert!(!unsound.is_sound(), "{unsound:?}");
        }
    }
}
