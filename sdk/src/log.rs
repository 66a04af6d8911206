//! The instance's log, which `logs NAME` in the shell shows: [`error!`](crate::error!),
//! [`warn!`](crate::warn!), [`info!`](crate::info!), [`debug!`](crate::debug!).

use alloc::borrow::Cow;
use alloc::fmt::format;
use core::fmt;

use crate::sys;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// The service cannot do what it was asked to do.
    Error = sos_abi::LOG_ERROR,
    /// Something is odd but the service goes on.
    Warning = sos_abi::LOG_WARNING,
    /// What an operator wants to see.
    Information = sos_abi::LOG_INFORMATION,
    /// What a developer wants to see.
    Debug = sos_abi::LOG_DEBUG,
}

/// Appends text to the log, a line for each line end. The macros call it.
pub fn write(level: Level, text: fmt::Arguments<'_>) {
    let text = match text.as_str() {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(format(text)),
    };
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match sys::log(level as u32, rest) {
            Ok(taken @ 1..) => rest = &rest[taken.min(rest.len())..],
            // There is no other place to report to.
            Ok(0) | Err(_) => break,
        }
    }
}

/// Logs that the service cannot do what it was asked to do; takes what `format!` takes.
#[macro_export]
macro_rules! error {
    ($($text:tt)+) => {
        $crate::log::write($crate::log::Level::Error, format_args!($($text)+))
    };
}

/// Logs that something is odd but the service goes on; takes what `format!` takes.
#[macro_export]
macro_rules! warn {
    ($($text:tt)+) => {
        $crate::log::write($crate::log::Level::Warning, format_args!($($text)+))
    };
}

/// Logs what an operator wants to see; takes what `format!` takes.
///
/// ```no_run
/// let port = 80;
/// sos_sdk::info!("serving on port {port}");
/// ```
#[macro_export]
macro_rules! info {
    ($($text:tt)+) => {
        $crate::log::write($crate::log::Level::Information, format_args!($($text)+))
    };
}

/// Logs what a developer wants to see; takes what `format!` takes.
#[macro_export]
macro_rules! debug {
    ($($text:tt)+) => {
        $crate::log::write($crate::log::Level::Debug, format_args!($($text)+))
    };
}
