//! Operators that come over the network: the same conversation as over the machine's channel
//! (`super::super::operator`), as the bytes of a connection's channel.

use super::super::Kernel;
use super::super::operator::Session;
use super::Node;
use crate::machine::Machine;

impl Kernel {
    /// Reads what operators say on the node's connections, and does it.
    pub(super) fn serve_connections(&mut self, machine: &mut dyn Machine) {
        for mut session in core::mem::take(&mut self.node.ended_sessions) {
            self.end_runs(&mut session);
        }
        self.with_sessions(|kernel, session| kernel.hear(machine, session));
    }

    /// Puts together what is to be sent to them.
    pub(super) fn attend_connections(&mut self, machine: &mut dyn Machine) {
        self.with_sessions(|kernel, session| kernel.speak(machine, session));
    }

    /// Lends each session out, so that it can change the kernel that it belongs to.
    fn with_sessions(&mut self, mut act: impl FnMut(&mut Kernel, &mut Session)) {
        let numbers: alloc::vec::Vec<u64> = self.node.sessions.keys().copied().collect();
        for number in numbers {
            let Some(mut session) = self.node.sessions.remove(&number) else {
                continue;
            };
            act(self, &mut session);
            self.node.sessions.insert(number, session);
        }
    }
}

impl Node {
    /// Reads bytes that an operator sent on a connection.
    pub fn read_control(&mut self, number: u64, out: &mut [u8]) -> usize {
        let connection = self.connections.get_mut(&number);
        connection.map_or(0, |connection| connection.read_control(out))
    }

    /// Takes bytes for an operator on a connection: returns how many.
    pub fn write_control(&mut self, number: u64, bytes: &[u8]) -> usize {
        let connection = self.connections.get_mut(&number);
        connection.map_or(0, |connection| connection.write_control(bytes))
    }
}
