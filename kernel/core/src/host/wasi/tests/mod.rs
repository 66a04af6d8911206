//! WASI functions as a program makes them, each with its errors.

mod clocks;
mod descriptors;
mod directories;
mod facts;
mod files;
mod hostile;
mod iovecs;
mod paths;
mod polling;
mod positions;
mod process;
mod sockets;
mod streams;

use super::wire;
use crate::host::tests::{A, B, BUFFER, World};
use crate::image::ListenerSpec;
use crate::instance::Outcome;
use crate::machine::Duration;
use alloc::vec::Vec;
use sos_abi::wasi::{Errno, WasiCall};

/// Places in the programs' memories.
const IOVECS: u32 = 0x2000;
const OUT: u32 = 0x3000;
const OUT2: u32 = 0x3100;
const STAT: u32 = 0x3200;
const SUBSCRIPTIONS: u32 = 0x4000;
const EVENTS: u32 = 0x8000;

/// The descriptor of A's listener in worlds that have one.
const LISTENER: i64 = 3;

impl World {
    /// Makes a function that is over at once.
    fn wasi(&mut self, who: usize, call: WasiCall, arguments: &[i64]) -> Errno {
        errno(self.call(who, call, arguments))
    }

    /// Makes a function that waits, and waits for it.
    fn wasi_wait(&mut self, who: usize, call: WasiCall, arguments: &[i64]) -> Errno {
        match self.call(who, call, arguments) {
            Outcome::Blocked => self.wasi_finish(who),
            outcome => errno(outcome),
        }
    }

    /// Lets both stacks work and tries the blocked function again until it is over.
    fn wasi_finish(&mut self, who: usize) -> Errno {
        for _ in 0..100_000 {
            self.run(Duration::from_millis(1));
            match self.retry(who) {
                Outcome::Blocked => {}
                outcome => return errno(outcome),
            }
        }
        panic!("{:?} does not end", self.guest(who).pending());
    }

    fn read_u32(&self, who: usize, at: u32) -> u32 {
        u32::from_le_bytes(self.read(who, at, 4).try_into().unwrap())
    }

    fn read_u64(&self, who: usize, at: u32) -> u64 {
        u64::from_le_bytes(self.read(who, at, 8).try_into().unwrap())
    }

    /// Writes an array of buffers to [`IOVECS`].
    fn iovecs(&mut self, who: usize, buffers: &[(u32, u32)]) {
        let bytes: Vec<u8> = buffers
            .iter()
            .flat_map(|(pointer, length)| [pointer.to_le_bytes(), length.to_le_bytes()].concat())
            .collect();
        self.write(who, IOVECS, &bytes);
    }

    /// `fd_write` of `bytes` from one buffer.
    fn fd_write(&mut self, who: usize, fd: i64, bytes: &[u8]) -> Result<u32, Errno> {
        self.write(who, BUFFER, bytes);
        self.iovecs(who, &[(BUFFER, bytes.len() as u32)]);
        match self.wasi_wait(who, WasiCall::FdWrite, &[fd, IOVECS.into(), 1, OUT.into()]) {
            Errno::Success => Ok(self.read_u32(who, OUT)),
            error => Err(error),
        }
    }

    /// `fd_read` into one buffer of `length` bytes.
    fn fd_read(&mut self, who: usize, fd: i64, length: u32) -> Result<Vec<u8>, Errno> {
        self.iovecs(who, &[(BUFFER, length)]);
        match self.wasi_wait(who, WasiCall::FdRead, &[fd, IOVECS.into(), 1, OUT.into()]) {
            Errno::Success => {
                let read = self.read_u32(who, OUT) as usize;
                Ok(self.read(who, BUFFER, read).to_vec())
            }
            error => Err(error),
        }
    }

    /// A world in which A listens on port 80 by descriptor [`LISTENER`].
    fn with_listener() -> World {
        let mut world = World::new();
        let spec = ListenerSpec {
            address: None,
            port: 80,
        };
        world.guest(A).open_listener(&spec).unwrap();
        world
    }

    /// A connection from B's handle to A's descriptor: descriptor, handle.
    fn with_connection() -> (World, i64, i64) {
        let mut world = World::with_listener();
        world.write_address(B, crate::host::tests::ADDRESS, "10.0.0.10:80");
        let arguments = [crate::host::tests::ADDRESS.into(), 0];
        let client = world
            .wait(B, sos_abi::CallId::TcpConnect, &arguments)
            .unwrap();
        let accept = [LISTENER, 0, OUT.into()];
        assert_eq!(
            world.wasi_wait(A, WasiCall::SockAccept, &accept),
            Errno::Success
        );
        let fd = world.read_u32(A, OUT);
        (world, fd.into(), client.into())
    }

    /// B writes on its end.
    fn client_writes(&mut self, client: i64, bytes: &[u8]) {
        self.write(B, BUFFER, bytes);
        let mut sent = 0;
        while sent < bytes.len() {
            let rest = [
                client,
                (BUFFER as usize + sent) as i64,
                (bytes.len() - sent) as i64,
                0,
            ];
            sent += self.wait(B, sos_abi::CallId::TcpWrite, &rest).unwrap() as usize;
        }
        self.run(Duration::from_millis(20));
    }

    /// B reads what there is on its end.
    fn client_reads(&mut self, client: i64) -> Vec<u8> {
        let arguments = [client, BUFFER.into(), 0x10000, 0];
        let read = self.wait(B, sos_abi::CallId::TcpRead, &arguments).unwrap();
        self.read(B, BUFFER, read as usize).to_vec()
    }

    /// Closes B's end.
    fn client_closes(&mut self, client: i64) {
        self.done(B, sos_abi::CallId::Close, &[client]).unwrap();
        self.run(Duration::from_millis(20));
    }
}

fn errno(outcome: Outcome) -> Errno {
    let Outcome::Done(value) = outcome else {
        panic!("{outcome:?}")
    };
    Errno::from_number(u16::try_from(value).unwrap()).unwrap()
}
