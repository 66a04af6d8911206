//! Host calls in plain data: by the names under which they are imported, which stay what they are.
//!
//! `#[serde(with = "crate::instance::call_name")]` on a `HostCall`.

use alloc::string::String;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};
use sos_abi::HostCall;

/// Stores a call.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(call: &HostCall, serializer: S) -> Result<S::Ok, S::Error> {
    (call.module(), call.name()).serialize(serializer)
}

/// Reads a call that this kernel has.
///
/// # Errors
/// Those of the deserializer, and for a call that is not known.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HostCall, D::Error> {
    let (module, name) = <(String, String)>::deserialize(deserializer)?;
    HostCall::from_import(&module, &name).ok_or_else(|| D::Error::custom("unknown host call"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sos_abi::CallId;

    #[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    struct Call(#[serde(with = "super")] HostCall);

    #[test]
    fn calls_come_back_by_name_and_unknown_ones_are_refused() {
        let call = Call(CallId::Exit.into());
        let stored = postcard::to_allocvec(&call).unwrap();
        assert_eq!(stored, b"\x03sos\x04exit");
        assert_eq!(postcard::from_bytes::<Call>(&stored), Ok(call));
        assert!(postcard::from_bytes::<Call>(b"\x03sos\x04exxt").is_err());
        assert!(postcard::from_bytes::<Call>(b"\x03sos\x7fexit").is_err());
    }
}
