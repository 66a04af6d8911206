//! Bytes in plain data: stored and read as one run, not one by one.
//!
//! `#[serde(with = "crate::plain")]` on a `Vec<u8>`; [`Bytes`] where a type is needed. What is read is
//! as long as the bytes that it is read from, so a claimed length allocates nothing by itself. `shown_in_hex` shows what is
//! nothing but random bytes.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Bytes of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        deserialize(deserializer).map(Bytes)
    }
}

/// Stores bytes.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Reads bytes.
///
/// # Errors
/// Those of the deserializer.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    // Not borrowed, so that a reader may hold its bytes in pieces.
    deserializer.deserialize_byte_buf(BytesVisitor)
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len())
            .map_err(|_| E::custom("no memory for the bytes"))?;
        copy.extend_from_slice(bytes);
        Ok(copy)
    }
}

/// Reads a list of at most so many elements: `#[serde(deserialize_with = "crate::plain::at_most::<_, _, 9>")]`.
///
/// # Errors
/// Those of the deserializer, and that there are more.
pub fn at_most<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MOST: usize>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct List<T, const MOST: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for List<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MOST} elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(element) = elements.next_element()? {
                if list.len() == MOST {
                    return Err(A::Error::invalid_length(MOST + 1, &self));
                }
                list.push(element);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(List::<T, MOST>(PhantomData))
}

/// Shows names that are nothing but bytes as hexadecimal digits.
macro_rules! shown_in_hex {
    ($($name:ident),*) => {$(
        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(self, f)
            }
        }
    )*};
}

pub(crate) use shown_in_hex;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_a_false_length_allocates_nothing() {
        let stored = postcard::to_allocvec(&Bytes(alloc::vec![7; 300])).unwrap();
        assert_eq!(stored.len(), 302);
        let back: Bytes = postcard::from_bytes(&stored).unwrap();
        assert_eq!(back.0, [7; 300]);
        let long = [0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2];
        assert!(postcard::from_bytes::<Bytes>(&long).is_err());
    }

    #[test]
    fn a_list_ends_at_its_bound() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Three(#[serde(deserialize_with = "super::at_most::<_, _, 3>")] Vec<u8>);
        assert_eq!(
            postcard::from_bytes(&[3, 1, 2, 3]),
            Ok(Three([1, 2, 3].into()))
        );
        assert!(postcard::from_bytes::<Three>(&[4, 1, 2, 3, 4]).is_err());
    }
}
