//! What the peer is asked to do, as `peer.KEY=VALUE` words of the kernel's command line.

use std::net::Ipv4Addr;

use crate::compute::Work;
use crate::held::Writing;

/// The static address of `eth0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address itself.
    pub address: Ipv4Addr,
    /// Its prefix length.
    pub prefix: u8,
    /// The default route, if any.
    pub gateway: Option<Ipv4Addr>,
}

/// What the computing peer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Run each module and print the time.
    Compute(Vec<Work>),
    /// Start a process with the module so many times and print each time.
    Start {
        /// The module file.
        module: String,
        /// How often.
        runs: usize,
    },
    /// Run a program of the initramfs and print its output and the time until its end.
    Execute {
        /// The program file.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

/// The words that are for the peer; the others belong to the kernel.
fn words(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix("peer.")?.split_once('='))
}

impl Address {
    /// Reads `peer.address`, `peer.prefix` and `peer.gateway`; what is absent or unreadable keeps
    /// the defaults of QEMU's user network.
    pub fn from_command_line(line: &str) -> Address {
        let mut read = Address {
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix: 24,
            gateway: None,
        };
        for (key, value) in words(line) {
            match key {
                "address" => read.address = value.parse().unwrap_or(read.address),
                "prefix" => read.prefix = value.parse().unwrap_or(read.prefix).min(32),
                "gateway" => read.gateway = value.parse().ok(),
                _ => {}
            }
        }
        read
    }
}

/// Reads `peer.hold`: the memory that the server holds besides its own.
pub fn held_mebibytes(line: &str) -> usize {
    let value = words(line).find(|(key, _)| *key == "hold");
    value.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// Reads `peer.hot`: whether the server writes to what it holds without a pause.
pub fn writing(line: &str) -> Writing {
    match words(line).any(|word| word == ("hot", "1")) {
        true => Writing::Always,
        false => Writing::WhileServing,
    }
}

impl Task {
    /// Reads `peer.compute=MODULE,ITERATIONS,SLICE_FUEL` (several joined by `;`, unreadable ones
    /// left out), `peer.start=MODULE,RUNS` or `peer.execute=PROGRAM,ARGUMENT,...`.
    pub fn from_command_line(line: &str) -> Option<Task> {
        words(line).find_map(|(key, value)| match key {
            "compute" => Some(Task::Compute(value.split(';').filter_map(work).collect())),
            "start" => {
                let (module, runs) = value.split_once(',')?;
                Some(Task::Start {
                    module: module.to_owned(),
                    runs: runs.parse().ok()?,
                })
            }
            "execute" => {
                let mut parts = value.split(',').map(str::to_owned);
                Some(Task::Execute {
                    program: parts.next()?,
                    arguments: parts.collect(),
                })
            }
            _ => None,
        })
    }
}

fn work(text: &str) -> Option<Work> {
    let mut parts = text.split(',');
    let module = parts.next()?.to_owned();
    let iterations = parts.next()?.parse().ok()?;
    Some(Work {
        module,
        iterations,
        slice_fuel: parts.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_among_the_words_of_the_kernel() {
        let line =
            "console=ttyS0 peer.address=10.77.0.9 peer.prefix=16 peer.gateway=10.77.0.1 x=y\n";
        let expected = Address {
            address: Ipv4Addr::new(10, 77, 0, 9),
            prefix: 16,
            gateway: Some(Ipv4Addr::new(10, 77, 0, 1)),
        };
        assert_eq!(Address::from_command_line(line), expected);
    }

    #[test]
    fn unreadable_words_keep_the_defaults() {
        let read =
            Address::from_command_line("peer.address=300.1.1.1 peer.prefix=99 peer.gateway=x");
        assert_eq!(read.address, Ipv4Addr::new(10, 0, 2, 15));
        assert_eq!((read.prefix, read.gateway), (32, None));
    }

    #[test]
    fn held_memory_is_none_unless_it_is_asked_for() {
        assert_eq!(held_mebibytes("quiet peer.hold=64 peer.prefix=24"), 64);
        assert_eq!(held_mebibytes("quiet peer.hold=much"), 0);
        assert_eq!(held_mebibytes("quiet"), 0);
    }

    #[test]
    fn tasks_are_read_with_their_figures() {
        let work = |module: &str, iterations, slice_fuel| Work {
            module: module.to_owned(),
            iterations,
            slice_fuel,
        };
        let read = Task::from_command_line("quiet peer.compute=/a.wasm,5,100;bad;/b.wasm,6,200");
        let expected = Task::Compute(vec![work("/a.wasm", 5, 100), work("/b.wasm", 6, 200)]);
        assert_eq!(read, Some(expected));
        let read = Task::from_command_line("peer.start=/a.wasm,9");
        assert_eq!(
            read,
            Some(Task::Start {
                module: "/a.wasm".to_owned(),
                runs: 9
            })
        );
        assert_eq!(Task::from_command_line("peer.start=/a.wasm"), None);
        let read = Task::from_command_line("peer.execute=/wasmi,run,/a.wasm");
        assert_eq!(
            read,
            Some(Task::Execute {
                program: "/wasmi".to_owned(),
                arguments: vec!["run".to_owned(), "/a.wasm".to_owned()],
            })
        );
    }
}
