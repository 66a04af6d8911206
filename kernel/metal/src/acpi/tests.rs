//! Tests of the table reader, on tables built here by the specification's offsets.

use super::*;
use alloc::vec;

/// Physical memory that is there in the listed places only.
#[derive(Default)]
struct Memory(Vec<(u64, Vec<u8>)>);

impl PhysicalMemory for Memory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        self.0.iter().find_map(|(start, bytes)| {
            let offset = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(offset..offset.checked_add(length)?)
        })
    }
}

fn with_checksum(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] = 0;
    bytes[at] = checksum(&bytes).wrapping_neg();
    bytes
}

fn table_of(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LENGTH];
    bytes[..4].copy_from_slice(signature);
    bytes[4..8].copy_from_slice(&((HEADER_LENGTH + body.len()) as u32).to_le_bytes());
    bytes.extend_from_slice(body);
    with_checksum(bytes, 9)
}

fn root_pointer(root_table: u32) -> Vec<u8> {
    let mut bytes = b"RSD PTR \0OEMID.\0....".to_vec();
    bytes[16..20].copy_from_slice(&root_table.to_le_bytes());
    with_checksum(bytes, 8)
}

/// A machine whose tables lie at 0x2000, 0x3000, ...
fn machine(tables: Vec<Vec<u8>>) -> Memory {
    let places = (0..tables.len()).map(|it| 0x2000 + 0x1000 * it as u64);
    let entries: Vec<u8> = places
        .clone()
        .flat_map(|it| (it as u32).to_le_bytes())
        .collect();
    let mut memory = Memory(places.zip(tables).collect());
    memory.0.push((0x1000, table_of(b"RSDT", &entries)));
    memory.0.push((0xF_5000, root_pointer(0x1000)));
    memory
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset - HEADER_LENGTH..][..value.len()].copy_from_slice(value);
}

#[test]
fn controllers_and_overrides_are_listed() {
    let mut body = vec![0x00, 0x00, 0xE0, 0xFE, 1, 0, 0, 0];
    body.extend([0, 8, 0, 0, 1, 0, 0, 0]); // processor 0, enabled
    body.extend([0, 8, 1, 1, 0, 0, 0, 0]); // processor 1, not enabled
    body.extend([0, 8, 2, 5, 1, 0, 0, 0]);
    body.extend([1, 12, 7, 0, 0, 0, 0xC0, 0xFE, 0, 0, 0, 0]);
    body.extend([2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
    body.extend([2, 10, 0, 11, 11, 0, 0, 0, 0x0D, 0]);
    let platform = Platform::read(&machine(vec![table_of(b"APIC", &body)]), 0).unwrap();
    assert_eq!(platform.local_apic_address, Some(0xFEE0_0000));
    assert_eq!(platform.processors, [0, 5]);
    let io_apic = IoApic {
        id: 7,
        address: 0xFEC0_0000,
        first_gsi: 0,
    };
    assert_eq!(platform.io_apics, [io_apic]);
    let timer = InterruptOverride {
        legacy: 0,
        gsi: 2,
        polarity: Polarity::BusDefault,
        trigger: Trigger::BusDefault,
    };
    let line = InterruptOverride {
        legacy: 11,
        gsi: 11,
        polarity: Polarity::High,
        trigger: Trigger::Level,
    };
    assert_eq!(platform.overrides, [timer, line]);
}

#[test]
fn power_registers_and_sleep_type_are_found() {
    let mut fixed = vec![0; 244 - HEADER_LENGTH];
    put(&mut fixed, 40, &0x4000_u32.to_le_bytes()); // DSDT
    put(&mut fixed, 48, &0xB2_u32.to_le_bytes());
    put(&mut fixed, 52, &[0xF1]);
    put(&mut fixed, 64, &0x604_u32.to_le_bytes());
    put(&mut fixed, 76, &0x608_u32.to_le_bytes());
    put(&mut fixed, 108, &[0x32]);
    put(&mut fixed, 112, &(1_u32 << 10).to_le_bytes());
    put(&mut fixed, 116, &[1, 8, 0, 1, 0xF9, 0x0C, 0, 0, 0, 0, 0, 0]);
    put(&mut fixed, 128, &[0x0F]);
    let mut code = b"\x08_S4_\x12\x06\x04\x0A\x02\x0A\x02\x00\x00".to_vec();
    code.extend(b"\x08_S5_\x12\x06\x04\x0A\x05\x01\x00\x00");
    let tables = vec![table_of(b"FACP", &fixed), vec![], table_of(b"DSDT", &code)];
    let platform = Platform::read(&machine(tables), 0xF_5000).unwrap();
    assert_eq!(
        platform.pm_timer,
        Some(PmTimer {
            port: 0x608,
            width_bits: 24
        })
    );
    assert_eq!(platform.century_register, Some(0x32));
    let power = PowerRegisters {
        pm1a_control: Some(0x604),
        pm1b_control: None,
        acpi_enable: Some((0xB2, 0xF1)),
        sleep_control: None,
        soft_off: Some((5, 1)),
        reset: Some((RegisterAddress::Port(0xCF9), 0x0F)),
    };
    assert_eq!(platform.power, power);
}

#[test]
fn a_machine_with_reduced_hardware_has_a_sleep_control() {
    let mut fixed = vec![0; 268 - HEADER_LENGTH];
    put(&mut fixed, 112, &(1_u32 << 20).to_le_bytes());
    put(&mut fixed, 244, &[0, 8, 0, 1, 0, 2, 0xA0, 0xFE, 0, 0, 0, 0]);
    let platform = Platform::read(&machine(vec![table_of(b"FACP", &fixed)]), 0).unwrap();
    let place = Some(RegisterAddress::Memory(0xFEA0_0200));
    assert_eq!(platform.power.sleep_control, place);
    // Elsewhere the field means nothing.
    put(&mut fixed, 112, &0_u32.to_le_bytes());
    let platform = Platform::read(&machine(vec![table_of(b"FACP", &fixed)]), 0).unwrap();
    assert_eq!(platform.power.sleep_control, None);
}

#[test]
fn configuration_space_and_timer_are_found() {
    let mut ranges = vec![0; 8];
    ranges.extend(0xB000_0000_u64.to_le_bytes());
    ranges.extend([0, 0, 0, 255, 0, 0, 0, 0]);
    ranges.extend(0xC000_0000_u64.to_le_bytes());
    ranges.extend([1, 0, 0, 255, 0, 0, 0, 0]); // segment 1
    let mut timer = vec![0; 20];
    put(&mut timer, 44, &0xFED0_0000_u64.to_le_bytes());
    let tables = vec![table_of(b"MCFG", &ranges), table_of(b"HPET", &timer)];
    let platform = Platform::read(&machine(tables), 0).unwrap();
    let region = PciRegion {
        address: 0xB000_0000,
        first_bus: 0,
        last_bus: 255,
    };
    assert_eq!(platform.pci_regions, [region]);
    assert_eq!(platform.hpet_address, Some(0xFED0_0000));
}

#[test]
fn a_missing_root_is_named() {
    assert_eq!(
        Platform::read(&Memory::default(), 0),
        Err(AcpiError::NoRootPointer)
    );
    let broken = Memory(vec![(0xF_5000, root_pointer(0x1000))]);
    let expected = Err(AcpiError::BadRootTable { address: 0x1000 });
    assert_eq!(Platform::read(&broken, 0xF_5000), expected);
}

#[test]
fn a_damaged_table_is_passed_over() {
    let mut damaged = table_of(b"HPET", &[0xFF; 20]);
    damaged[40] ^= 1;
    let platform = Platform::read(&machine(vec![damaged]), 0).unwrap();
    assert_eq!(platform, Platform::default());
}

/// Every truncation and every single wrong byte, with the checksum put right so that the readers see
/// it: any answer will do, as long as there is one.
#[test]
fn no_table_makes_the_reader_panic() {
    let code = b"\x08_S5_\x12\x06\x04\x0A\x05\x01\x00\x00".to_vec();
    let mut madt = vec![0; 8];
    madt.extend([
        0, 8, 0, 0, 1, 0, 0, 0, 1, 12, 7, 0, 0, 0, 0xC0, 0xFE, 0, 0, 0, 0,
    ]);
    madt.extend([2, 10, 0, 11, 11, 0, 0, 0, 0x0D, 0]);
    for (signature, body) in [(b"APIC", madt), (b"SSDT", code), (b"MCFG", vec![7; 40])] {
        for length in 0..=body.len() {
            let cut = table_of(signature, &body[..length]);
            assert!(Platform::read(&machine(vec![cut]), 0).is_ok());
        }
        for at in 0..body.len() {
            for value in [0, 1, 2, 0x7F, 0x80, 0xC0, 0xFF] {
                let mut wrong = body.clone();
                wrong[at] = value;
                let tables = vec![table_of(signature, &wrong)];
                assert!(Platform::read(&machine(tables), 0).is_ok());
            }
        }
    }
}
