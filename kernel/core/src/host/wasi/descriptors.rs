//! The table of a program's descriptors, as plain data.

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use sos_abi::wasi::Errno;

use super::rights::{self, Rights};
use super::stdio::Stream;
use crate::files::InodeId;
use crate::host::streams::OutputStream;
use crate::limits;
use crate::net::stack::SocketId;

/// What a descriptor stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A standard stream.
    Stream(Stream),
    /// A socket that takes connections.
    Listener(SocketId),
    /// A TCP connection.
    Connection(SocketId),
    /// A file, which is retained.
    File {
        /// Which file.
        inode: InodeId,
        /// Where the next read or write begins.
        position: u64,
    },
    /// A directory, which is retained.
    Directory {
        /// Which directory.
        inode: InodeId,
    },
}

/// One open descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// What it stands for.
    pub kind: Kind,
    /// What may be done with it.
    pub rights: Rights,
    /// Its flags (`fd_flags`).
    pub flags: u16,
    /// What the program is told that a directory that it found open is called.
    pub preopen: Option<Box<str>>,
}

/// Every descriptor of one program, by number.
#[derive(Debug, Clone)]
pub struct Descriptors {
    slots: Vec<Option<Descriptor>>,
    sockets: usize,
}

impl Descriptor {
    /// A descriptor without flags.
    pub fn new(kind: Kind, rights: Rights) -> Descriptor {
        Descriptor {
            kind,
            rights,
            flags: 0,
            preopen: None,
        }
    }

    /// A standard stream.
    pub fn stream(stream: Stream) -> Descriptor {
        let base = match stream {
            Stream::Input => rights::INPUT,
            Stream::Output(_) => rights::OUTPUT,
        };
        Descriptor::new(Kind::Stream(stream), Rights::only(base))
    }

    /// A listening socket.
    pub fn listener(socket: SocketId) -> Descriptor {
        let rights = Rights {
            base: rights::LISTENER,
            inheriting: rights::CONNECTION,
        };
        Descriptor::new(Kind::Listener(socket), rights)
    }

    /// A directory that the program finds open under this name.
    pub fn preopen(name: &str, inode: InodeId) -> Descriptor {
        let rights = Rights {
            base: rights::DIRECTORY,
            inheriting: rights::DIRECTORY | rights::FILE,
        };
        Descriptor {
            preopen: Some(name.into()),
            ..Descriptor::new(Kind::Directory { inode }, rights)
        }
    }

    /// Whether it has only flags and rights that one of its kind may have.
    fn is_sound(&self) -> bool {
        let (base, inheriting) = match self.kind {
            Kind::Stream(Stream::Input) => (rights::INPUT, 0),
            Kind::Stream(Stream::Output(_)) => (rights::OUTPUT, 0),
            Kind::Listener(_) => (rights::LISTENER, rights::CONNECTION),
            Kind::Connection(_) => (rights::CONNECTION, 0),
            Kind::File { .. } => (rights::FILE, 0),
            Kind::Directory { .. } => (rights::DIRECTORY, rights::DIRECTORY | rights::FILE),
        };
        let most = Rights { base, inheriting };
        let preopen_fits = match (&self.preopen, self.kind) {
            (None, _) => true,
            (Some(name), Kind::Directory { .. }) => name.len() <= limits::TEXT_BYTES,
            (Some(_), _) => false,
        };
        most.include(self.rights)
            && self.flags & !super::wire::fd_flags::ALL == 0
            && self.kind.is_sound()
            && preopen_fits
    }

    /// Whether none of its calls waits.
    pub fn is_nonblocking(&self) -> bool {
        self.flags & super::wire::fd_flags::NONBLOCK != 0
    }

    /// Checks that it has all the rights of `needed`.
    ///
    /// # Errors
    /// [`Errno::NotCapable`].
    pub fn require(&self, needed: u64) -> Result<(), Errno> {
        if self.rights.base & needed == needed {
            Ok(())
        } else {
            Err(Errno::NotCapable)
        }
    }
}

impl Kind {
    /// Whether a position is one that a file can have: they are signed in POSIX.
    fn is_sound(self) -> bool {
        match self {
            Kind::File { position, .. } => i64::try_from(position).is_ok(),
            Kind::Stream(_) | Kind::Listener(_) | Kind::Connection(_) | Kind::Directory { .. } => {
                true
            }
        }
    }

    fn is_socket(self) -> bool {
        match self {
            Kind::Listener(_) | Kind::Connection(_) => true,
            Kind::Stream(_) | Kind::File { .. } | Kind::Directory { .. } => false,
        }
    }
}

impl Descriptors {
    /// The three standard streams.
    pub fn new() -> Descriptors {
        let streams = [
            Stream::Input,
            Stream::Output(OutputStream::Output),
            Stream::Output(OutputStream::Error),
        ];
        let slots = streams.map(|stream| Some(Descriptor::stream(stream)));
        Descriptors {
            slots: slots.into(),
            sockets: 0,
        }
    }

    /// The descriptor with this number.
    ///
    /// # Errors
    /// [`Errno::BadF`] when there is none.
    pub fn get(&self, number: u32) -> Result<&Descriptor, Errno> {
        let slot = self.slots.get(number as usize);
        slot.and_then(Option::as_ref).ok_or(Errno::BadF)
    }

    /// As [`Descriptors::get`], to be changed.
    ///
    /// # Errors
    /// As [`Descriptors::get`].
    pub fn get_mut(&mut self, number: u32) -> Result<&mut Descriptor, Errno> {
        let slot = self.slots.get_mut(number as usize);
        slot.and_then(Option::as_mut).ok_or(Errno::BadF)
    }

    /// Whether one more may be opened.
    ///
    /// # Errors
    /// [`Errno::MFile`] when there are as many as may be.
    pub fn check_room(&self) -> Result<(), Errno> {
        if self.slots.len() >= limits::DESCRIPTORS && self.slots.iter().all(Option::is_some) {
            return Err(Errno::MFile);
        }
        Ok(())
    }

    /// Gives a descriptor the lowest number that is free.
    ///
    /// # Errors
    /// As [`Descriptors::check_room`].
    pub fn insert(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        self.check_room()?;
        self.sockets += usize::from(descriptor.kind.is_socket());
        let number = match self.slots.iter().position(Option::is_none) {
            Some(number) => {
                self.slots[number] = Some(descriptor);
                number
            }
            None => {
                self.slots.push(Some(descriptor));
                self.slots.len() - 1
            }
        };
        // `limits::DESCRIPTORS` fits 32 bits.
        Ok(number as u32)
    }

    /// The table as plain data: a descriptor, or none, by number.
    pub fn capture(&self) -> Vec<Option<Descriptor>> {
        self.slots.clone()
    }

    /// The table that plain data claims to be; what its descriptors stand for is for the caller to
    /// check.
    ///
    /// # Errors
    /// The number of a descriptor that cannot have come to be.
    pub fn restore(slots: Vec<Option<Descriptor>>) -> Result<Descriptors, u32> {
        // `limits::DESCRIPTORS` fits 32 bits.
        if slots.len() > limits::DESCRIPTORS {
            return Err(limits::DESCRIPTORS as u32);
        }
        let mut sockets = 0;
        for (number, slot) in (0..).zip(&slots) {
            if let Some(descriptor) = slot {
                if !descriptor.is_sound() {
                    return Err(number);
                }
                sockets += usize::from(descriptor.kind.is_socket());
            }
        }
        Ok(Descriptors { slots, sockets })
    }

    /// Those that are open, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Descriptor)> {
        let slots = (0..).zip(&self.slots);
        slots.filter_map(|(number, slot)| Some((number, slot.as_ref()?)))
    }

    /// Takes a descriptor out of the table.
    ///
    /// # Errors
    /// As [`Descriptors::get`].
    pub fn remove(&mut self, number: u32) -> Result<Descriptor, Errno> {
        let slot = self.slots.get_mut(number as usize);
        let descriptor = slot.and_then(Option::take).ok_or(Errno::BadF)?;
        self.sockets -= usize::from(descriptor.kind.is_socket());
        Ok(descriptor)
    }

    /// Moves descriptor `from` to number `to` and gives the one that had it; gives nothing when they
    /// are the same.
    ///
    /// # Errors
    /// [`Errno::BadF`] when either is not open.
    pub fn renumber(&mut self, from: u32, to: u32) -> Result<Option<Descriptor>, Errno> {
        self.get(from)?;
        self.get(to)?;
        if from == to {
            return Ok(None);
        }
        let replaced = self.remove(to)?;
        self.slots[to as usize] = self.slots[from as usize].take();
        Ok(Some(replaced))
    }

    /// How many sockets are open.
    pub fn sockets(&self) -> usize {
        self.sockets
    }
}
