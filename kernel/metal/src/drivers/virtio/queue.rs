//! A virtqueue together with the buffers in it: one descriptor and one buffer per transfer.
//!
//! [`BufferQueue`] wraps the crate's `VirtQueue`, which trusts its caller with two things that this
//! wrapper takes care of: that a completion names a buffer which the device really has, and that
//! device memory is not touched before it comes back.

use super::hal::{BufferPool, MachineMemory};
use super::transport::{PciTransport, TransportError};
use alloc::boxed::Box;
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::sync::atomic::{Ordering, fence};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;

/// Which way a queue's buffers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device fills them.
    FromDevice,
    /// The device reads them.
    ToDevice,
}

/// A buffer that came back, until the next call on its queue.
pub struct Completion<'queue> {
    /// Which buffer.
    pub buffer: u16,
    /// What the device wrote; of a buffer that it read, nothing.
    pub bytes: &'queue [u8],
}

/// Tokens that no buffer waits under.
const NO_BUFFER: u16 = u16::MAX;

/// A queue and its buffers; `SIZE` descriptors.
pub struct BufferQueue<const SIZE: usize> {
    number: u16,
    direction: Direction,
    // Never freed: a device in use lives as long as the kernel, and one that has failed may still
    // write to its memory.
    queue: ManuallyDrop<Box<VirtQueue<MachineMemory, SIZE>>>,
    pool: BufferPool,
    /// Which buffer the device has under which token.
    buffer_of_token: Box<[u16; SIZE]>,
    /// Which buffers the device has.
    lent: Box<[bool; SIZE]>,
    /// Buffers added since the device was last told.
    untold: usize,
}

impl<const SIZE: usize> BufferQueue<SIZE> {
    /// Sets up queue `number` of the device, with `count` buffers that nobody has yet.
    pub fn new(
        transport: &mut PciTransport,
        number: u16,
        direction: Direction,
        count: usize,
        buffer_length: usize,
    ) -> Result<Self, TransportError> {
        let pool =
            BufferPool::new(count.min(SIZE), buffer_length).ok_or(TransportError::NoMemory)?;
        // Neither indirect descriptors, as every transfer has one, nor event indices: plain flags
        // suppress notifications for a whole batch, which is what is wanted here.
        let queue =
            VirtQueue::new(transport, number, false, false).map_err(TransportError::Queue)?;
        Ok(Self {
            number,
            direction,
            queue: ManuallyDrop::new(Box::new(queue)),
            pool,
            buffer_of_token: Box::new([NO_BUFFER; SIZE]),
            lent: Box::new([false; SIZE]),
            untold: 0,
        })
    }

    /// The bytes of a buffer that the device does not have.
    ///
    /// # Panics
    ///
    /// When the device has it, which is a mistake of the caller.
    pub fn buffer(&mut self, buffer: u16) -> &mut [u8] {
        assert!(!self.lent[usize::from(buffer)]);
        // SAFETY: the device does not have it, as just checked, and the borrow of `self` is exclusive.
        unsafe { self.pool.buffer(buffer) }
    }

    /// Gives the device the first `length` bytes of a buffer, without telling it yet.
    ///
    /// # Errors
    ///
    /// [`TransportError::Queue`] when there is no descriptor left.
    ///
    /// # Panics
    ///
    /// When the device has the buffer already, which is a mistake of the caller.
    pub fn add(&mut self, buffer: u16, length: usize) -> Result<(), TransportError> {
        let bytes = &mut self.buffer(buffer)[..length];
        let bytes: *mut [u8] = bytes;
        // SAFETY: the device does not have the buffer (`buffer` checks), and from here on nothing
        // touches it until its token comes back.
        let bytes = unsafe { &mut *bytes };
        let added = match self.direction {
            // SAFETY: see above; the frames live as long as the queue (`Drop`).
            Direction::FromDevice => unsafe { self.queue.add(&[], &mut [bytes]) },
            // SAFETY: see above.
            Direction::ToDevice => unsafe { self.queue.add(&[bytes], &mut []) },
        };
        let token = added.map_err(TransportError::Queue)?;
        self.buffer_of_token[usize::from(token)] = buffer;
        self.lent[usize::from(buffer)] = true;
        self.untold += 1;
        Ok(())
    }

    /// Whether a buffer has come back.
    pub fn has_completion(&self) -> bool {
        self.queue.can_pop()
    }

    /// Takes the next buffer that came back.
    ///
    /// # Errors
    ///
    /// [`TransportError::BadCompletion`] when the device returns what it does not have.
    pub fn take_completion(&mut self) -> Result<Option<Completion<'_>>, TransportError> {
        let Some(token) = self.queue.peek_used() else {
            return Ok(None);
        };
        let slot = self.buffer_of_token.get_mut(usize::from(token));
        let slot = slot
            .filter(|it| **it != NO_BUFFER)
            .ok_or(TransportError::BadCompletion)?;
        let buffer = *slot;
        // SAFETY: the device has returned this buffer, and it has been lent to nobody else.
        let bytes = unsafe { self.pool.buffer(buffer) };
        let popped = match self.direction {
            // SAFETY: these are the bytes that `add` passed for this token, as far as the crate looks
            // at them: their address is not used on this machine and their length is not zero.
            Direction::FromDevice => unsafe { self.queue.pop_used(token, &[], &mut [bytes]) },
            // SAFETY: as above.
            Direction::ToDevice => unsafe { self.queue.pop_used(token, &[bytes], &mut []) },
        };
        let written = popped.map_err(|_| TransportError::BadCompletion)? as usize;
        *slot = NO_BUFFER;
        self.lent[usize::from(buffer)] = false;
        // SAFETY: the buffer is ours again, and the result borrows the queue exclusively.
        let bytes: &[u8] = unsafe { self.pool.buffer(buffer) };
        let length = if self.direction == Direction::FromDevice {
            written
        } else {
            0
        };
        let bytes = bytes.get(..length).ok_or(TransportError::BadCompletion)?;
        Ok(Some(Completion { buffer, bytes }))
    }

    /// How many buffers were added since the device was last told.
    pub fn untold(&self) -> usize {
        self.untold
    }

    /// Tells the device about added buffers, unless it is awake already: a notification leaves the
    /// virtual machine, which costs as much as copying many frames.
    pub fn tell(&mut self, transport: &mut PciTransport) {
        if self.untold == 0 {
            return;
        }
        self.untold = 0;
        // The device must see the new buffers before we look whether it wants to be told (2.7.13.4.1).
        fence(Ordering::SeqCst);
        if self.queue.should_notify() {
            transport.notify(self.number);
        }
    }

    /// Lets the device interrupt when a buffer comes back. Says whether one already has, for which no
    /// interrupt comes.
    pub fn arm(&mut self) -> bool {
        self.queue.set_dev_notify(true);
        // The device must see the flag before we look at the ring for the last time (2.7.7.1).
        fence(Ordering::SeqCst);
        self.has_completion()
    }

    /// Asks the device not to interrupt; it may do so all the same.
    pub fn disarm(&mut self) {
        self.queue.set_dev_notify(false);
    }

    /// The numbers of all its buffers.
    pub fn buffers(&self) -> Range<u16> {
        0..self.pool.count()
    }

    /// Bytes of each buffer.
    pub fn buffer_length(&self) -> usize {
        self.pool.buffer_length()
    }
}
