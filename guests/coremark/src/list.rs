//! Linked lists: search, reversal and merge sort, by index links in one array.

use crate::crc::Crc16;

const NODES: usize = 64;
/// The link of the last node.
const END: u16 = u16::MAX;

#[derive(Clone, Copy)]
struct Node {
    next: u16,
    position: u16,
    data: u16,
}

/// What a sort compares.
#[derive(Clone, Copy)]
enum Order {
    Data,
    Position,
}

/// A singly linked list.
pub struct List {
    nodes: [Node; NODES],
    head: u16,
}

impl List {
    /// A list in order of position whose data comes from `seed`.
    pub fn new(seed: u16) -> List {
        let mut nodes = [Node {
            next: END,
            position: 0,
            data: 0,
        }; NODES];
        let mut value = seed;
        for (index, node) in nodes.iter_mut().enumerate() {
            value = value.wrapping_mul(25_173).wrapping_add(13_849);
            let next = if index + 1 == NODES {
                END
            } else {
                index as u16 + 1
            };
            *node = Node {
                next,
                position: index as u16,
                data: value >> 4,
            };
        }
        List { nodes, head: 0 }
    }

    /// Searches, reverses, sorts by data, reads, sorts back, and returns a check of it all.
    pub fn exercise(&mut self, seed: u16) -> u16 {
        let mut crc = Crc16::default();
        for probe in 0..8 {
            let wanted = seed.wrapping_add(probe * 9) % NODES as u16;
            let found = self.find(|node| node.position == wanted);
            crc.add(found.map_or(END, |node| node.data));
            self.reverse();
        }
        self.sort(Order::Data);
        let smallest = self.nodes[self.head as usize];
        crc.add(smallest.data ^ smallest.position);
        self.visit(|node| crc.add(node.position));
        // The data of one node changes, so that the next round sorts another list.
        let changed = seed as usize % NODES;
        self.nodes[changed].data ^= seed & 0xFF;
        self.sort(Order::Position);
        crc.value()
    }

    fn find(&self, wanted: impl Fn(&Node) -> bool) -> Option<Node> {
        let mut at = self.head;
        while at != END {
            let node = &self.nodes[at as usize];
            if wanted(node) {
                return Some(*node);
            }
            at = node.next;
        }
        None
    }

    fn visit(&self, mut action: impl FnMut(&Node)) {
        let mut at = self.head;
        while at != END {
            action(&self.nodes[at as usize]);
            at = self.nodes[at as usize].next;
        }
    }

    fn reverse(&mut self) {
        let mut done = END;
        let mut at = self.head;
        while at != END {
            let next = self.nodes[at as usize].next;
            self.nodes[at as usize].next = done;
            done = at;
            at = next;
        }
        self.head = done;
    }

    fn sort(&mut self, order: Order) {
        self.head = self.sorted(self.head, NODES, order);
    }

    /// Sorts the first `len` nodes from `head` on, cut off from the rest; returns the new head.
    fn sorted(&mut self, head: u16, len: usize, order: Order) -> u16 {
        if len == 1 {
            self.nodes[head as usize].next = END;
            return head;
        }
        let mut middle = head;
        for _ in 0..len / 2 {
            middle = self.nodes[middle as usize].next;
        }
        let left = self.sorted(head, len / 2, order);
        let right = self.sorted(middle, len - len / 2, order);
        self.merge(left, right, order)
    }

    fn merge(&mut self, mut left: u16, mut right: u16, order: Order) -> u16 {
        let mut head = END;
        let mut tail = END;
        while left != END || right != END {
            let take_left =
                right == END || (left != END && self.key(left, order) <= self.key(right, order));
            let taken = if take_left { &mut left } else { &mut right };
            let node = *taken;
            *taken = self.nodes[node as usize].next;
            if tail == END {
                head = node;
            } else {
                self.nodes[tail as usize].next = node;
            }
            tail = node;
        }
        self.nodes[tail as usize].next = END;
        head
    }

    fn key(&self, node: u16, order: Order) -> u32 {
        let node = &self.nodes[node as usize];
        match order {
            Order::Data => u32::from(node.data) << 16 | u32::from(node.position),
            Order::Position => u32::from(node.position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(list: &List) -> Vec<(u16, u16)> {
        let mut seen = Vec::new();
        list.visit(|node| seen.push((node.data, node.position)));
        seen
    }

    #[test]
    fn sorting_orders_and_keeps_every_node() {
        let mut list = List::new(7);
        let mut expected = collect(&list);
        expected.sort();
        list.reverse();
        list.sort(Order::Data);
        assert_eq!(collect(&list), expected);
        list.sort(Order::Position);
        assert!(
            collect(&list)
                .iter()
                .enumerate()
                .all(|(index, node)| node.1 == index as u16)
        );
    }
}
