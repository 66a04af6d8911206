//! Drivers: PCI and its interrupts, virtio network cards, entropy device and channel to the host,
//! real-time clock, power.
//!
//! [`Devices::find`] brings up what there is. A device that cannot be used costs one line in the log,
//! which names it and says what to do; the node goes on without it. What the drivers need of the rest
//! of the machine is in [`platform`]; [`interrupt`] connects interrupts to the flags that the drivers
//! look at. No driver waits for a device longer than a bounded moment, and none panics on what a
//! device says.

pub mod calendar;
pub mod channel;
pub mod entropy;
pub mod fw_cfg;
pub mod interrupt;
pub mod mmio;
pub mod net;
pub mod pci;
pub mod platform;
pub mod power;
pub mod rng;
pub mod rtc;
pub mod virtio;

use crate::acpi::Platform;
use alloc::vec::Vec;
use channel::ChannelDevice;
use net::NetworkCard;
use pci::{Bus, Function};
use rng::EntropyDevice;
use virtio::TransportError;

/// Most network cards that are brought up.
const NETWORK_CARDS_MAX: usize = 4;

/// The devices of this machine.
pub struct Devices {
    /// PCI, for whoever resets the machine by it.
    pub bus: Bus,
    /// The network cards, in the order of their places.
    pub network: Vec<NetworkCard>,
    /// The entropy device, if there is one.
    pub entropy: Option<EntropyDevice>,
    /// The channel to the host, if there is one.
    pub channel: Option<ChannelDevice>,
}

impl Devices {
    /// Finds the devices and brings them up.
    pub fn find(platform: &Platform) -> Self {
        let bus = Bus::new(platform);
        let mut devices = Self {
            network: Vec::new(),
            entropy: None,
            channel: None,
            bus,
        };
        let functions = pci::enumerate(&devices.bus.space);
        pci::assign_memory(&devices.bus.space, &functions);
        // A device without a driver must not hold a line active that another one shares.
        for function in &functions {
            function.disable_interrupt_line(&devices.bus.space);
        }
        for function in functions {
            if let Some(kind) = virtio::layout::device_type(&function)
                && let Err(error) = devices.add(kind, &function)
            {
                crate::log!("pci {}: virtio device not used: {error}", function.address);
            }
        }
        devices
    }

    fn add(&mut self, device_type: u16, function: &Function) -> Result<(), TransportError> {
        match device_type {
            net::DEVICE_TYPE if self.network.len() < NETWORK_CARDS_MAX => {
                let card = NetworkCard::new(&self.bus, function)?;
                let [a, b, c, d, e, f] = card.mac();
                crate::log!(
                    "net {}: {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, mtu {}, {}, link {}",
                    function.address,
                    card.mtu(),
                    card.interrupt_kind(),
                    if card.link_up() { "up" } else { "down" },
                );
                self.network.push(card);
            }
            rng::DEVICE_TYPE if self.entropy.is_none() => {
                self.entropy = Some(EntropyDevice::new(&self.bus, function)?);
            }
            channel::DEVICE_TYPE if self.channel.is_none() => {
                let device = ChannelDevice::new(&self.bus, function)?;
                let interrupts = device.interrupt_kind();
                crate::log!("channel {}: {interrupts}", function.address);
                self.channel = Some(device);
            }
            _ => {}
        }
        Ok(())
    }
}
