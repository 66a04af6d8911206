//! The form of a manifest file, key by key, and its translation into core's plain data.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde::Deserialize;
use sos_core::image::{
    Attachment, Autostart, BlobHash, ForwardProtocol, ForwardSpec, InstanceLimits, InstanceSpec,
    LibrarySpec, LinkSpec, Manifest, NodeSpec, PortSpec, RestartPolicy, SwitchSpec,
};

use super::Placement;
use super::guest::{FileEntry, FileSources, HealthFile, Preopens, expand_files};
use super::values::{Address, Listen, Mac, OneOrMany, Size, Table, Target, Text};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    name: String,
    #[serde(default)]
    switch: Table<SwitchFile>,
    #[serde(default)]
    link: Table<LinkFile>,
    #[serde(default)]
    instance: Table<InstanceFile>,
    #[serde(default)]
    forward: Vec<ForwardFile>,
    node: Option<NodeFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchFile {
    uplink: Option<String>,
    mtu: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkFile {
    mtu: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InstanceFile {
    module: String,
    #[serde(default)]
    libraries: Table<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Table<Text>,
    #[serde(default)]
    files: Table<FileEntry>,
    preopen: Option<Preopens>,
    #[serde(default)]
    listen: OneOrMany<Listen>,
    autostart: Option<bool>,
    node: Option<String>,
    #[serde(default)]
    restart: RestartFile,
    health: Option<HealthFile>,
    #[serde(default)]
    limits: LimitsFile,
    #[serde(default)]
    port: Table<PortFile>,
    #[serde(default)]
    config: Table<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RestartFile {
    #[default]
    Never,
    OnFailure,
    Always,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsFile {
    memory: Option<Size>,
    tables: Option<u64>,
    stack: Option<Size>,
    call_depth: Option<u64>,
    cpu_shares: Option<u32>,
    sockets: Option<u32>,
    log: Option<Size>,
    file_bytes: Option<Size>,
    files: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PortFile {
    switch: Option<String>,
    link: Option<String>,
    mac: Option<Mac>,
    #[serde(default)]
    address: OneOrMany<Address>,
    #[serde(default)]
    gateway: OneOrMany<IpAddr>,
    #[serde(default)]
    dns: OneOrMany<IpAddr>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    switch: String,
    address: Option<OneOrMany<Address>>,
    #[serde(default)]
    gateway: OneOrMany<IpAddr>,
    port: Option<u16>,
    #[serde(default)]
    peers: OneOrMany<SocketAddr>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForwardFile {
    host: u16,
    to: Target,
    #[serde(default)]
    protocol: ProtocolFile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ProtocolFile {
    #[default]
    Tcp,
    Udp,
}

/// What the form alone cannot refuse.
#[derive(Debug)]
pub struct FormError {
    /// The keys that lead to the fault.
    pub path: Vec<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl ManifestFile {
    /// On which nodes instances start, where the file says so.
    pub fn placements(&self) -> Vec<Placement> {
        let instances = self.instance.0.iter();
        let placed = instances.filter_map(|(name, file)| {
            Some(Placement {
                instance: name.clone(),
                node: file.node.clone()?,
            })
        });
        placed.collect()
    }

    /// Translates the file, whose relative paths start at `folder`. The hashes of modules and files
    /// stay zero until they are read; `sources` says where the files' contents are.
    pub fn into_manifest(
        self,
        folder: &Path,
        sources: &mut FileSources,
    ) -> Result<Manifest, FormError> {
        let switches = self.switch.0.into_iter().map(|(name, file)| SwitchSpec {
            name,
            uplink: file.uplink,
            mtu_bytes: file.mtu,
        });
        let links = self.link.0.into_iter().map(|(name, file)| LinkSpec {
            name,
            mtu_bytes: file.mtu,
        });
        let instances = self
            .instance
            .0
            .into_iter()
            .map(|(name, file)| file.into_spec(name, folder, sources));
        Ok(Manifest {
            name: self.name,
            switches: switches.collect(),
            links: links.collect(),
            instances: instances.collect::<Result<_, _>>()?,
            forwards: self
                .forward
                .into_iter()
                .map(ForwardFile::into_spec)
                .collect(),
            node: self.node.map(NodeFile::into_spec),
        })
    }
}

impl InstanceFile {
    fn into_spec(
        self,
        name: String,
        folder: &Path,
        sources: &mut FileSources,
    ) -> Result<InstanceSpec, FormError> {
        let usual = InstanceSpec::new(&name, BlobHash::default(), &self.module);
        let pairs = |table: Table<Text>| {
            let pairs = table.0.into_iter();
            pairs.map(|(key, value)| (key, value.0)).collect()
        };
        let libraries = self.libraries.0.into_iter();
        let libraries = libraries.map(|(name, module_name)| LibrarySpec {
            name,
            module: BlobHash::default(),
            module_name,
        });
        let health = self.health.map(|health| health.into_spec(&name));
        let ports = self
            .port
            .0
            .into_iter()
            .map(|(port, file)| file.into_spec(&name, port));
        Ok(InstanceSpec {
            ports: ports.collect::<Result<_, _>>()?,
            libraries: libraries.collect(),
            arguments: self.args,
            environment: pairs(self.env),
            files: expand_files(&name, self.files.0, folder, sources)?,
            preopens: self.preopen.map_or(usual.preopens.clone(), |list| list.0),
            listeners: self.listen.0.into_iter().map(|it| it.0).collect(),
            health: health.transpose()?,
            autostart: match self.autostart {
                Some(false) => Autostart::Manual,
                None | Some(true) => Autostart::AtBoot,
            },
            restart: match self.restart {
                RestartFile::Never => RestartPolicy::Never,
                RestartFile::OnFailure => RestartPolicy::OnFailure,
                RestartFile::Always => RestartPolicy::Always,
            },
            limits: self.limits.into_limits(),
            config: pairs(self.config),
            ..usual
        })
    }
}

impl LimitsFile {
    fn into_limits(self) -> InstanceLimits {
        let usual = InstanceLimits::default();
        let bytes = |size: Option<Size>, usual| size.map_or(usual, |size| size.0);
        InstanceLimits {
            memory_bytes: bytes(self.memory, usual.memory_bytes),
            table_elements: self.tables.unwrap_or(usual.table_elements),
            stack_bytes: bytes(self.stack, usual.stack_bytes),
            call_depth: self.call_depth.unwrap_or(usual.call_depth),
            cpu_shares: self.cpu_shares.unwrap_or(usual.cpu_shares),
            sockets: self.sockets.unwrap_or(usual.sockets),
            log_bytes: bytes(self.log, usual.log_bytes),
            file_bytes: bytes(self.file_bytes, usual.file_bytes),
            files: self.files.unwrap_or(usual.files),
        }
    }
}

impl PortFile {
    fn into_spec(self, instance: &str, name: String) -> Result<PortSpec, FormError> {
        let attach = match (self.switch, self.link) {
            (Some(switch), None) => Attachment::Switch(switch),
            (None, Some(link)) => Attachment::Link(link),
            (switch, _) => {
                let count = if switch.is_some() { "both" } else { "neither" };
                return Err(FormError {
                    path: ["instance", instance, "port", &name]
                        .map(str::to_string)
                        .to_vec(),
                    message: format!(
                        "port `{instance}.{name}` has {count} of `switch` and `link`: plug it into one"
                    ),
                });
            }
        };
        Ok(PortSpec {
            name,
            attach,
            mac: self.mac.map(|mac| mac.0),
            addresses: self
                .address
                .0
                .into_iter()
                .map(|address| address.0)
                .collect(),
            gateways: self.gateway.0,
            dns: self.dns.0,
        })
    }
}

impl NodeFile {
    fn into_spec(self) -> NodeSpec {
        let usual = NodeSpec::new(&self.switch);
        let addresses = self.address.map(|list| list.0.into_iter());
        NodeSpec {
            addresses: addresses.map_or(usual.addresses, |list| list.map(|it| it.0).collect()),
            gateways: self.gateway.0,
            port: self.port.unwrap_or(usual.port),
            peers: self.peers.0,
            switch: self.switch,
        }
    }
}

impl ForwardFile {
    fn into_spec(self) -> ForwardSpec {
        ForwardSpec {
            protocol: match self.protocol {
                ProtocolFile::Tcp => ForwardProtocol::Tcp,
                ProtocolFile::Udp => ForwardProtocol::Udp,
            },
            host_port: self.host,
            instance: self.to.instance,
            instance_port: self.to.port,
        }
    }
}
