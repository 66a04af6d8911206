//! Numbers, types and operands in the bytes of a frame map. Numbers are LEB128.

use super::map::{Operand, Place};
use crate::ValType;
use alloc::vec::Vec;

const TYPES: [ValType; 7] = [
    ValType::I32,
    ValType::I64,
    ValType::F32,
    ValType::F64,
    ValType::V128,
    ValType::FuncRef,
    ValType::ExternRef,
];

/// The place of an operand, above the three bits of its type.
const CELLS: u8 = 0;
const LOCAL: u8 = 1 << 3;
const CONSTANT: u8 = 2 << 3;
const REGISTER: u8 = 3 << 3;
/// Several operands that are alike; their number follows.
const RUN: u8 = 1 << 5;

/// The byte that stands for a type.
pub(crate) fn type_byte(value_type: ValType) -> u8 {
    match value_type {
        ValType::I32 => 0,
        ValType::I64 => 1,
        ValType::F32 => 2,
        ValType::F64 => 3,
        ValType::V128 => 4,
        ValType::FuncRef => 5,
        ValType::ExternRef => 6,
    }
}

/// Appends `number`.
pub(crate) fn push_number(bytes: &mut Vec<u8>, number: u32) {
    push_wide(bytes, number.into());
}

fn push_wide(bytes: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Appends `count` operands like `operand`.
pub(crate) fn push_operands(bytes: &mut Vec<u8>, operand: &Operand, count: u32) {
    let place = match operand.place {
        Place::Cells => CELLS,
        Place::Register => REGISTER,
        Place::Local(_) => LOCAL,
        Place::Constant(_) => CONSTANT,
    };
    let run = if count > 1 { RUN } else { 0 };
    bytes.push(type_byte(operand.value_type) | place | run);
    if count > 1 {
        push_number(bytes, count);
    }
    match operand.place {
        Place::Cells | Place::Register => {}
        Place::Local(index) => push_number(bytes, index),
        Place::Constant(bits) => push_wide(bytes, bits),
    }
}

/// Reads what the functions above wrote. `None` at the end of the bytes.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], position: usize) -> Reader<'a> {
        Reader { bytes, position }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.position >= self.bytes.len()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.position)?;
        self.position += 1;
        Some(byte)
    }

    pub(crate) fn number(&mut self) -> Option<u32> {
        // Most are small, and captures read many.
        match self.bytes.get(self.position) {
            Some(&byte) if byte < 0x80 => {
                self.position += 1;
                Some(byte.into())
            }
            Some(&low) => match self.bytes.get(self.position + 1) {
                Some(&high) if high < 0x80 => {
                    self.position += 2;
                    Some(u32::from(low & 0x7f) | u32::from(high) << 7)
                }
                _ => self.wide().map(|number| number as u32),
            },
            None => self.wide().map(|number| number as u32),
        }
    }

    /// Bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.position)
    }

    /// Where it is.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// A part whose length is told before it, which it passes by.
    pub(crate) fn part(&mut self) -> Option<Reader<'a>> {
        let length = self.number()? as usize;
        let end = self.position.checked_add(length)?;
        let part = Reader::new(self.bytes.get(..end)?, self.position);
        self.position = end;
        Some(part)
    }

    fn wide(&mut self) -> Option<u128> {
        let (mut number, mut shift) = (0_u128, 0);
        loop {
            let byte = self.byte()?;
            number |= u128::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
            shift += 7;
        }
    }

    pub(crate) fn value_type(&mut self) -> Option<ValType> {
        TYPES.get(usize::from(self.byte()?)).copied()
    }

    /// An operand, and how many are like it.
    pub(crate) fn operands(&mut self) -> Option<(Operand, u32)> {
        let byte = self.byte()?;
        let value_type = *TYPES.get(usize::from(byte & 7))?;
        let count = match byte & RUN {
            0 => 1,
            _ => self.number()?,
        };
        let place = match byte & REGISTER {
            CELLS => Place::Cells,
            LOCAL => Place::Local(self.number()?),
            CONSTANT => Place::Constant(self.wide()?),
            _ => Place::Register,
        };
        Some((Operand { value_type, place }, count))
    }
}
