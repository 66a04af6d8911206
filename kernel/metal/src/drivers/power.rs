//! Powers the machine off and resets it: as the firmware's tables say, else by the ways of QEMU and
//! of every PC.

use super::mmio::Registers;
use super::pci::{Address, Bus, ConfigurationSpace};
use super::platform;
use crate::acpi::{PowerRegisters, RegisterAddress};
use core::arch::x86_64::__cpuid;
use x86_64::instructions::port::Port;

/// PM1 control (ACPI 6.5, 4.8.3.2.1): the system, not the firmware, has the power registers.
const SCI_ENABLE: u16 = 1 << 0;
/// PM1 control: where the sleep type is.
const SLEEP_TYPE_SHIFT: u16 = 10;
/// PM1 control: where the sleep type was, to be replaced.
const SLEEP_TYPE_MASK: u16 = 7 << SLEEP_TYPE_SHIFT;
/// PM1 control: go to sleep.
const SLEEP_ENABLE: u16 = 1 << 13;
/// Sleep control of reduced hardware (4.8.3.7): the sleep type, and go to sleep.
const REDUCED_TYPE_SHIFT: u8 = 2;
const REDUCED_SLEEP_ENABLE: u8 = 1 << 5;
/// How often is looked whether the firmware has handed the registers over, 1 us each.
const HANDOVER_READS_MAX: usize = 300_000;
/// How long something may take that must have effect before the next way is tried: a hypervisor that
/// is short of CPU carries it out late, and must not see the next one first.
const SETTLE_NS: u64 = 2_000_000_000;

/// Where QEMU's machine types have PM1 control, should the tables be missing: q35 and newer pc, older
/// pc (QEMU, hw/acpi/ich9.c and piix4.c).
const QEMU_PM1_CONTROL: [u16; 2] = [0x604, 0xB004];
/// QEMU's isa-debug-exit, which ends QEMU with status 2 * value + 1 where it is configured.
const QEMU_DEBUG_EXIT: u16 = 0xF4;

/// Switches the machine off. Returns when nothing of what is known to do that has worked.
pub fn power_off(registers: &PowerRegisters, bus: Option<&Bus>) {
    if let (Some(place), Some((kind, _))) = (registers.sleep_control, registers.soft_off) {
        let value = kind << REDUCED_TYPE_SHIFT | REDUCED_SLEEP_ENABLE;
        write_register(place, value, bus);
        settle();
    }
    if let (Some(port), Some((first, second))) = (registers.pm1a_control, registers.soft_off) {
        take_power_registers(registers, port);
        sleep(port, first);
        if let Some(port) = registers.pm1b_control {
            sleep(port, second);
        }
        settle();
    }
    if is_virtual() {
        for port in QEMU_PM1_CONTROL {
            // Sleep type 0 is soft-off there.
            sleep(port, 0);
            settle();
        }
        // SAFETY: on a virtual machine the port belongs to the debug exit or to nobody.
        unsafe { Port::<u32>::new(QEMU_DEBUG_EXIT).write(0) };
        settle();
    }
}

/// Resets the machine. Returns when nothing of what is known to do that has worked; an exception
/// without a handler is then left to try.
pub fn reset(registers: &PowerRegisters, bus: Option<&Bus>) {
    if let Some((place, value)) = registers.reset {
        write_register(place, value, bus);
        settle();
    }
    // SAFETY: 0xCF9 is the reset control of PC chip sets since the PIIX3 (2: hard reset, 4: now), 0x64
    // the keyboard controller, whose command 0xFE pulses the reset line; resetting is the purpose.
    unsafe {
        Port::<u8>::new(0xCF9).write(0x02);
        Port::<u8>::new(0xCF9).write(0x06);
        settle();
        Port::<u8>::new(0x64).write(0xFE);
    }
    settle();
}

/// Asks the firmware for the power registers, unless the system has them already.
fn take_power_registers(registers: &PowerRegisters, control: u16) {
    let Some((port, value)) = registers.acpi_enable else {
        return;
    };
    if read_control(control) & SCI_ENABLE != 0 {
        return;
    }
    // SAFETY: the tables name this port and value for the purpose (ACPI 6.5, 5.2.9, SMI_CMD).
    unsafe { Port::<u8>::new(port).write(value) };
    for _ in 0..HANDOVER_READS_MAX {
        if read_control(control) & SCI_ENABLE != 0 {
            return;
        }
    }
}

fn sleep(control: u16, sleep_type: u8) {
    let kept = read_control(control) & !(SLEEP_TYPE_MASK | SLEEP_ENABLE);
    let value = kept | u16::from(sleep_type) << SLEEP_TYPE_SHIFT;
    // SAFETY: the port is PM1 control, by the tables or by QEMU's documentation; powering off is the
    // purpose. The type goes first and the enable bit after it, as 4.8.3.2.1 allows.
    unsafe {
        Port::<u16>::new(control).write(value);
        Port::<u16>::new(control).write(value | SLEEP_ENABLE);
    }
}

fn read_control(port: u16) -> u16 {
    // SAFETY: reading PM1 control has no effects.
    unsafe { Port::<u16>::new(port).read() }
}

/// Writes a register that the tables name for switching off or resetting.
fn write_register(place: RegisterAddress, value: u8, bus: Option<&Bus>) {
    match place {
        // SAFETY: the tables name this port and value for the purpose.
        RegisterAddress::Port(port) => unsafe { Port::<u8>::new(port).write(value) },
        RegisterAddress::Memory(address) => {
            if let Some(registers) = Registers::map(address, 1) {
                registers.write_u8(0, value);
            }
        }
        RegisterAddress::PciConfiguration {
            device,
            function,
            offset,
        } => {
            let Some(bus) = bus else { return };
            let address = Address {
                bus: 0,
                device,
                function,
            };
            let shift = 8 * u32::from(offset & 3);
            let kept = bus.space.read(address, offset) & !(0xFF << shift);
            bus.space
                .write(address, offset, kept | u32::from(value) << shift);
        }
    }
}

/// Lets time pass, asleep: a CPU that keeps QEMU busy delays what QEMU was asked for.
fn settle() {
    platform::wait(SETTLE_NS);
}

/// Whether there is a hypervisor (CPUID 1, ECX bit 31).
fn is_virtual() -> bool {
    __cpuid(1).ecx & (1 << 31) != 0
}
