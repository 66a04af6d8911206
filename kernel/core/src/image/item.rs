//! The named things of a manifest, which its errors speak of.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// A named thing of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The manifest itself.
    Manifest(String),
    /// A switch.
    Switch(String),
    /// A link.
    Link(String),
    /// An instance.
    Instance(String),
    /// A port of an instance.
    Port {
        /// The instance.
        instance: String,
        /// The port.
        port: String,
    },
    /// A configuration key of an instance.
    Config {
        /// The instance.
        instance: String,
        /// The key.
        key: String,
    },
    /// A library module of an instance.
    Library {
        /// The instance.
        instance: String,
        /// The library.
        library: String,
    },
    /// An entry of an instance's environment.
    Environment {
        /// The instance.
        instance: String,
        /// The key.
        key: String,
    },
    /// An entry of an instance's files.
    File {
        /// The instance.
        instance: String,
        /// Where it lies in the instance.
        path: String,
    },
    /// A directory that an instance finds open.
    Preopen {
        /// The instance.
        instance: String,
        /// What the program is told that it is called.
        name: String,
    },
    /// A socket that an instance finds listening.
    Listener {
        /// The instance.
        instance: String,
        /// The TCP port.
        port: u16,
    },
    /// The health check of an instance.
    Health(String),
    /// The node itself on its network.
    Node,
}

impl Item {
    /// The keys that lead to it in a manifest file.
    pub fn path(&self) -> Vec<&str> {
        match self {
            Item::Manifest(_) => vec!["name"],
            Item::Switch(name) => vec!["switch", name],
            Item::Link(name) => vec!["link", name],
            Item::Instance(name) => vec!["instance", name],
            Item::Port { instance, port } => vec!["instance", instance, "port", port],
            Item::Config { instance, key } => vec!["instance", instance, "config", key],
            Item::Library { instance, library } => {
                vec!["instance", instance, "libraries", library]
            }
            Item::Environment { instance, key } => vec!["instance", instance, "env", key],
            Item::File { instance, path } => vec!["instance", instance, "files", path],
            Item::Preopen { instance, name } => vec!["instance", instance, "preopen", name],
            Item::Listener { instance, .. } => vec!["instance", instance, "listen"],
            Item::Health(instance) => vec!["instance", instance, "health"],
            Item::Node => vec!["node"],
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Manifest(name) => write!(formatter, "manifest `{name}`"),
            Item::Switch(name) => write!(formatter, "switch `{name}`"),
            Item::Link(name) => write!(formatter, "link `{name}`"),
            Item::Instance(name) => write!(formatter, "instance `{name}`"),
            Item::Port { instance, port } => write!(formatter, "port `{instance}.{port}`"),
            Item::Config { instance, key } => {
                write!(
                    formatter,
                    "configuration key `{key}` of instance `{instance}`"
                )
            }
            Item::Library { instance, library } => {
                write!(formatter, "library `{library}` of instance `{instance}`")
            }
            Item::Environment { instance, key } => write!(
                formatter,
                "environment entry `{key}` of instance `{instance}`"
            ),
            Item::File { instance, path } => {
                write!(formatter, "file `{path}` of instance `{instance}`")
            }
            Item::Preopen { instance, name } => {
                write!(formatter, "preopened `{name}` of instance `{instance}`")
            }
            Item::Listener { instance, port } => {
                write!(formatter, "listener on {port} of instance `{instance}`")
            }
            Item::Health(instance) => write!(formatter, "health check of instance `{instance}`"),
            Item::Node => formatter.write_str("`node`"),
        }
    }
}
