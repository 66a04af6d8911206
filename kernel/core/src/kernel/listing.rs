//! Records, fabric and stacks as the plain rows of reports.

use super::Kernel;
use super::record::{Activity, Ended, Held, MovingStage, Record, State};
use crate::control::{
    InstanceDetail, InstanceRow, InterfaceRow, NetworkDetail, NodeDetail, PortRow, SegmentRow,
    SocketRow,
};
use crate::image::{HealthCheck, HealthSpec};
use crate::machine::{Machine, Time};
use crate::migrate::NodeId;
use crate::net::fabric::{PortCounters, PortInfo, PortState, SegmentKind};
use crate::net::stack::{DhcpState, InterfaceInfo, Protocol, SocketInfo};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A station address as `02:50:53:00:00:01`.
pub(super) fn mac_text(mac: &[u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

impl Kernel {
    /// `ls`.
    pub(super) fn instance_rows(&self) -> Vec<InstanceRow> {
        let now = self.clock.now();
        let rows = self
            .occupied()
            .map(|(_, record)| self.instance_row(record, now));
        let mut rows: Vec<InstanceRow> = rows.collect();
        rows.sort_by(|left, right| left.name.cmp(&right.name));
        rows
    }

    fn instance_row(&self, record: &Record, now: Time) -> InstanceRow {
        let (state, mut detail) = state_text(record);
        if let State::Loading(_) = record.state {
            let percent = self.programs.percent(&record.spec);
            detail = format!("{percent} % of its program translated");
        }
        let mut row = InstanceRow {
            name: record.spec.name.clone(),
            state,
            detail,
            module: record.spec.module_name.clone(),
            cpu_nanos: record.usage.cpu_nanos,
            resident_bytes: 0,
            memory_bytes: 0,
            received_frames: 0,
            sent_frames: 0,
            uptime_nanos: 0,
            restarts: record.restarts,
            health: String::new(),
            addresses: Vec::new(),
        };
        if let State::Live(live) = &record.state {
            row.resident_bytes = live.execution.resident_bytes();
            row.memory_bytes = live.execution.memory_bytes();
            row.uptime_nanos = now.since(record.usage.started).as_nanos() as u64;
            if let (Some(health), Some(spec)) = (&live.health, &record.spec.health) {
                row.health = health.text(spec);
            }
            // What the node itself asks is not traffic.
            for (&port, _) in live.ports.iter().zip(&record.spec.ports) {
                let counters = self.fabric.counters(port);
                row.received_frames += counters.received_frames;
                row.sent_frames += counters.sent_frames;
            }
            for interface in live.execution.guest().stack.interfaces() {
                let address = interface
                    .addresses
                    .iter()
                    .find(|(address, _)| !is_link_local(address));
                row.addresses
                    .extend(address.map(|(address, _)| address.to_string()));
            }
        }
        row
    }

    /// `info`.
    pub(super) fn instance_detail(&self, key: u32) -> InstanceDetail {
        let record = &self.records[key as usize];
        let (fuel, log_dropped) = match &record.state {
            State::Live(live) => (
                live.execution.fuel_used(),
                live.execution.guest().log.dropped_bytes(),
            ),
            state => (
                0,
                state
                    .remains()
                    .map_or(0, |remains| remains.log.dropped_bytes()),
            ),
        };
        InstanceDetail {
            row: self.instance_row(record, self.clock.now()),
            instance: record.instance.to_string(),
            epoch: record.epoch,
            libraries: record
                .spec
                .libraries
                .iter()
                .map(|library| (library.name.clone(), library.module_name.clone()))
                .collect(),
            module_hash: record.spec.module.to_string(),
            module_bytes: self.programs.bytes(&record.spec),
            translate_nanos: self.programs.translate_nanos(&record.spec),
            translated_bytes: self.programs.translated_bytes(&record.spec),
            module_instances: self.instances_of(&record.spec),
            start_nanos: record.usage.start_nanos,
            freeze_nanos: record.usage.freeze_nanos,
            restart: record.spec.restart.to_string(),
            next_restart_nanos: record
                .restart_due
                .map(|due| due.since(self.clock.now()).as_nanos() as u64),
            last_end: record.last_end.clone(),
            health_check: record
                .spec
                .health
                .as_ref()
                .map_or(String::new(), check_text),
            arguments: record.spec.arguments.clone(),
            config: record.spec.config.clone(),
            memory_limit_bytes: record.spec.limits.memory_bytes,
            cpu_shares: record.spec.limits.cpu_shares,
            socket_limit: record.spec.limits.sockets,
            fuel,
            slices: record.usage.slices,
            log_dropped,
            backtrace: backtrace(record),
            network: self.network_detail(key),
        }
    }

    /// `net`.
    pub(super) fn network_detail(&self, key: u32) -> NetworkDetail {
        let record = &self.records[key as usize];
        let mut detail = NetworkDetail {
            instance: record.spec.name.clone(),
            interfaces: Vec::new(),
            sockets: Vec::new(),
        };
        if let State::Live(live) = &record.state {
            let guest = live.execution.guest();
            for (info, port) in guest.stack.interfaces().iter().zip(&record.spec.ports) {
                detail.interfaces.push(interface_row(
                    info,
                    port.attach.segment().unwrap_or("unplugged"),
                ));
            }
            detail
                .sockets
                .extend(guest.stack.sockets().iter().map(socket_row));
        }
        detail
    }

    /// `switch` and `link`.
    pub(super) fn segment_rows(&self) -> Vec<SegmentRow> {
        let mut rows = Vec::new();
        for segment in self.fabric.segments(self.clock.now()) {
            let (kind, uplink) = match segment.kind {
                SegmentKind::Switch { uplink } => (
                    "switch",
                    uplink.map_or(String::new(), |nic| format!("nic{nic}")),
                ),
                SegmentKind::Link => ("link", String::new()),
            };
            let carried = segment.remotes.iter().map(|remote| {
                let node = self.node.name_of(NodeId(remote.id.0));
                port_row(node, String::new(), remote.counters)
            });
            let port_row =
                |port: &PortInfo| port_row(port.name.clone(), mac_text(&port.mac), port.counters);
            rows.push(SegmentRow {
                name: segment.name.clone(),
                kind: kind.into(),
                state: match segment.state {
                    PortState::Up => "up".into(),
                    PortState::Down => "down".into(),
                },
                uplink,
                mtu: segment.properties.mtu,
                ports: segment.ports.iter().map(port_row).collect(),
                network: segment.network.map_or(String::new(), |it| it.to_string()),
                carried: carried.collect(),
            });
        }
        rows
    }

    /// `uptime`.
    pub(super) fn node_detail(&self, machine: &dyn Machine) -> NodeDetail {
        let running = |(_, record): &(u32, &Record)| matches!(record.state, State::Live(_));
        NodeDetail {
            name: self.name.clone(),
            version: super::VERSION.into(),
            uptime_nanos: self.clock.now().as_nanos(),
            wall_nanos: self.clock.wall_nanos(),
            busy_nanos: self.busy_nanos,
            memory: machine.memory_stats(),
            instances: self.occupied().count(),
            running: self.occupied().filter(running).count(),
            nics: self.nics.iter().map(|nic| mac_text(&nic.mac)).collect(),
        }
    }
}

fn port_row(name: String, mac: String, counters: PortCounters) -> PortRow {
    PortRow {
        name,
        mac,
        received_frames: counters.received_frames,
        received_bytes: counters.received_bytes,
        received_drops: counters.received_drops,
        sent_frames: counters.sent_frames,
        sent_bytes: counters.sent_bytes,
        sent_drops: counters.sent_drops,
    }
}

/// Where the instance trapped, if that is how it ended.
fn backtrace(record: &Record) -> Vec<String> {
    match &record.state {
        State::Ended(Ended::Trapped(trap), _) => trap.backtrace.lines().collect(),
        State::Ended(..) | State::Loading(_) | State::Live(_) => Vec::new(),
    }
}

/// `http on 80 /health every 5000 ms`, for `info`.
fn check_text(spec: &HealthSpec) -> String {
    let what = match &spec.check {
        HealthCheck::Tcp { port } => format!("tcp on {port}"),
        HealthCheck::Http { port, path } => format!("http on {port} {path}"),
    };
    let (interval, timeout) = (spec.interval_ms, spec.timeout_ms);
    format!("{what} every {interval} ms, timeout {timeout} ms")
}

fn is_link_local(address: &core::net::IpAddr) -> bool {
    match address {
        core::net::IpAddr::V4(address) => address.is_link_local(),
        core::net::IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn state_text(record: &Record) -> (String, String) {
    if let Some(moving) = record.moving {
        match moving.stage {
            MovingStage::Copied => {}
            MovingStage::Standing => return ("moving".into(), "handed over".into()),
            MovingStage::Arriving => return ("arriving".into(), String::new()),
            MovingStage::InDoubt(doubt) => return ("in-doubt".into(), doubt.to_string()),
        }
    }
    match &record.state {
        State::Ended(Ended::StartFailed(reason), _) => ("failed".into(), reason.clone()),
        State::Ended(ended, _) if record.restart_due.is_some() => {
            ("restarting".into(), ended.to_string())
        }
        State::Ended(ended, _) => (ended.word().into(), ended.to_string()),
        State::Loading(_) => ("loading".into(), String::new()),
        State::Live(live) => match live.activity {
            Activity::Runnable => ("running".into(), String::new()),
            Activity::Waiting => ("waiting".into(), blocked_on(live).into()),
            Activity::Paused(Held::Runnable) => ("paused".into(), "was running".into()),
            Activity::Paused(Held::Waiting) => {
                ("paused".into(), format!("was in {}", blocked_on(live)))
            }
            Activity::Standing(_) => ("moving".into(), String::new()),
            Activity::Stopping(_) => ("stopping".into(), "closing connections".into()),
        },
    }
}

fn blocked_on(live: &super::record::Live) -> &'static str {
    live.execution.guest().blocked_on().unwrap_or("")
}

fn interface_row(info: &InterfaceInfo, segment: &str) -> InterfaceRow {
    InterfaceRow {
        name: info.name.clone(),
        segment: segment.into(),
        mac: mac_text(&info.mac),
        mtu: info.mtu,
        addresses: info
            .addresses
            .iter()
            .map(|(address, length)| format!("{address}/{length}"))
            .collect(),
        gateways: info.gateway.iter().map(ToString::to_string).collect(),
        name_servers: info.dns.iter().map(ToString::to_string).collect(),
        dhcp: match &info.dhcp {
            DhcpState::Off => String::new(),
            DhcpState::Searching => "searching".into(),
            DhcpState::Bound { server, .. } => format!("from {server}"),
        },
    }
}

fn socket_row(info: &SocketInfo) -> SocketRow {
    let text = |address: &Option<core::net::SocketAddr>| {
        address.map_or(String::new(), |address| address.to_string())
    };
    SocketRow {
        protocol: match info.protocol {
            Protocol::Tcp => "tcp".into(),
            Protocol::Udp => "udp".into(),
            Protocol::Icmp => "icmp".into(),
            Protocol::Dns => "dns".into(),
        },
        state: info.state.into(),
        local: text(&info.local),
        peer: text(&info.peer),
        receive_queue: info.receive_queue,
        send_queue: info.send_queue,
    }
}
