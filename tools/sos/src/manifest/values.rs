//! Single values of a manifest file, read from the text in which people write them.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};

use serde::de::value::StrDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sos_core::image::{AddressSpec, ListenerSpec};

/// A number of bytes: `65536`, `"64KiB"`, `"16MiB"`, `"1GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// `"dhcp"` or `"10.0.2.15/24"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub AddressSpec);

/// `"02:00:00:00:00:01"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

/// `"web:80"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The instance.
    pub instance: String,
    /// Its port number.
    pub port: u16,
}

/// `":8080"` or `"10.0.2.15:8080"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub ListenerSpec);

/// A length of time: `"500ms"`, `"10s"`, `"2m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub u32);

/// A configuration value; numbers and truth values are kept as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

/// One value or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

/// A table whose keys keep the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<T>(pub Vec<(String, T)>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        OneOrMany(Vec::new())
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table(Vec::new())
    }
}

/// Reads a size with its unit.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let refused = || format!("`{text}` is no size: write bytes as a number, or such as \"16MiB\"");
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| refused())?;
    let unit: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err(refused()),
    };
    number.checked_mul(unit).ok_or_else(refused)
}

fn parse_address(text: &str) -> Result<AddressSpec, String> {
    if text == "dhcp" {
        return Ok(AddressSpec::Dhcp);
    }
    let refused = || {
        format!("`{text}` is no address: write \"dhcp\", or one with its prefix, \"10.0.2.15/24\"")
    };
    let (address, prefix) = text.split_once('/').ok_or_else(refused)?;
    let address: IpAddr = address.parse().map_err(|_| refused())?;
    let prefix_length = prefix.parse().map_err(|_| refused())?;
    Ok(AddressSpec::Static {
        address,
        prefix_length,
    })
}

fn parse_mac(text: &str) -> Result<[u8; 6], String> {
    let refused = || format!("`{text}` is no MAC address: write such as \"02:00:00:00:00:01\"");
    let bytes: Vec<u8> = text
        .split(':')
        .map(|part| {
            let two = part.len() == 2;
            u8::from_str_radix(part, 16)
                .ok()
                .filter(|_| two)
                .ok_or_else(refused)
        })
        .collect::<Result<_, _>>()?;
    bytes.try_into().map_err(|_| refused())
}

/// Reads `ADDRESS:PORT` or `:PORT`; an unspecified address means every one.
fn parse_listen(text: &str) -> Result<ListenerSpec, String> {
    let refused =
        || format!("`{text}` is nothing to listen on: write such as \":8080\" or \"0.0.0.0:8080\"");
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| refused())?;
        return Ok(ListenerSpec {
            address: None,
            port,
        });
    }
    let socket: SocketAddr = text.parse().map_err(|_| refused())?;
    let address = Some(socket.ip()).filter(|address| !address.is_unspecified());
    Ok(ListenerSpec {
        address,
        port: socket.port(),
    })
}

/// Reads a length of time with its unit.
fn parse_millis(text: &str) -> Result<u32, String> {
    let refused =
        || format!("`{text}` is no length of time: write such as \"500ms\", \"10s\" or \"2m\"");
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u32 = text[..digits].parse().map_err(|_| refused())?;
    let unit: u32 = match text[digits..].trim() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err(refused()),
    };
    number.checked_mul(unit).ok_or_else(refused)
}

/// Reads `INSTANCE:PORT`.
pub fn parse_target(text: &str) -> Result<Target, String> {
    let refused = || format!("`{text}` leads nowhere: write instance and port, such as \"web:80\"");
    let (instance, port) = text.split_once(':').ok_or_else(refused)?;
    let port = port.parse().map_err(|_| refused())?;
    Ok(Target {
        instance: instance.to_string(),
        port,
    })
}

/// Makes a type readable from a string by a parser that explains itself.
macro_rules! read_from_text {
    ($type:ident, $parse:path, $make:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $parse(&text).map($make).map_err(D::Error::custom)
            }
        }
    };
}

read_from_text!(Address, parse_address, Address);
read_from_text!(Mac, parse_mac, Mac);
read_from_text!(Listen, parse_listen, Listen);
read_from_text!(Millis, parse_millis, Millis);
read_from_text!(Target, parse_target, std::convert::identity);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Size;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number of bytes or a size such as \"16MiB\"")
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Size, E> {
                u64::try_from(value)
                    .map(Size)
                    .map_err(|_| E::custom("a size is not negative"))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                parse_size(text).map(Size).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Text;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string, a whole number or a truth value")
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_string()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = OneOrMany<T>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string or a list of strings")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(StrDeserializer::new(text)).map(|value| OneOrMany(vec![value]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(OneOrMany(values))
            }
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Table<T>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a table")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Table(entries))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}
