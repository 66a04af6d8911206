//! Reports as text for people: aligned columns ([`Table`]), units (`figures`), one line per fact.

mod figures;
mod moves;
mod table;

pub use figures::{bytes, span, stamp, wall};
pub use moves::migrations;
pub use table::Table;

use crate::control::{
    InstanceDetail, InstanceRow, InterfaceRow, KeptPages, KeptRow, MadeRow, NetworkDetail,
    NodeDetail, NodeRow, RemovedReport, SegmentRow, SnapshotRow, SocketRow,
};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

/// `ls`.
pub fn instances(rows: &[InstanceRow]) -> String {
    let mut table = Table::new(&[
        "NAME",
        "STATE",
        "CPU",
        "MEMORY",
        "UPTIME",
        "RESTARTS",
        "ADDRESSES",
        "DETAIL",
    ])
    .right(&[2, 3, 4, 5]);
    for row in rows {
        table.row(alloc::vec![
            row.name.clone(),
            row.state.clone(),
            span(row.cpu_nanos),
            bytes(row.resident_bytes),
            if row.uptime_nanos == 0 {
                "-".into()
            } else {
                span(row.uptime_nanos)
            },
            row.restarts.to_string(),
            if row.addresses.is_empty() {
                "-".into()
            } else {
                row.addresses.join(",")
            },
            match (row.detail.as_str(), row.health.as_str()) {
                (detail, "") => detail.into(),
                ("", health) => health.into(),
                (detail, health) => format!("{detail}; {health}"),
            },
        ]);
    }
    table.render()
}

/// `top`: `before` are the rows of the last reading, `elapsed_nanos` ago.
pub fn top(
    node: &NodeDetail,
    rows: &[InstanceRow],
    before: &[InstanceRow],
    busy: u64,
    elapsed_nanos: u64,
) -> String {
    let mut text = String::new();
    let permille = |part: u64| (u128::from(part) * 1000 / u128::from(elapsed_nanos.max(1))) as u64;
    let percent = |part: u64| format!("{}.{}", permille(part) / 10, permille(part) % 10);
    let _ = writeln!(
        text,
        "{}  up {}  cpu {}%  instances {}/{}  free {} of {}",
        node.name,
        span(node.uptime_nanos),
        percent(busy),
        node.running,
        node.instances,
        bytes(node.memory.free_bytes),
        bytes(node.memory.total_bytes),
    );
    let mut table = Table::new(&[
        "NAME",
        "STATE",
        "%CPU",
        "CPU",
        "MEMORY",
        "FRAMES IN/s",
        "FRAMES OUT/s",
        "DETAIL",
    ])
    .right(&[2, 3, 4, 5, 6]);
    let per_second = |count: u64| {
        (u128::from(count) * 1_000_000_000 / u128::from(elapsed_nanos.max(1))).to_string()
    };
    let mut shown: Vec<(u64, Vec<String>)> = Vec::new();
    for row in rows {
        let old = before.iter().find(|old| old.name == row.name);
        let since =
            |now: u64, then: fn(&InstanceRow) -> u64| now.saturating_sub(old.map_or(0, then));
        let used = since(row.cpu_nanos, |old| old.cpu_nanos);
        shown.push((
            used,
            alloc::vec![
                row.name.clone(),
                row.state.clone(),
                percent(used),
                span(row.cpu_nanos),
                bytes(row.resident_bytes),
                per_second(since(row.received_frames, |old| old.received_frames)),
                per_second(since(row.sent_frames, |old| old.sent_frames)),
                row.detail.clone(),
            ],
        ));
    }
    shown.sort_by_key(|row| core::cmp::Reverse(row.0));
    for (_, cells) in shown {
        table.row(cells);
    }
    text.push_str(&table.render());
    text
}

/// `info`.
pub fn instance(detail: &InstanceDetail) -> String {
    let row = &detail.row;
    let state = match row.detail.is_empty() {
        true => row.state.clone(),
        false => format!("{} ({})", row.state, row.detail),
    };
    let mut text = String::new();
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    fact("name", row.name.clone());
    fact("state", state);
    fact(
        "instance",
        format!("{}, epoch {}", detail.instance, detail.epoch),
    );
    fact(
        "module",
        format!(
            "{} ({}, sha256 {})",
            row.module,
            bytes(detail.module_bytes),
            detail.module_hash
        ),
    );
    for (name, module) in &detail.libraries {
        fact("library", format!("{name} ({module})"));
    }
    fact(
        "translated",
        match detail.translated_bytes {
            0 => "no".into(),
            size => format!(
                "in {} to {}, run by {} instances",
                span(detail.translate_nanos),
                bytes(size),
                detail.module_instances
            ),
        },
    );
    fact(
        "started",
        format!(
            "in {} from `start` to the first instruction",
            span(detail.start_nanos)
        ),
    );
    if detail.freeze_nanos > 0 {
        fact(
            "frozen",
            format!(
                "in {} from the request, the last time",
                span(detail.freeze_nanos)
            ),
        );
    }
    fact("uptime", span(row.uptime_nanos));
    fact(
        "restart",
        match detail.next_restart_nanos {
            None => format!("{} ({} so far)", detail.restart, row.restarts),
            Some(wait) => format!(
                "{} ({} so far, the next in {})",
                detail.restart,
                row.restarts,
                span(wait)
            ),
        },
    );
    if !detail.last_end.is_empty() {
        fact("last end", detail.last_end.clone());
    }
    if !detail.health_check.is_empty() {
        let now = match row.health.is_empty() {
            true => "not running",
            false => &row.health,
        };
        fact("health", format!("{now} ({})", detail.health_check));
    }
    fact(
        "cpu",
        format!(
            "{}, {} slices, {} fuel, {} shares",
            span(row.cpu_nanos),
            detail.slices,
            detail.fuel,
            detail.cpu_shares
        ),
    );
    fact(
        "memory",
        format!(
            "{} touched, {} declared, {} at most",
            bytes(row.resident_bytes),
            bytes(row.memory_bytes),
            bytes(detail.memory_limit_bytes)
        ),
    );
    fact(
        "sockets",
        format!(
            "{} open, {} at most",
            detail.network.sockets.len(),
            detail.socket_limit
        ),
    );
    fact("log", format!("{} bytes dropped", detail.log_dropped));
    if !detail.arguments.is_empty() {
        fact("arguments", detail.arguments.join(" "));
    }
    for (key, value) in &detail.config {
        fact("config", format!("{key} = {value}"));
    }
    for (place, line) in detail.backtrace.iter().enumerate() {
        fact(if place == 0 { "trapped in" } else { "" }, line.clone());
    }
    text.push_str(&network(core::slice::from_ref(&detail.network)));
    text
}

/// `net`.
pub fn network(details: &[NetworkDetail]) -> String {
    let mut interfaces = Table::new(&[
        "INTERFACE",
        "ON",
        "MAC",
        "MTU",
        "ADDRESSES",
        "GATEWAY",
        "DNS",
        "DHCP",
    ])
    .right(&[3]);
    let mut sockets = Table::new(&[
        "INSTANCE", "PROTOCOL", "STATE", "LOCAL", "PEER", "RECV-Q", "SEND-Q",
    ])
    .right(&[5, 6]);
    let (mut any_interface, mut any_socket) = (false, false);
    for detail in details {
        for row in &detail.interfaces {
            any_interface = true;
            interfaces.row(interface_cells(&detail.instance, row));
        }
        for row in &detail.sockets {
            any_socket = true;
            sockets.row(socket_cells(&detail.instance, row));
        }
    }
    match (any_interface, any_socket) {
        (false, false) => "no interfaces\n".into(),
        (true, false) => interfaces.render(),
        (false, true) => sockets.render(),
        (true, true) => format!("{}\n{}", interfaces.render(), sockets.render()),
    }
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".into() } else { text }
}

fn interface_cells(instance: &str, row: &InterfaceRow) -> Vec<String> {
    alloc::vec![
        format!("{instance}.{}", row.name),
        row.segment.clone(),
        row.mac.clone(),
        row.mtu.to_string(),
        or_dash(row.addresses.join(",")),
        or_dash(row.gateways.join(",")),
        or_dash(row.name_servers.join(",")),
        or_dash(row.dhcp.clone()),
    ]
}

fn socket_cells(instance: &str, row: &SocketRow) -> Vec<String> {
    alloc::vec![
        instance.into(),
        row.protocol.clone(),
        or_dash(row.state.clone()),
        row.local.clone(),
        or_dash(row.peer.clone()),
        row.receive_queue.to_string(),
        row.send_queue.to_string(),
    ]
}

/// `switch` and `link`.
pub fn segments(rows: &[SegmentRow]) -> String {
    if rows.is_empty() {
        return "none\n".into();
    }
    let mut table = Table::new(&[
        "NAME",
        "STATE",
        "UPLINK",
        "MTU",
        "PORT",
        "MAC",
        "IN FRAMES",
        "IN BYTES",
        "IN DROPS",
        "OUT FRAMES",
        "OUT BYTES",
        "OUT DROPS",
    ])
    .right(&[3, 6, 7, 8, 9, 10, 11]);
    for row in rows {
        let head = |first: bool| match first {
            true => alloc::vec![
                row.name.clone(),
                row.state.clone(),
                or_dash(row.uplink.clone()),
                row.mtu.to_string()
            ],
            false => alloc::vec![String::new(); 4],
        };
        let nodes = row
            .carried
            .iter()
            .map(|node| (format!("-> {}", node.name), node));
        let ports = row.ports.iter().map(|port| (port.name.clone(), port));
        if row.ports.len() + row.carried.len() == 0 {
            let mut cells = head(true);
            cells.push("-".into());
            cells.resize(12, String::new());
            table.row(cells);
        }
        for (index, (name, port)) in ports.chain(nodes).enumerate() {
            let mut cells = head(index == 0);
            cells.extend([name, or_dash(port.mac.clone())]);
            let counts = [
                port.received_frames,
                port.received_bytes,
                port.received_drops,
                port.sent_frames,
                port.sent_bytes,
                port.sent_drops,
            ];
            cells.extend(counts.iter().map(u64::to_string));
            table.row(cells);
        }
    }
    table.render()
}

/// `snapshots`.
pub fn snapshots(rows: &[SnapshotRow]) -> String {
    if rows.is_empty() {
        return "none\n".into();
    }
    let mut table = Table::new(&[
        "NAME", "INSTANCE", "TAKEN", "MADE BY", "AT", "MEMORY", "OWN", "STATE", "PARENT", "GROUP",
    ])
    .right(&[5, 6, 7]);
    for row in rows {
        table.row(alloc::vec![
            row.name.clone(),
            row.instance.clone(),
            row.taken.clone(),
            row.maker.clone(),
            wall(row.wall_nanos),
            bytes(row.memory_bytes),
            bytes(row.own_bytes),
            bytes(row.state_bytes),
            or_dash(row.parent.clone()),
            or_dash(row.group.clone()),
        ]);
    }
    table.render()
}

/// `nodes`.
pub fn nodes(rows: &[NodeRow]) -> String {
    let mut table = Table::new(&[
        "NAME",
        "NODE",
        "ADDRESS",
        "VERSION",
        "FREE",
        "OF",
        "LOAD",
        "INSTANCES",
        "STATE",
        "SEEN",
        "DETAIL",
    ])
    .right(&[4, 5, 6, 7, 9]);
    for row in rows {
        let known = |text: String| match row.version.is_empty() {
            true => "-".into(),
            false => text,
        };
        table.row(alloc::vec![
            or_dash(row.name.clone()),
            or_dash(row.node.chars().take(8).collect()),
            or_dash(row.address.clone()),
            or_dash(row.version.clone()),
            known(bytes(row.free_bytes)),
            known(bytes(row.memory_bytes)),
            known(format!(
                "{}.{}%",
                row.load_permille / 10,
                row.load_permille % 10
            )),
            known(row.instances.to_string()),
            row.state.clone(),
            row.seen_nanos.map_or("-".into(), span),
            row.detail.clone(),
        ]);
    }
    table.render()
}

/// What `restore` and `clone` made.
pub fn made(rows: &[MadeRow]) -> String {
    let mut text = String::new();
    for row in rows {
        text.push_str(&row.name);
        if !row.unplugged.is_empty() {
            let ports = row.unplugged.join(", ");
            let _ = write!(text, " (unplugged, as its link has no free end: {ports})");
        }
        if !row.unaddressed.is_empty() {
            let ports = row.unaddressed.join(", ");
            let _ = write!(
                text,
                " (without an address, as the original has it; give one with --address PORT=ADDRESS/LENGTH: {ports})"
            );
        }
        text.push('\n');
    }
    text
}

/// What `snapshot` did that was asked for what changed.
pub fn kept(rows: &[KeptRow]) -> String {
    let mut text = String::new();
    for row in rows {
        let _ = match &row.pages {
            KeptPages::All => Ok(()),
            KeptPages::Since(parent) => writeln!(text, "{} adds to {parent}", row.name),
            KeptPages::AllAfterLarger => writeln!(
                text,
                "{} holds all pages, as the last snapshot's memory is larger: it stands alone",
                row.name
            ),
        };
    }
    text
}

/// What `snapshot rm` did besides what it was asked.
pub fn removed(report: &RemovedReport) -> String {
    let mut text = String::new();
    for row in &report.moved {
        let _ = match row.parent.as_str() {
            "" => writeln!(text, "{} holds all pages now: it stands alone", row.name),
            parent => writeln!(text, "{} adds to {parent} now", row.name),
        };
    }
    text
}

/// `uptime`.
pub fn node(node: &NodeDetail) -> String {
    format!(
        "{} (SOS {}) up {}, {}\nmemory       {} free of {}; kernel heap {} of {}; guests {}\ninstances    {} of {} run\nnics         {}\n",
        node.name,
        node.version,
        span(node.uptime_nanos),
        wall(node.wall_nanos),
        bytes(node.memory.free_bytes),
        bytes(node.memory.total_bytes),
        bytes(node.memory.heap_used_bytes),
        bytes(node.memory.heap_bytes),
        bytes(node.memory.guest_bytes),
        node.running,
        node.instances,
        or_dash(node.nics.join(", ")),
    )
}
