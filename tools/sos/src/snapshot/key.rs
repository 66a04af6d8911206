//! Files with a node's secret, from which its keys are derived.

use std::path::Path;

use anyhow::{Context, Result};
use sos_core::keys::NodeKeys;

/// The keys of a node by its secret's file.
///
/// # Errors
/// When it cannot be read or holds no secret; the text says how to make one.
pub fn read(file: &Path) -> Result<NodeKeys> {
    let shown = file.display();
    let given = std::fs::read(file).with_context(|| format!("read the secret {shown}"))?;
    NodeKeys::read(&given).with_context(|| {
        format!(
            "{shown} holds no secret, which is 32 bytes or 64 hexadecimal digits; \
             `head -c 32 /dev/urandom > FILE` makes one"
        )
    })
}
