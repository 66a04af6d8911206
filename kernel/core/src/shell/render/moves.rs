//! Hand-overs between nodes as text.

use super::{Table, bytes, span};
use crate::control::MigrationRow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// `migrate`.
pub fn migrations(rows: &[MigrationRow]) -> String {
    if rows.is_empty() {
        return "none\n".into();
    }
    let mut table = Table::new(&[
        "NAME", "NODE", "STAGE", "ROUNDS", "SENT", "DIRTY", "DIRTY/S", "LINK/S", "STANDS", "CPU",
    ])
    .right(&[3, 4, 5, 6, 7, 8, 9]);
    for row in rows {
        table.row(alloc::vec![
            row.name.clone(),
            format!("{} {}", row.direction, row.peer),
            row.stage.clone(),
            format!("{}", row.rounds),
            bytes(row.sent_bytes),
            bytes(row.dirty_bytes),
            bytes(row.dirty_rate),
            row.bandwidth.map_or("-".into(), bytes),
            span(row.expected_downtime_nanos),
            share(row.share_ppm),
        ]);
    }
    let mut text = table.render();
    let mut groups: Vec<&str> = rows.iter().map(|row| row.group.as_str()).collect();
    groups.retain(|group| !group.is_empty());
    groups.dedup();
    for group in groups {
        text.push_str(&format!("together: {group}\n"));
    }
    for row in rows.iter().filter(|row| !row.doubt.is_empty()) {
        text.push_str(&format!("{}: {}\n", row.name, row.doubt));
    }
    text
}

/// Parts of a million as per cent.
fn share(ppm: u32) -> String {
    match ppm {
        0 => "-".into(),
        ppm => format!("{}.{:04}%", ppm / 10_000, ppm % 10_000),
    }
}
