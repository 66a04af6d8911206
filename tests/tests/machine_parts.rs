//! Runs the unit tests of those parts of `kernel/metal` that are pure, as the kernel's binary itself
//! has no test harness: ACPI tables, the real-time clock's calendar, PCI enumeration and
//! addresses, virtio layout, control messages of the channel, the buffer of log lines.
#![allow(dead_code, missing_docs)]

extern crate alloc;

#[path = "../../kernel/metal/src/acpi/mod.rs"]
mod acpi;
#[path = "../../kernel/metal/src/drivers/calendar.rs"]
mod calendar;
#[path = "../../kernel/metal/src/drivers/pci/capability.rs"]
mod capability;
#[path = "../../kernel/metal/src/drivers/pci/function.rs"]
mod function;
#[path = "../../kernel/metal/src/drivers/virtio/layout.rs"]
mod layout;
#[path = "../../kernel/metal/src/journal/lines.rs"]
mod lines;
#[path = "../../kernel/metal/src/drivers/channel/message.rs"]
mod message;
#[path = "../../kernel/metal/src/drivers/pci/window.rs"]
mod window;

use function::{ConfigurationSpace, Function};

/// The places where those files look for each other.
mod drivers {
    pub(crate) mod pci {
        pub(crate) use crate::{capability, function};
    }
}
