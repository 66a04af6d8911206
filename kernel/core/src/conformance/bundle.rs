//! Several scripts in one file, as a boot module of a node that tests itself.

use super::Script;
use alloc::vec::Vec;
use core::fmt;

/// The first bytes of a bundle.
const MAGIC: [u8; 8] = *b"SOSSPEC\n";

/// The scripts of a bundle; each is decoded when it is taken, so that one at a time is in memory.
#[derive(Debug, Clone)]
pub struct Bundle<'bytes> {
    environment: &'bytes [u8],
    rest: &'bytes [u8],
}

/// Why a bundle cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleError {
    /// It does not begin as one.
    NotABundle,
    /// It ends in the midst of a script.
    Truncated,
    /// A script does not decode.
    Undecodable,
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BundleError::NotABundle => "not a bundle of test scripts; make one by the test `spec`",
            BundleError::Truncated => "the bundle of test scripts is truncated",
            BundleError::Undecodable => "a test script does not decode; make the bundle again",
        })
    }
}

/// Packs scripts and the module that they import from as `spectest`.
pub fn encode(environment: &[u8], scripts: &[Script]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    let mut put = |part: &[u8]| {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    };
    put(environment);
    for script in scripts {
        // Plain data of these types always encodes: there is no map and no unknown length.
        put(&postcard::to_allocvec(script).unwrap_or_default());
    }
    bytes
}

impl<'bytes> Bundle<'bytes> {
    /// Opens a bundle.
    ///
    /// # Errors
    /// [`BundleError::NotABundle`] or [`BundleError::Truncated`].
    pub fn open(bytes: &'bytes [u8]) -> Result<Bundle<'bytes>, BundleError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(BundleError::NotABundle)?;
        let (environment, rest) = split(rest)?;
        Ok(Bundle { environment, rest })
    }

    /// The module that scripts import from as `spectest`.
    pub fn environment(&self) -> &'bytes [u8] {
        self.environment
    }

    fn take(&mut self) -> Result<Script, BundleError> {
        let (body, rest) = split(core::mem::take(&mut self.rest))?;
        let script = postcard::from_bytes(body).map_err(|_| BundleError::Undecodable)?;
        self.rest = rest;
        Ok(script)
    }
}

/// Cuts the next part off: its length in eight bytes, then itself.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), BundleError> {
    let (length, rest) = bytes.split_first_chunk().ok_or(BundleError::Truncated)?;
    let length = usize::try_from(u64::from_le_bytes(*length));
    let length = length.map_err(|_| BundleError::Truncated)?;
    rest.split_at_checked(length).ok_or(BundleError::Truncated)
}

impl Iterator for Bundle<'_> {
    type Item = Result<Script, BundleError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.take())
    }
}
