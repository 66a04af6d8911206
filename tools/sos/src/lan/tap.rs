//! An in-process port of the LAN: tests and benchmarks send and receive raw frames through it.
//!
//! It plugs in through the same socket as a QEMU node. [`Tap`] is also a smoltcp device.

use std::io;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant as StackInstant;

use super::framing::{FrameQueue, FrameReader};

/// Bytes that wait to be sent at most; a frame beyond that is refused.
const SEND_BYTES_MAX: usize = 1024 * 1024;
const ETHERNET_HEADER_BYTES: usize = 14;

/// A plugged-in port. Dropping it pulls the plug.
pub struct Tap {
    stream: UnixStream,
    reader: FrameReader,
    queue: FrameQueue,
    mtu: usize,
}

impl Tap {
    /// Plugs into the LAN whose socket is at `path`.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_nonblocking(true)?;
        let queue = FrameQueue::new(SEND_BYTES_MAX);
        Ok(Self {
            stream,
            reader: FrameReader::default(),
            queue,
            mtu: 1500,
        })
    }

    /// Sets the largest IP packet that smoltcp sends through this device, in bytes.
    #[must_use]
    pub fn with_mtu(mut self, mtu: usize) -> Self {
        self.mtu = mtu;
        self
    }

    /// Sends a frame; waits while the LAN does not take it.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        while self.queue.is_full() {
            self.wait_for(PollFlags::OUT, Duration::from_secs(1))?;
            self.flush()?;
        }
        // There is room, as was just seen.
        let _ = self.queue.push(frame);
        self.flush()
    }

    /// The next frame, or `None` if none comes within `timeout`.
    pub fn recv(&mut self, timeout: Duration) -> io::Result<Option<Vec<u8>>> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(range) = self.next_frame()? {
                return Ok(Some(self.reader.frame(range).to_vec()));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.wait(left)?;
        }
    }

    /// Waits until a frame may have come, at most `timeout`.
    pub fn wait(&self, timeout: Duration) -> io::Result<()> {
        self.wait_for(PollFlags::IN, timeout)
    }

    /// Hands what was queued by smoltcp to the LAN, as far as it takes it.
    pub fn flush(&mut self) -> io::Result<()> {
        self.queue.flush(&mut &self.stream)
    }

    fn wait_for(&self, flags: PollFlags, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let flags = if self.queue.backlog_bytes() > 0 {
            flags | PollFlags::OUT
        } else {
            flags
        };
        match poll(&mut [PollFd::new(&self.stream, flags)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn next_frame(&mut self) -> io::Result<Option<Range<usize>>> {
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidData);
        if let Some(range) = self.reader.next_frame().map_err(invalid)? {
            return Ok(Some(range));
        }
        self.reader.fill(&mut &self.stream)?;
        self.reader.next_frame().map_err(invalid)
    }
}

/// A frame that came.
pub struct TapRx<'a>(&'a [u8]);

/// A frame to be sent.
pub struct TapTx<'a>(&'a mut FrameQueue);

impl Device for Tap {
    type RxToken<'a> = TapRx<'a>;
    type TxToken<'a> = TapTx<'a>;

    fn receive(&mut self, _: StackInstant) -> Option<(TapRx<'_>, TapTx<'_>)> {
        if self.queue.is_full() {
            self.flush().ok()?;
        }
        let range = self.next_frame().ok()??;
        Some((TapRx(self.reader.frame(range)), TapTx(&mut self.queue)))
    }

    fn transmit(&mut self, _: StackInstant) -> Option<TapTx<'_>> {
        if self.queue.is_full() {
            self.flush().ok()?;
        }
        (!self.queue.is_full()).then_some(TapTx(&mut self.queue))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + ETHERNET_HEADER_BYTES;
        capabilities
    }
}

impl RxToken for TapRx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for TapTx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.0.push_beyond_limit(len, f)
    }
}
