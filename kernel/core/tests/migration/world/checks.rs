//! What must hold in every world.

use super::World;
use sos_core::migrate::Stage;

impl World {
    pub(super) fn check_no_rollback(&self, version: u64) {
        assert!(
            version >= self.furthest || self.misled || self.excused,
            "the instance went back from {} to {version}",
            self.furthest
        );
    }

    pub(super) fn check(&self) {
        assert!(self.live() <= 1 || self.misled, "two live copies");
        for node in &self.nodes {
            let machines = node.machines.rows().count();
            assert!(node.copies.len() <= machines, "a copy without a machine");
            assert!(
                node.forwarding.len() <= machines,
                "frames without a machine"
            );
        }
    }

    /// What must hold when all links are whole and nothing more happens by itself.
    pub fn check_end(&self) {
        assert!(self.live() <= 1, "two live copies in the end");
        let mut in_doubt = 0;
        for (number, node) in self.nodes.iter().enumerate() {
            let rows: Vec<_> = node.machines.rows().collect();
            for row in &rows {
                assert!(
                    matches!(row.stage, Stage::InDoubt(_)),
                    "node {number} is left in {row:?}"
                );
            }
            in_doubt += rows.len();
            assert!(
                node.copies.len() <= rows.len(),
                "node {number} has a copy left"
            );
            assert!(node.reports.is_empty() && node.dials.is_empty());
            assert!(!node.throttled, "node {number} is left throttled");
            let stands = node.here.is_some_and(|here| !here.runs);
            assert!(
                !stands || !rows.is_empty(),
                "node {number} has it and says nothing"
            );
            assert!(node.sending.len().max(node.forwarding.len()) <= rows.len());
        }
        if !self.excused {
            assert_eq!(self.live(), 1, "nobody runs the instance");
            assert_eq!(in_doubt, 0, "something is in doubt without a reason");
        }
    }
}
