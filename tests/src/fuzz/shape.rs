//! [`Shape`]: any plain data as a tree that can be changed at random and written as postcard again.
//!
//! A serializer makes it, so that it follows every type of a snapshot without knowing one. What a change
//! makes need not be of the type any more: whoever decodes it has to say so.

use rand::rngs::SmallRng;
use rand::{Rng, seq::IndexedRandom};
use serde::Serialize;
use serde::ser::{self, Serializer};

/// Bytes and elements that a growing list or text gets at most.
const GROWTH_MOST: usize = 64;
/// Places that are looked at for one that holds a value itself.
const NUDGE_TRIES: usize = 1000;

/// A piece of plain data, as postcard stores it.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Bytes as they are: `bool`, one-byte numbers, floats.
    Fixed(Vec<u8>),
    /// An unsigned number, or the index of an enum's variant.
    Number(u128),
    /// A signed number.
    Signed(i128),
    /// A text or a run of bytes, its length before it.
    Bytes(Vec<u8>),
    /// An option.
    Optional(Option<Box<Shape>>),
    /// An enum's variant: its index and what it holds.
    Variant(u32, Box<Shape>),
    /// Any number of pieces, their number before them; a map is one of pairs.
    List(Vec<Shape>),
    /// A fixed number of pieces: structs and tuples.
    Group(Vec<Shape>),
}

impl Shape {
    /// The shape of `data`.
    ///
    /// # Panics
    /// When its serialization says that it fails, or a list does not say its length: plain data does neither.
    pub fn of(data: &impl Serialize) -> Shape {
        data.serialize(Maker).expect("plain data")
    }

    /// It in postcard.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Shape::Fixed(bytes) => out.extend_from_slice(bytes),
            Shape::Number(number) => write_varint(*number, out),
            Shape::Signed(number) => write_varint(((number << 1) ^ (number >> 127)) as u128, out),
            Shape::Bytes(bytes) => {
                write_varint(bytes.len() as u128, out);
                out.extend_from_slice(bytes);
            }
            Shape::Optional(None) => out.push(0),
            Shape::Optional(Some(inner)) => {
                out.push(1);
                inner.write(out);
            }
            Shape::Variant(index, inner) => {
                write_varint(u128::from(*index), out);
                inner.write(out);
            }
            Shape::List(items) => {
                write_varint(items.len() as u128, out);
                items.iter().for_each(|item| item.write(out));
            }
            Shape::Group(items) => items.iter().for_each(|item| item.write(out)),
        }
    }

    /// Changes one place of it at random, to what stands elsewhere in it, near by, or at an end of its range.
    pub fn mutate(&mut self, random: &mut SmallRng) {
        let count = self.count();
        let donor = self.nth(random.random_range(0..count)).clone();
        let place = self.nth(random.random_range(0..count));
        place.change(&donor, random);
    }

    /// Changes one value of it at random: a number, a text, an option, the length of a list. What was of its type
    /// mostly stays so.
    pub fn nudge(&mut self, random: &mut SmallRng) {
        let count = self.count();
        for _ in 0..NUDGE_TRIES {
            let place = self.nth(random.random_range(0..count));
            if !matches!(place, Shape::Group(_) | Shape::Variant(..)) {
                let donor = place.children().next().cloned();
                return place.change_value(&donor.unwrap_or(Shape::Number(0)), random);
            }
        }
    }

    /// How many places it has, itself one of them.
    fn count(&self) -> usize {
        1 + self.children().map(Shape::count).sum::<usize>()
    }

    fn children(&self) -> impl Iterator<Item = &Shape> {
        let (one, many): (Option<&Shape>, &[Shape]) = match self {
            Shape::Optional(Some(inner)) | Shape::Variant(_, inner) => (Some(inner), &[]),
            Shape::List(items) | Shape::Group(items) => (None, items),
            _ => (None, &[]),
        };
        one.into_iter().chain(many)
    }

    /// The place of this number, in the order in which they are written.
    fn nth(&mut self, number: usize) -> &mut Shape {
        if number == 0 {
            return self;
        }
        let mut rest = number - 1;
        let mut which = 0;
        for child in self.children() {
            let count = child.count();
            if rest < count {
                break;
            }
            (rest, which) = (rest - count, which + 1);
        }
        match self {
            Shape::Optional(Some(inner)) | Shape::Variant(_, inner) => inner.nth(rest),
            Shape::List(items) | Shape::Group(items) => items[which].nth(rest),
            _ => unreachable!("the number is below the count"),
        }
    }

    fn change(&mut self, donor: &Shape, random: &mut SmallRng) {
        // Data of the same kind is likely to be of the same type.
        if random.random_ratio(1, 4)
            && std::mem::discriminant(self) == std::mem::discriminant(donor)
        {
            *self = donor.clone();
            return;
        }
        self.change_value(donor, random);
    }

    fn change_value(&mut self, donor: &Shape, random: &mut SmallRng) {
        match self {
            Shape::Fixed(bytes) => {
                if let Some(byte) = bytes.last_mut() {
                    *byte = *[0, 1, 2, 0x7f, 0x80, 0xff, random.random()]
                        .choose(random)
                        .unwrap_or(&0);
                }
            }
            Shape::Number(number) => *number = other_number(*number, random),
            Shape::Signed(number) => *number = other_number(*number as u128, random) as i64 as i128,
            Shape::Bytes(bytes) => change_bytes(bytes, random),
            Shape::Optional(inner) => {
                *inner = match inner {
                    Some(_) => None,
                    None => Some(Box::new(donor.clone())),
                }
            }
            Shape::Variant(index, inner) => match random.random() {
                true => *index = other_number(u128::from(*index), random) as u32 % 16,
                false => **inner = donor.clone(),
            },
            Shape::List(items) => change_list(items, donor, random),
            Shape::Group(items) => {
                if let Some(item) = items.choose_mut_index(random) {
                    items[item].change(donor, random);
                }
            }
        }
    }
}

/// An index into a list that is not empty.
trait ChooseIndex {
    fn choose_mut_index(&self, random: &mut SmallRng) -> Option<usize>;
}

impl ChooseIndex for Vec<Shape> {
    fn choose_mut_index(&self, random: &mut SmallRng) -> Option<usize> {
        (!self.is_empty()).then(|| random.random_range(0..self.len()))
    }
}

fn other_number(number: u128, random: &mut SmallRng) -> u128 {
    let edge = 1_u128 << random.random_range(0..65);
    match random.random_range(0..8) {
        0 => number.wrapping_add(1) & u128::from(u64::MAX),
        1 => number.saturating_sub(1),
        2 => edge & u128::from(u64::MAX),
        3 => edge - 1,
        4 => random.random_range(0..8),
        5 => number ^ (1 << random.random_range(0..32)),
        6 => u128::from(random.random::<u32>()),
        _ => u128::from(random.random::<u64>()),
    }
}

fn change_bytes(bytes: &mut Vec<u8>, random: &mut SmallRng) {
    let at = random.random_range(0..=bytes.len());
    match random.random_range(0..4) {
        0 => bytes.truncate(at),
        1 => {
            let more = random.random_range(1..=GROWTH_MOST);
            let byte = random.random();
            bytes.splice(at..at, std::iter::repeat_n(byte, more));
        }
        2 => bytes.extend_from_within(at..),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.random();
            }
        }
    }
}

fn change_list(items: &mut Vec<Shape>, donor: &Shape, random: &mut SmallRng) {
    let at = random.random_range(0..=items.len());
    match random.random_range(0..5) {
        0 => items.truncate(at),
        1 if at < items.len() => drop(items.remove(at)),
        2 if at < items.len() => {
            let item = items[at].clone();
            let times = random.random_range(1..=GROWTH_MOST);
            let to = random.random_range(0..=items.len());
            items.splice(to..to, std::iter::repeat_n(item, times));
        }
        3 if at < items.len() => {
            let other = random.random_range(0..items.len());
            items.swap(at, other);
        }
        _ => items.insert(at, donor.clone()),
    }
}

fn write_varint(mut number: u128, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Makes a shape.
struct Maker;

/// What cannot be said in postcard.
#[derive(Debug)]
struct NoShape(String);

impl std::fmt::Display for NoShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoShape {}

impl ser::Error for NoShape {
    fn custom<T: std::fmt::Display>(message: T) -> NoShape {
        NoShape(message.to_string())
    }
}

/// Collects the pieces of a list or group.
struct Pieces {
    items: Vec<Shape>,
    is_list: bool,
    variant: Option<u32>,
}

impl Pieces {
    fn group(variant: Option<u32>) -> Pieces {
        Pieces {
            items: Vec::new(),
            is_list: false,
            variant,
        }
    }

    fn list() -> Pieces {
        Pieces {
            is_list: true,
            ..Pieces::group(None)
        }
    }

    fn push(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), NoShape> {
        self.items.push(value.serialize(Maker)?);
        Ok(())
    }

    fn done(self) -> Shape {
        let shape = match self.is_list {
            true => Shape::List(self.items),
            false => Shape::Group(self.items),
        };
        match self.variant {
            Some(index) => Shape::Variant(index, Box::new(shape)),
            None => shape,
        }
    }
}

macro_rules! numbers {
    ($($method:ident: $from:ty => $variant:ident($to:ty);)*) => {
        $(fn $method(self, value: $from) -> Result<Shape, NoShape> {
            Ok(Shape::$variant(<$to>::from(value)))
        })*
    };
}

impl Serializer for Maker {
    type Ok = Shape;
    type Error = NoShape;
    type SerializeSeq = Pieces;
    type SerializeTuple = Pieces;
    type SerializeTupleStruct = Pieces;
    type SerializeTupleVariant = Pieces;
    type SerializeMap = Pieces;
    type SerializeStruct = Pieces;
    type SerializeStructVariant = Pieces;

    numbers! {
        serialize_u16: u16 => Number(u128);
        serialize_u32: u32 => Number(u128);
        serialize_u64: u64 => Number(u128);
        serialize_u128: u128 => Number(u128);
        serialize_i16: i16 => Signed(i128);
        serialize_i32: i32 => Signed(i128);
        serialize_i64: i64 => Signed(i128);
        serialize_i128: i128 => Signed(i128);
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<Shape, NoShape> {
        Ok(Shape::Fixed(vec![u8::from(value)]))
    }

    fn serialize_u8(self, value: u8) -> Result<Shape, NoShape> {
        Ok(Shape::Fixed(vec![value]))
    }

    fn serialize_i8(self, value: i8) -> Result<Shape, NoShape> {
        Ok(Shape::Fixed(value.to_le_bytes().into()))
    }

    fn serialize_f32(self, value: f32) -> Result<Shape, NoShape> {
        Ok(Shape::Fixed(value.to_le_bytes().into()))
    }

    fn serialize_f64(self, value: f64) -> Result<Shape, NoShape> {
        Ok(Shape::Fixed(value.to_le_bytes().into()))
    }

    fn serialize_char(self, value: char) -> Result<Shape, NoShape> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<Shape, NoShape> {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Shape, NoShape> {
        Ok(Shape::Bytes(value.into()))
    }

    fn serialize_none(self) -> Result<Shape, NoShape> {
        Ok(Shape::Optional(None))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Shape, NoShape> {
        let inner = value.serialize(Maker)?;
        Ok(Shape::Optional(Some(Box::new(inner))))
    }

    fn serialize_unit(self) -> Result<Shape, NoShape> {
        Ok(Shape::Group(Vec::new()))
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Shape, NoShape> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
    ) -> Result<Shape, NoShape> {
        Ok(Pieces::group(Some(index)).done())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Shape, NoShape> {
        value.serialize(Maker)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<Shape, NoShape> {
        let inner = value.serialize(Maker)?;
        Ok(Shape::Variant(index, Box::new(inner)))
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Pieces, NoShape> {
        Ok(Pieces::list())
    }

    fn serialize_tuple(self, _length: usize) -> Result<Pieces, NoShape> {
        Ok(Pieces::group(None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Pieces, NoShape> {
        Ok(Pieces::group(None))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Pieces, NoShape> {
        Ok(Pieces::group(Some(index)))
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Pieces, NoShape> {
        Ok(Pieces::list())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Pieces, NoShape> {
        Ok(Pieces::group(None))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Pieces, NoShape> {
        Ok(Pieces::group(Some(index)))
    }
}

macro_rules! collects {
    ($($of:ident, $method:ident;)*) => {
        $(impl ser::$of for Pieces {
            type Ok = Shape;
            type Error = NoShape;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoShape> {
                self.push(value)
            }

            fn end(self) -> Result<Shape, NoShape> {
                Ok(self.done())
            }
        })*
    };
}

collects! {
    SerializeSeq, serialize_element;
    SerializeTuple, serialize_element;
    SerializeTupleStruct, serialize_field;
    SerializeTupleVariant, serialize_field;
}

impl ser::SerializeMap for Pieces {
    type Ok = Shape;
    type Error = NoShape;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NoShape> {
        let key = key.serialize(Maker)?;
        self.items.push(Shape::Group(vec![key]));
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoShape> {
        let value = value.serialize(Maker)?;
        match self.items.last_mut() {
            Some(Shape::Group(pair)) => pair.push(value),
            _ => return Err(ser::Error::custom("a value without a key")),
        }
        Ok(())
    }

    fn end(self) -> Result<Shape, NoShape> {
        Ok(self.done())
    }
}

macro_rules! collects_fields {
    ($($of:ident;)*) => {
        $(impl ser::$of for Pieces {
            type Ok = Shape;
            type Error = NoShape;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _name: &'static str,
                value: &T,
            ) -> Result<(), NoShape> {
                self.push(value)
            }

            fn end(self) -> Result<Shape, NoShape> {
                Ok(self.done())
            }
        })*
    };
}

collects_fields! {
    SerializeStruct;
    SerializeStructVariant;
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    enum Piece {
        Nothing,
        Pair(u16, i64),
        Named { flag: bool, text: String },
        Wide(Box<u128>),
    }

    type Data = (
        Vec<Piece>,
        BTreeMap<(u8, u32), Option<i32>>,
        [u8; 3],
        (),
        f64,
        char,
    );

    fn data() -> Data {
        let pieces = vec![
            Piece::Nothing,
            Piece::Pair(40_000, i64::MIN),
            Piece::Named {
                flag: true,
                text: "words".into(),
            },
            Piece::Wide(Box::new(u128::MAX - 1)),
        ];
        let map = [((1, 2), None), ((3, 400), Some(-7))].into();
        (pieces, map, [1, 2, 3], (), 2.5, 'ß')
    }

    #[test]
    fn shapes_are_written_as_postcard_writes_the_data() {
        let bytes = Shape::of(&data()).to_bytes();
        assert_eq!(bytes, postcard::to_allocvec(&data()).unwrap());
    }

    #[test]
    fn changes_are_many_and_often_of_the_type() {
        let mut sound = std::collections::BTreeSet::new();
        for seed in 0..500 {
            let mut shape = Shape::of(&data());
            shape.mutate(&mut SmallRng::seed_from_u64(seed));
            let bytes = shape.to_bytes();
            if let Ok((_, [])) = postcard::take_from_bytes::<Data>(&bytes) {
                sound.insert(bytes);
            }
        }
        assert!(sound.len() > 100, "only {} are sound", sound.len());
    }
}
