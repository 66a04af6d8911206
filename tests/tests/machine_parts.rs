//! Runs the unit tests of those parts of `kernel/metal` that are pure, as the kernel's binary itself
//! has no test harness: ACPI tables, the real-time clock's calendar, PCI enumeration, virtio layout.
#![allow(dead_code, missing_docs)]

extern crate alloc;

#[path = "../../kernel/metal/src/acpi/mod.rs"]
mod acpi;
#[path = "../../kernel/metal/src/drivers/calendar.rs"]
mod calendar;
