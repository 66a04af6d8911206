//! Wild values in states: a serializer of postcard's wire format that changes one value on its way.
//!
//! What it makes decodes as the type that it was made of, or nearly so: a number is another number, a list lost its
//! end or repeats it, an option came or went. So it reaches the checks behind the decoder, which flipped bits
//! seldom do. [`count_values`] says how many values there are, [`with_wild_value`] changes one of them.

use serde::ser::{self, Serialize};
use std::fmt;

/// How a value is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wildness {
    /// The least of its type; a list lost its last element; an option is none.
    Least,
    /// The greatest of its type; a list has its last element twice.
    Greatest,
    /// One more.
    Next,
    /// One less.
    Previous,
    /// This, cut to its type.
    Random(u64),
}

/// How many values a state has.
///
/// # Panics
/// When it is of a kind that postcard cannot hold.
pub fn count_values(state: &impl Serialize) -> u64 {
    let mut writer = Writer::new(u64::MAX, Wildness::Least);
    state.serialize(&mut writer).expect("plain data");
    writer.count
}

/// The state in postcard with its `number`-th value changed.
///
/// # Panics
/// When it is of a kind that postcard cannot hold.
pub fn with_wild_value(state: &impl Serialize, number: u64, wildness: Wildness) -> Vec<u8> {
    let mut writer = Writer::new(number, wildness);
    state.serialize(&mut writer).expect("plain data");
    writer.out
}

struct Writer {
    out: Vec<u8>,
    count: u64,
    number: u64,
    wildness: Wildness,
}

impl Writer {
    fn new(number: u64, wildness: Wildness) -> Writer {
        Writer {
            out: Vec::new(),
            count: 0,
            number,
            wildness,
        }
    }

    /// Counts a value; how it is to be changed, if it is the one.
    fn wild(&mut self) -> Option<Wildness> {
        let is_it = self.count == self.number;
        self.count += 1;
        is_it.then_some(self.wildness)
    }

    /// A number of `bits` bits, changed if it is the one.
    fn changed(&mut self, value: u128, bits: u32) -> u128 {
        let most = u128::MAX >> (128 - bits);
        match self.wild() {
            None => value,
            Some(Wildness::Least) => 0,
            Some(Wildness::Greatest) => most,
            Some(Wildness::Next) => value.wrapping_add(1) & most,
            Some(Wildness::Previous) => value.wrapping_sub(1) & most,
            Some(Wildness::Random(random)) => u128::from(random) & most,
        }
    }

    /// Postcard's variable length: seven bits in each byte, the lowest first.
    fn put(&mut self, mut value: u128) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    fn put_number(&mut self, value: u128, bits: u32) {
        let value = self.changed(value, bits);
        self.put(value);
    }

    /// A signed number: the sign is its lowest bit.
    fn put_signed(&mut self, value: i128, bits: u32) {
        let zigzag = (value << 1) ^ (value >> 127);
        self.put_number(zigzag as u128 & (u128::MAX >> (128 - bits)), bits);
    }

    /// Bytes behind their length, changed if they are the one.
    fn put_bytes(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        match self.wild() {
            None => {}
            Some(Wildness::Least) => bytes.clear(),
            Some(Wildness::Greatest) => bytes.resize(bytes.len() + 100_000, b'x'),
            Some(Wildness::Next) => bytes.push(b'x'),
            Some(Wildness::Previous) => drop(bytes.pop()),
            Some(Wildness::Random(random)) => {
                let place = random as usize % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = (random >> 32) as u8 & 0x7f;
                }
            }
        }
        self.put(bytes.len() as u128);
        self.out.extend(bytes);
    }
}

/// Something that postcard has no form for.
#[derive(Debug)]
pub struct Unsupported(String);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsupported {}

impl ser::Error for Unsupported {
    fn custom<T: fmt::Display>(text: T) -> Unsupported {
        Unsupported(text.to_string())
    }
}

/// A list in the making: its elements' bytes, since its length comes first.
struct List<'a> {
    writer: &'a mut Writer,
    wild: Option<Wildness>,
    /// What came before it.
    before: Vec<u8>,
    ends: Vec<usize>,
}

impl<'a> List<'a> {
    fn begin(writer: &'a mut Writer) -> List<'a> {
        let wild = writer.wild();
        let before = std::mem::take(&mut writer.out);
        List {
            writer,
            wild,
            before,
            ends: Vec::new(),
        }
    }

    fn finish(self) {
        let mut elements = std::mem::replace(&mut self.writer.out, self.before);
        let mut length = self.ends.len();
        let start_of_last = match length {
            0 | 1 => 0,
            _ => self.ends[length - 2],
        };
        match self.wild {
            None | Some(Wildness::Random(_)) => {}
            Some(Wildness::Least) => {
                elements.clear();
                length = 0;
            }
            Some(Wildness::Previous) => {
                elements.truncate(start_of_last);
                length = length.saturating_sub(1);
            }
            Some(Wildness::Next | Wildness::Greatest) if length > 0 => {
                let times = match self.wild {
                    Some(Wildness::Greatest) => 5000,
                    _ => 1,
                };
                let last = elements[start_of_last..].to_vec();
                (0..times).for_each(|_| elements.extend(&last));
                length += times;
            }
            Some(Wildness::Next | Wildness::Greatest) => {}
        }
        self.writer.put(length as u128);
        self.writer.out.extend(elements);
    }
}

impl ser::SerializeSeq for List<'_> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unsupported> {
        value.serialize(&mut *self.writer)?;
        self.ends.push(self.writer.out.len());
        Ok(())
    }

    fn end(self) -> Result<(), Unsupported> {
        self.finish();
        Ok(())
    }
}

impl ser::SerializeMap for List<'_> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Unsupported> {
        key.serialize(&mut *self.writer)
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unsupported> {
        value.serialize(&mut *self.writer)?;
        self.ends.push(self.writer.out.len());
        Ok(())
    }

    fn end(self) -> Result<(), Unsupported> {
        self.finish();
        Ok(())
    }
}

/// Parts one after the other, without a length.
macro_rules! in_a_row {
    ($($kind:ident $method:ident ($($name:ident)?)),*) => {$(
        impl ser::$kind for &mut Writer {
            type Ok = ();
            type Error = Unsupported;

            fn $method<T: ?Sized + Serialize>(
                &mut self,
                $($name: &'static str,)?
                value: &T,
            ) -> Result<(), Unsupported> {
                $(let _ = $name;)?
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Unsupported> {
                Ok(())
            }
        }
    )*};
}

in_a_row!(
    SerializeTuple serialize_element (),
    SerializeTupleStruct serialize_field (),
    SerializeTupleVariant serialize_field (),
    SerializeStruct serialize_field (name),
    SerializeStructVariant serialize_field (name)
);

/// Numbers of variable length.
macro_rules! numbers {
    ($($method:ident $kind:ty),*) => {$(
        fn $method(self, value: $kind) -> Result<(), Unsupported> {
            self.put_number(u128::from(value), <$kind>::BITS);
            Ok(())
        }
    )*};
}

/// Signed numbers of variable length.
macro_rules! signed_numbers {
    ($($method:ident $kind:ty),*) => {$(
        fn $method(self, value: $kind) -> Result<(), Unsupported> {
            self.put_signed(i128::from(value), <$kind>::BITS);
            Ok(())
        }
    )*};
}

impl<'a> ser::Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Unsupported;
    type SerializeSeq = List<'a>;
    type SerializeTuple = &'a mut Writer;
    type SerializeTupleStruct = &'a mut Writer;
    type SerializeTupleVariant = &'a mut Writer;
    type SerializeMap = List<'a>;
    type SerializeStruct = &'a mut Writer;
    type SerializeStructVariant = &'a mut Writer;

    numbers!(serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_u128 u128);
    signed_numbers!(serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_i128 i128);

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), Unsupported> {
        let value = self.changed(u128::from(value), 1);
        self.out.push(value as u8);
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Unsupported> {
        let value = self.changed(u128::from(value), 8);
        self.out.push(value as u8);
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Unsupported> {
        self.serialize_u8(value as u8)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Unsupported> {
        let bits = self.changed(u128::from(value.to_bits()), 32) as u32;
        self.out.extend(bits.to_le_bytes());
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Unsupported> {
        let bits = self.changed(u128::from(value.to_bits()), 64) as u64;
        self.out.extend(bits.to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Unsupported> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Unsupported> {
        self.put_bytes(value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Unsupported> {
        self.put_bytes(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unsupported> {
        self.out.push(0);
        Ok(())
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Unsupported> {
        if self.wild() == Some(Wildness::Least) {
            self.out.push(0);
            return Ok(());
        }
        self.out.push(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unsupported> {
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Unsupported> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
    ) -> Result<(), Unsupported> {
        self.put_number(u128::from(index), 32);
        Ok(())
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Unsupported> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<(), Unsupported> {
        // Often another variant's value has the same form.
        self.put_number(u128::from(index), 32);
        value.serialize(self)
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<List<'a>, Unsupported> {
        Ok(List::begin(self))
    }

    fn serialize_tuple(self, _length: usize) -> Result<&'a mut Writer, Unsupported> {
        Ok(self)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<&'a mut Writer, Unsupported> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<&'a mut Writer, Unsupported> {
        self.put_number(u128::from(index), 32);
        Ok(self)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<List<'a>, Unsupported> {
        Ok(List::begin(self))
    }

    fn serialize_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<&'a mut Writer, Unsupported> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<&'a mut Writer, Unsupported> {
        self.put_number(u128::from(index), 32);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Something of every kind that states have.
    type Sample = (
        Vec<(u16, i64)>,
        BTreeMap<u32, String>,
        Option<f64>,
        [u8; 3],
        Result<u64, bool>,
        u128,
    );

    fn sample() -> Sample {
        let names = BTreeMap::from([(1, "one".into()), (300, "many".into())]);
        (
            vec![(5, -6), (70_000_u32 as u16, i64::MIN)],
            names,
            Some(2.5),
            [7, 8, 9],
            Ok(1 << 40),
            u128::MAX,
        )
    }

    #[test]
    fn nothing_changed_is_what_postcard_writes() {
        let state = sample();
        let written = with_wild_value(&state, u64::MAX, Wildness::Least);
        assert_eq!(written, postcard::to_allocvec(&state).expect("plain data"));
    }

    #[test]
    fn every_value_changes_and_most_still_decode() {
        let state = sample();
        let plain = postcard::to_allocvec(&state).expect("plain data");
        let count = count_values(&state);
        assert!(count > 15, "{count}");
        let mut decoded = 0;
        for number in 0..count {
            let changed = [
                Wildness::Least,
                Wildness::Greatest,
                Wildness::Next,
                Wildness::Previous,
            ]
            .map(|wildness| with_wild_value(&state, number, wildness));
            assert!(
                changed.iter().any(|bytes| *bytes != plain),
                "value {number}"
            );
            let decodes = |bytes: &&Vec<u8>| postcard::from_bytes::<Sample>(bytes).is_ok();
            decoded += changed.iter().filter(decodes).count() as u64;
        }
        assert!(decoded > 3 * count, "{decoded} of {}", 4 * count);
    }
}
