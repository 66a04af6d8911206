//! The 16-bit cyclic redundancy check of CCITT (polynomial 0x1021), bit by bit: the loop of shifts
//! and branches is the point, so there is no table.

const POLYNOMIAL: u16 = 0x1021;

/// A running check.
#[derive(Default)]
pub struct Crc16(u16);

impl Crc16 {
    /// Adds two bytes, high one first.
    pub fn add(&mut self, value: u16) {
        self.add_byte((value >> 8) as u8);
        self.add_byte(value as u8);
    }

    /// Adds one byte.
    pub fn add_byte(&mut self, byte: u8) {
        self.0 ^= u16::from(byte) << 8;
        for _ in 0..8 {
            let carry = self.0 & 0x8000 != 0;
            self.0 <<= 1;
            if carry {
                self.0 ^= POLYNOMIAL;
            }
        }
    }

    /// The check so far.
    pub fn value(&self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Crc16;

    #[test]
    fn the_published_check_value_of_xmodem_is_met() {
        let mut crc = Crc16::default();
        b"123456789".iter().for_each(|&byte| crc.add_byte(byte));
        assert_eq!(crc.value(), 0x31C3);
    }
}
