//! On which node of several an instance starts: [`Placement`].

use std::str::FromStr;

/// Which node an instance starts on, as `web=node2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The instance.
    pub instance: String,
    /// The node's name.
    pub node: String,
}

impl FromStr for Placement {
    type Err = String;

    fn from_str(text: &str) -> Result<Placement, String> {
        match text.split_once('=') {
            Some((instance, node)) if !instance.is_empty() && !node.is_empty() => Ok(Placement {
                instance: instance.to_string(),
                node: node.to_string(),
            }),
            _ => Err("write INSTANCE=NODE, such as web=node2".to_string()),
        }
    }
}
