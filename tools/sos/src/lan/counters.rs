//! What the LAN counts.

/// Frames and bytes of one port; *in* is towards the LAN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortCounters {
    /// Frames taken from the port.
    pub frames_in: u64,
    /// Bytes of those frames.
    pub bytes_in: u64,
    /// Frames queued for the port.
    pub frames_out: u64,
    /// Bytes of those frames.
    pub bytes_out: u64,
    /// Frames dropped because the port's queue was full.
    pub dropped_full: u64,
    /// Frames lost because the port was cut.
    pub lost_cut: u64,
}

/// What happened on the whole LAN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames too short, or sent under the gateway's own address.
    pub malformed: u64,
    /// Frames sent to all ports: group addresses and unknown stations.
    pub flooded: u64,
    /// Frames lost by the configured faults.
    pub lost_faults: u64,
    /// Packets to the gateway that it could not use: unknown protocol, port or destination.
    pub unusable: u64,
    /// TCP segments to the gateway whose checksum was wrong.
    pub bad_checksum: u64,
    /// Connections accepted on the host's side.
    pub accepted: u64,
    /// Connections from the LAN to exposed ports.
    pub exposed: u64,
    /// Connections closed because their service did not appear or did not answer.
    pub unreachable: u64,
    /// Connections that ended in a reset, by either side.
    pub reset: u64,
    /// Connections open now.
    pub open: u64,
}
