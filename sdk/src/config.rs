//! Arguments and configuration from the manifest.
//!
//! ```no_run
//! use sos_sdk::config;
//!
//! let port: u16 = config::parse("port").unwrap_or(80);
//! let store = config::get("store").unwrap_or_else(|| "10.1.0.2:7000".into());
//! for argument in sos_sdk::args() {
//!     sos_sdk::info!("argument {argument}, port {port}, store {store}");
//! }
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

use crate::sys;

/// The instance's arguments.
pub fn args() -> Vec<String> {
    let count = sys::args_count().unwrap_or(0);
    (0..count)
        .map_while(|index| sys::arg_get(index).ok())
        .collect()
}

/// The configuration value of `key`, if the manifest sets it.
pub fn get(key: &str) -> Option<String> {
    sys::config_get(key).ok()
}

/// The configuration value of `key` as a `T`. A value that is none is logged and counts as absent.
pub fn parse<T: FromStr>(key: &str) -> Option<T> {
    let value = get(key)?;
    let parsed = value.parse().ok();
    if parsed.is_none() {
        crate::warn!("configuration: {key} = \"{value}\" cannot be read; using the default");
    }
    parsed
}

/// The keys that the manifest sets, sorted.
pub fn keys() -> Vec<String> {
    (0..)
        .map_while(|index| sys::config_key(index).ok())
        .collect()
}
