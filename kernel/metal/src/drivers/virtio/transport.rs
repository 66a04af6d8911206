//! A virtio 1.x device on PCI, as the virtio-drivers crate wants to see it, with message interrupts.
//!
//! The crate's own PCI transport knows no MSI-X, so this one takes its place: [`PciTransport`] maps
//! the register groups that [`super::layout`] found and gives each queue an interrupt. Section
//! numbers are those of virtio 1.2. A device that vanishes reads as ones everywhere; no loop here
//! waits for it.

use super::layout::{Layout, LayoutError, device_type};
use crate::drivers::interrupt::{InterruptError, Interrupts, Line, MESSAGES_MAX};
use crate::drivers::mmio::Registers;
use crate::drivers::pci::function::{MemoryRange, MemoryRanges};
use crate::drivers::pci::msix::MessageTable;
use crate::drivers::pci::{Address, Bus, Function};
use core::fmt;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Most queues of a device here: a serial device has two each for a port that is not used, for control
/// messages and for the port that is.
const QUEUES_MAX: usize = 6;
/// How often a configuration that keeps changing is read again.
const CONSISTENT_READS_MAX: usize = 16;
/// How often the status is read until a reset must have taken effect (4.1.4.3.2).
const RESET_READS_MAX: usize = 10_000;
/// "No vector", and what reads back when the device could not take one (4.1.5.1.2).
const NO_VECTOR: u16 = 0xFFFF;

/// Offsets in the common configuration (4.1.4.3).
mod common {
    pub const DEVICE_FEATURE_SELECT: usize = 0x00;
    pub const DEVICE_FEATURE: usize = 0x04;
    pub const DRIVER_FEATURE_SELECT: usize = 0x08;
    pub const DRIVER_FEATURE: usize = 0x0C;
    pub const CONFIG_VECTOR: usize = 0x10;
    pub const STATUS: usize = 0x14;
    pub const CONFIG_GENERATION: usize = 0x15;
    pub const QUEUE_SELECT: usize = 0x16;
    pub const QUEUE_SIZE: usize = 0x18;
    pub const QUEUE_VECTOR: usize = 0x1A;
    pub const QUEUE_ENABLE: usize = 0x1C;
    pub const QUEUE_NOTIFY_OFFSET: usize = 0x1E;
    pub const QUEUE_DESCRIPTORS: usize = 0x20;
    pub const QUEUE_DRIVER: usize = 0x28;
    pub const QUEUE_DEVICE: usize = 0x30;
}

/// Why a virtio device cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// Its type has no driver here.
    UnknownType,
    /// Its registers are not where they should be.
    Layout(LayoutError),
    /// No room to map its registers.
    Unmapped,
    /// It has neither message interrupts nor a usable line.
    NoInterrupt(InterruptError),
    /// It did not take an interrupt vector, or names a notification register outside its memory.
    BadQueue(u16),
    /// It refused the features that it had offered.
    FeaturesRefused,
    /// It is a legacy device only.
    NotModern,
    /// The virtqueue could not be set up.
    Queue(Error),
    /// No memory for its buffers.
    NoMemory,
    /// It is a serial device without ports of which it tells when a host uses them.
    NoPorts,
    /// It reads as ones: it is no longer there.
    Gone,
    /// It asks for a reset, having met an error it cannot recover from.
    NeedsReset,
    /// It returned a buffer that it did not have, or more bytes than there was room for.
    BadCompletion,
}

impl fmt::Display for TransportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType => formatter.write_str("no driver for this virtio device type"),
            Self::Layout(error) => error.fmt(formatter),
            Self::Unmapped => formatter.write_str("no address space for its registers"),
            Self::NoInterrupt(error) => error.fmt(formatter),
            Self::BadQueue(queue) => {
                write!(
                    formatter,
                    "queue {queue} cannot be used; give the device vectors=3"
                )
            }
            Self::FeaturesRefused => formatter.write_str("it refused the features it had offered"),
            Self::NotModern => formatter
                .write_str("it is a legacy device; give it virtio 1.0 (disable-modern=off)"),
            Self::Queue(error) => write!(formatter, "its queues cannot be set up ({error})"),
            Self::NoMemory => {
                formatter.write_str("no memory for its buffers; give the node more memory")
            }
            Self::NoPorts => formatter.write_str(
                "it has no port but the console; give it max_ports=2 and a virtserialport",
            ),
            Self::Gone => formatter.write_str("it has vanished; attach it again and reboot"),
            Self::NeedsReset => formatter.write_str("it failed and asks for a reset; reboot"),
            Self::BadCompletion => {
                formatter.write_str("it returned a buffer that it did not have; reboot")
            }
        }
    }
}

/// The registers of one virtio device.
pub struct PciTransport {
    address: Address,
    ranges: MemoryRanges,
    device_type: DeviceType,
    common: Registers,
    notify: Registers,
    notify_multiplier: u32,
    interrupt_status: Registers,
    device: Option<Registers>,
    /// Offset of each queue's notification register, once the queue is set.
    notify_offsets: [Option<usize>; QUEUES_MAX],
    /// Table entries for configuration changes, for queues that receive and for those that transmit;
    /// without messages, none.
    vectors: Option<[u16; MESSAGES_MAX]>,
    fault: Option<TransportError>,
}

impl PciTransport {
    /// Maps a device's registers and resets it. Its interrupts are off until
    /// [`Self::attach_interrupts`].
    ///
    /// # Errors
    ///
    /// What the device lacks.
    pub fn new(bus: &Bus, function: &Function) -> Result<Self, TransportError> {
        let device_type = device_type(function)
            .and_then(|it| DeviceType::try_from(it).ok())
            .ok_or(TransportError::UnknownType)?;
        function.disable_interrupt_line(&bus.space);
        let ranges = function.enable(&bus.space);
        let layout = Layout::read(&bus.space, function, &ranges).map_err(TransportError::Layout)?;
        let mapped = |range: MemoryRange| {
            usize::try_from(range.length)
                .ok()
                .and_then(|length| Registers::map(range.address, length))
                .ok_or(TransportError::Unmapped)
        };
        let mut transport = Self {
            address: function.address,
            ranges,
            device_type,
            common: mapped(layout.common)?,
            notify: mapped(layout.notify)?,
            notify_multiplier: layout.notify_multiplier,
            interrupt_status: mapped(layout.interrupt_status)?,
            device: layout.device.map(mapped).transpose()?,
            notify_offsets: [None; QUEUES_MAX],
            vectors: None,
            fault: None,
        };
        transport.reset();
        Ok(transport)
    }

    /// Gives the device its interrupts: messages when it can, else its line.
    ///
    /// # Errors
    ///
    /// Why it can have neither.
    pub fn attach_interrupts(
        &mut self,
        bus: &Bus,
        function: &Function,
    ) -> Result<Interrupts, TransportError> {
        if let Some(table) = MessageTable::find(&bus.space, function, &self.ranges)
            && let Ok((interrupts, messages, numbers)) =
                Interrupts::by_messages(table.entries().into())
        {
            for (entry, message) in (0..).zip(messages) {
                table.set(entry, message);
            }
            table.enable(&bus.space, function);
            self.vectors = Some(numbers);
            return Ok(interrupts);
        }
        let number = function.enable_interrupt_line(&bus.space);
        number
            .ok_or(InterruptError::Missing)
            .map(|number| Line::of_pci(number, &bus.overrides))
            .and_then(|line| Interrupts::by_line(line, self.interrupt_status))
            .map_err(TransportError::NoInterrupt)
    }

    /// Where the device is.
    pub fn address(&self) -> Address {
        self.address
    }

    /// How its interrupts come, for the log.
    pub fn interrupt_kind(&self) -> &'static str {
        if self.vectors.is_some() {
            "msi-x"
        } else {
            "intx"
        }
    }

    /// What is wrong with the device, as far as its status and earlier calls tell.
    pub fn check(&self) -> Result<(), TransportError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        match self.status() {
            // Where no device answers, PCI reads ones, and QEMU's i440FX zeros. A device that a driver
            // has acknowledged never reads zero, unless it was reset behind the driver's back (VirtIO
            // 1.2, 2.1): then it is lost as well.
            0 | 0xFF => Err(TransportError::Gone),
            status if status & DeviceStatus::DEVICE_NEEDS_RESET.bits() as u8 != 0 => {
                Err(TransportError::NeedsReset)
            }
            _ => Ok(()),
        }
    }

    /// Whether the device kept the features that `begin_init` wrote, and is a modern one.
    pub fn check_features(&self, version_1: bool) -> Result<(), TransportError> {
        self.check()?;
        if !version_1 {
            return Err(TransportError::NotModern);
        }
        if !self.get_status().contains(DeviceStatus::FEATURES_OK) {
            return Err(TransportError::FeaturesRefused);
        }
        Ok(())
    }

    /// Takes the device out of use: after it, the device touches no memory of ours. Says whether the
    /// device confirmed it.
    pub fn reset(&mut self) -> bool {
        self.common.write_u8(common::STATUS, 0);
        (0..RESET_READS_MAX).any(|_| self.status() == 0)
    }

    fn status(&self) -> u8 {
        self.common.read_u8(common::STATUS).unwrap_or(0xFF)
    }

    fn select_queue(&self, queue: u16) {
        self.common.write_u16(common::QUEUE_SELECT, queue);
    }

    /// Finds the queue's notification register (4.1.4.4) and gives the queue its interrupt.
    fn connect_queue(&mut self, queue: u16) -> Option<()> {
        let slot = self.notify_offsets.get_mut(usize::from(queue))?;
        let number = self.common.read_u16(common::QUEUE_NOTIFY_OFFSET)?;
        let offset = usize::from(number).checked_mul(self.notify_multiplier as usize)?;
        let inside = offset.checked_add(2)? <= self.notify.length() && offset.is_multiple_of(2);
        *slot = inside.then_some(offset);
        (*slot)?;
        let Some(vectors) = self.vectors else {
            return Some(());
        };
        // With virtio's network cards and serial ports, even queues receive and odd ones transmit.
        let vector = vectors[1 + usize::from(queue % 2)];
        self.common.write_u16(common::QUEUE_VECTOR, vector);
        let taken = self.common.read_u16(common::QUEUE_VECTOR)?;
        (taken == vector && taken != NO_VECTOR).then_some(())
    }
}

impl Transport for PciTransport {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn read_device_features(&mut self) -> u64 {
        let half = |select| {
            self.common.write_u32(common::DEVICE_FEATURE_SELECT, select);
            u64::from(self.common.read_u32(common::DEVICE_FEATURE).unwrap_or(0))
        };
        half(0) | half(1) << 32
    }

    fn write_driver_features(&mut self, driver_features: u64) {
        for (select, half) in [
            (0, driver_features as u32),
            (1, (driver_features >> 32) as u32),
        ] {
            self.common.write_u32(common::DRIVER_FEATURE_SELECT, select);
            self.common.write_u32(common::DRIVER_FEATURE, half);
        }
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.select_queue(queue);
        self.common.read_u16(common::QUEUE_SIZE).unwrap_or(0).into()
    }

    fn notify(&mut self, queue: u16) {
        if let Some(Some(offset)) = self.notify_offsets.get(usize::from(queue)) {
            self.notify.write_u16(*offset, queue);
        }
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_retain(self.status().into())
    }

    fn set_status(&mut self, status: DeviceStatus) {
        if status.is_empty() {
            self.reset();
        } else {
            self.common.write_u8(common::STATUS, status.bits() as u8);
        }
    }

    /// Only legacy devices are told a page size.
    fn set_guest_page_size(&mut self, _guest_page_size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        self.select_queue(queue);
        self.common.write_u16(common::QUEUE_SIZE, size as u16);
        self.common
            .write_u64(common::QUEUE_DESCRIPTORS, descriptors);
        self.common.write_u64(common::QUEUE_DRIVER, driver_area);
        self.common.write_u64(common::QUEUE_DEVICE, device_area);
        if self.connect_queue(queue).is_none() {
            self.fault = Some(TransportError::BadQueue(queue));
            return;
        }
        self.common.write_u16(common::QUEUE_ENABLE, 1);
    }

    /// A queue of a PCI device is only undone by a reset (4.1.4.3.2), which the driver does.
    fn queue_unset(&mut self, _queue: u16) {}

    fn queue_used(&mut self, queue: u16) -> bool {
        self.select_queue(queue);
        self.common.read_u16(common::QUEUE_ENABLE) == Some(1)
    }

    /// The interrupt handler reads the status of a line's device; messages need no answer.
    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }

    /// The configuration's interrupt must be set before the device goes live (4.1.5.1.2.1).
    fn finish_init(&mut self) {
        if let Some([vector, ..]) = self.vectors {
            self.common.write_u16(common::CONFIG_VECTOR, vector);
            if self.common.read_u16(common::CONFIG_VECTOR) != Some(vector) {
                self.fault = Some(TransportError::BadQueue(NO_VECTOR));
            }
        }
        let ready = DeviceStatus::ACKNOWLEDGE
            | DeviceStatus::DRIVER
            | DeviceStatus::FEATURES_OK
            | DeviceStatus::DRIVER_OK;
        self.set_status(ready);
    }

    fn read_config_generation(&self) -> u32 {
        self.common
            .read_u8(common::CONFIG_GENERATION)
            .unwrap_or(0)
            .into()
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T, Error> {
        let device = self.device.ok_or(Error::ConfigSpaceMissing)?;
        let mut value = T::new_zeroed();
        let bytes = value.as_mut_bytes();
        // Fields of 2 and 4 bytes are read whole, others byte by byte (4.1.3.1).
        match *bytes {
            [ref mut a, ref mut b] => {
                let word = device.read_u16(offset).ok_or(Error::ConfigSpaceTooSmall)?;
                [*a, *b] = word.to_le_bytes();
            }
            [ref mut a, ref mut b, ref mut c, ref mut d] => {
                let word = device.read_u32(offset).ok_or(Error::ConfigSpaceTooSmall)?;
                [*a, *b, *c, *d] = word.to_le_bytes();
            }
            _ => {
                for (index, byte) in bytes.iter_mut().enumerate() {
                    *byte = device
                        .read_u8(offset + index)
                        .ok_or(Error::ConfigSpaceTooSmall)?;
                }
            }
        }
        Ok(value)
    }

    /// No driver here writes to the device's configuration.
    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        _offset: usize,
        _value: T,
    ) -> Result<(), Error> {
        Err(Error::Unsupported)
    }

    fn read_consistent<T>(&self, read: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        for _ in 0..CONSISTENT_READS_MAX {
            let before = self.read_config_generation();
            let value = read();
            if self.read_config_generation() == before {
                return value;
            }
        }
        Err(Error::IoError)
    }
}

impl Drop for PciTransport {
    /// A device without a driver must not go on writing to memory.
    fn drop(&mut self) {
        self.reset();
    }
}
