//! One step of a connection: from its service being looked for to its end.

use std::net::IpAddr;

use smoltcp::socket::tcp;

use super::Surroundings;
use super::connection::{Connection, Stage, Standing};
use super::connections::{ConnectionId, Connections, TIMER_MIN, WAIT_STEP};
use super::directory::Directory;
use super::segments::Segment;
use super::stack::{Egress, Exit};

impl Connections {
    /// Does what a connection can do now. Returns whether it goes on.
    pub(super) fn advance(
        &mut self,
        id: ConnectionId,
        connection: &mut Connection,
        directory: &mut Directory,
        around: &mut Surroundings<'_>,
    ) -> bool {
        if let Stage::Waiting { .. } = connection.stage
            && !self.find_service(id, connection, directory, around)
        {
            return !connection.host.failed && !self.expired(connection, around);
        }
        if let Stage::HostCalling { .. } = connection.stage {
            if !connection.host.writable && !connection.host.failed {
                return true;
            }
            if !self.answer_request(connection, directory, around) {
                return false;
            }
        }
        let Some(peer) = connection.peer() else {
            return false;
        };
        // The neighbour table knows first when a service has moved; the last sender does when the
        // table has forgotten.
        let known = directory.mac_of(peer, around.fabric, around.now);
        let Some(to) = known.or(connection.peer_mac) else {
            return false;
        };
        let spliced = connection.splice();
        let Some(stack) = connection.stack.as_mut() else {
            return false;
        };
        if spliced.is_err() {
            stack.socket().abort();
        }
        let mut exit = Exit {
            fabric: around.fabric,
            scratch: &mut self.scratch,
            from: directory.mac,
            to,
            now: around.now,
        };
        let egress = stack.output(&mut exit);
        let state = stack.socket().state();
        let standing = match spliced {
            Ok(()) => connection.standing(),
            Err(_) => Standing::ResetByHost,
        };
        match standing {
            Standing::Alive => {}
            Standing::Complete if egress == Egress::Blocked => {}
            Standing::Complete => return false,
            Standing::ResetByHost => {
                around.fabric.counters.reset += 1;
                return false;
            }
            Standing::ResetByPeer => {
                around.fabric.counters.reset += 1;
                if let Stage::Calling { .. } = connection.stage {
                    self.log_refusal(connection, around);
                }
                connection.host.reset();
                return false;
            }
        }
        if let Stage::Calling { until } = connection.stage {
            if !matches!(state, tcp::State::SynSent | tcp::State::SynReceived) {
                connection.stage = Stage::Open;
            } else if self.expired(connection, around) {
                return false;
            } else {
                self.set_timer(id, until);
            }
        }
        match egress {
            Egress::Blocked => {
                self.blocked.insert(id);
            }
            Egress::Until(Some(due)) => self.set_timer(id, due.max(around.now + TIMER_MIN)),
            Egress::Until(None) => {}
        }
        true
    }

    /// Looks for the service of a waiting connection and calls it. Returns whether it was found.
    fn find_service(
        &mut self,
        id: ConnectionId,
        connection: &mut Connection,
        directory: &mut Directory,
        around: &mut Surroundings<'_>,
    ) -> bool {
        let Stage::Waiting {
            service,
            port,
            until,
        } = &connection.stage
        else {
            return true;
        };
        let found = directory.address_of(service).and_then(|address| {
            let mac = directory.mac_of(address, around.fabric, around.now)?;
            Some((address, mac))
        });
        let (until, port) = (*until, *port);
        let Some((address, mac)) = found else {
            if around.now < until {
                self.waiting.insert(id);
                self.set_timer(id, until.min(around.now + WAIT_STEP));
            }
            return false;
        };
        let Some(flow) = self.unused_flow(address, port) else {
            return false;
        };
        let mut stack = self.take_stack();
        if stack.connect((address, port), flow.local_port).is_err() {
            return false;
        }
        self.flows.insert(flow, id);
        connection.flow = Some(flow);
        connection.peer_mac = Some(mac);
        connection.stack = Some(stack);
        connection.stage = Stage::Calling { until };
        true
    }

    /// The host has answered or refused a call from the LAN: so does the gateway.
    fn answer_request(
        &mut self,
        connection: &mut Connection,
        directory: &Directory,
        around: &mut Surroundings<'_>,
    ) -> bool {
        let stage = std::mem::replace(&mut connection.stage, Stage::Open);
        let (Stage::HostCalling { request, sender }, Some(flow)) = (stage, connection.flow) else {
            return true;
        };
        let destination = self.settings.subnet.gateway_for(flow.remote);
        let failed =
            connection.host.failed || !matches!(connection.host.stream.take_error(), Ok(None));
        let mut stack = self.take_stack();
        if failed || stack.listen((destination, flow.local_port)).is_err() {
            let header_bytes = match flow.remote {
                IpAddr::V4(_) => usize::from(request[0] & 15) * 4,
                IpAddr::V6(_) => 40,
            };
            let source = flow.remote;
            let segment = Segment {
                sender,
                source,
                destination,
                packet: &request,
                header_bytes,
            };
            self.refuse(&segment, directory, around);
            return false;
        }
        let _ = connection.host.stream.set_nodelay(true);
        connection.peer_mac = Some(sender);
        let mut exit = Exit {
            fabric: around.fabric,
            scratch: &mut self.scratch,
            from: directory.mac,
            to: sender,
            now: around.now,
        };
        stack.input(&request, &mut exit);
        connection.stack = Some(stack);
        true
    }

    /// Whether a connection has waited too long for its service; says so and resets the host.
    fn expired(&self, connection: &Connection, around: &mut Surroundings<'_>) -> bool {
        let until = match &connection.stage {
            Stage::Waiting { until, .. } | Stage::Calling { until } => *until,
            Stage::HostCalling { .. } | Stage::Open => return false,
        };
        if around.now < until {
            return false;
        }
        around.fabric.counters.unreachable += 1;
        match (&connection.stage, connection.flow) {
            (Stage::Waiting { service, .. }, _) => {
                (self.log)(&format!(
                    "service {service} did not appear on the LAN in time"
                ));
            }
            (_, Some(flow)) => (self.log)(&format!(
                "{} port {} did not answer in time",
                flow.remote, flow.remote_port
            )),
            (_, None) => {}
        }
        connection.host.reset();
        true
    }

    fn log_refusal(&self, connection: &Connection, around: &mut Surroundings<'_>) {
        around.fabric.counters.unreachable += 1;
        if let Some(flow) = connection.flow {
            let (remote, port) = (flow.remote, flow.remote_port);
            (self.log)(&format!("{remote} refused the connection to port {port}"));
        }
    }
}
