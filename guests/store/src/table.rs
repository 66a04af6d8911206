//! The keys and values, bounded in total.

use std::collections::BTreeMap;

use crate::protocol::{Answer, Operation, Request, Status};

/// Most bytes of all keys and values together, each counted with [`ENTRY_BYTES`] more.
pub const TOTAL_BYTES: usize = 16 * 1024 * 1024;
/// What an entry takes beside its bytes, about.
const ENTRY_BYTES: usize = 64;

/// Keys and values. Ordered, because the keys come from outside and nothing here could seed a hash
/// against collisions.
#[derive(Debug, Default)]
pub struct Table {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    used_bytes: usize,
}

impl Table {
    /// Carries out a request.
    pub fn execute(&mut self, request: &Request<'_>) -> Answer<'_> {
        match request.operation {
            Operation::Get => match self.entries.get(request.key) {
                Some(value) => Answer {
                    status: Status::Done,
                    value,
                },
                None => plain(Status::NotFound),
            },
            Operation::Put => plain(self.put(request.key, request.value)),
            Operation::Delete => match self.entries.remove(request.key) {
                Some(value) => {
                    self.used_bytes -= size(request.key, &value);
                    plain(Status::Done)
                }
                None => plain(Status::NotFound),
            },
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Status {
        let old_bytes = self.entries.get(key).map_or(0, |old| size(key, old));
        let used_bytes = self.used_bytes - old_bytes + size(key, value);
        if used_bytes > TOTAL_BYTES {
            return Status::Full;
        }
        self.used_bytes = used_bytes;
        match self.entries.get_mut(key) {
            Some(old) => {
                old.clear();
                old.extend_from_slice(value);
            }
            None => {
                self.entries.insert(key.to_vec(), value.to_vec());
            }
        }
        Status::Done
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn size(key: &[u8], value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

fn plain(status: Status) -> Answer<'static> {
    Answer { status, value: b"" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::VALUE_BYTES;

    fn execute(
        table: &mut Table,
        operation: Operation,
        key: &[u8],
        value: &[u8],
    ) -> (Status, Vec<u8>) {
        let answer = table.execute(&Request {
            operation,
            key,
            value,
        });
        (answer.status, answer.value.to_vec())
    }

    #[test]
    fn keys_are_put_read_replaced_and_deleted() {
        let mut table = Table::default();
        assert_eq!(
            execute(&mut table, Operation::Get, b"a", b"").0,
            Status::NotFound
        );
        assert_eq!(
            execute(&mut table, Operation::Put, b"a", b"one").0,
            Status::Done
        );
        assert_eq!(
            execute(&mut table, Operation::Put, b"a", b"three").0,
            Status::Done
        );
        assert_eq!(
            execute(&mut table, Operation::Get, b"a", b""),
            (Status::Done, b"three".to_vec())
        );
        assert_eq!(
            execute(&mut table, Operation::Delete, b"a", b"").0,
            Status::Done
        );
        assert_eq!(
            execute(&mut table, Operation::Delete, b"a", b"").0,
            Status::NotFound
        );
        assert_eq!((table.len(), table.used_bytes), (0, 0));
    }

    #[test]
    fn a_full_table_refuses_more_but_replaces_and_forgets() {
        let mut table = Table::default();
        let value = vec![7; VALUE_BYTES];
        let mut count = 0u32;
        while execute(&mut table, Operation::Put, &count.to_le_bytes(), &value).0 == Status::Done {
            count += 1;
        }
        assert!(
            table.used_bytes <= TOTAL_BYTES && table.used_bytes > TOTAL_BYTES - 2 * VALUE_BYTES
        );
        assert_eq!(
            execute(&mut table, Operation::Put, &0u32.to_le_bytes(), &value).0,
            Status::Done
        );
        assert_eq!(
            execute(&mut table, Operation::Delete, &0u32.to_le_bytes(), b"").0,
            Status::Done
        );
        assert_eq!(
            execute(&mut table, Operation::Put, &count.to_le_bytes(), &value).0,
            Status::Done
        );
    }
}
