//! The kernel's command line (`-append`): words separated by blanks, `key=value` or bare.

/// What becomes of the machine after an epitaph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AfterPanic {
    /// Stand still, so that a debugger can look.
    Halt,
    /// Leave QEMU with a failure code, or reset where there is no such device.
    #[default]
    Exit,
}

/// Options that the machine itself understands; core and the tests read the rest by [`value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// `panic=halt` or `panic=exit`.
    pub after_panic: AfterPanic,
}

impl Options {
    /// Reads them; unknown words and values are passed over, as other parts own them.
    pub fn read(command_line: &str) -> Self {
        let after_panic = match value(command_line, "panic") {
            Some("halt") => AfterPanic::Halt,
            _ => AfterPanic::Exit,
        };
        Self { after_panic }
    }
}

/// The value of the last word `key=value`, if there is one.
pub fn value<'a>(command_line: &'a str, key: &str) -> Option<&'a str> {
    command_line
        .split_ascii_whitespace()
        .rev()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}
