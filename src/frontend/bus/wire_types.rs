//! Wire types of method arguments: bounded deserialization.
//!
//! The caller is already authorized. But an empty row has a few bytes on the wire and hundreds in memory, so without
//! limits a caller could exhaust memory. On the wire these types are those of the contract. Exceeding a limit fails the
//! call with a message.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use zbus::{OwnedVariant, Signature, Str, Type};

use crate::api::{Dict, MOST_ROWS};
use crate::protocol::policy::{MAX_ATTRIBUTES, MAX_LINE};

/// Keys of a row or a filter; the longest row of ours has ten.
const MAX_KEYS: usize = 64;

/// Bytes of a key, or of an attribute's name.
const MAX_KEY: usize = 256;

/// Bytes of a string: an address as long as a line, each byte of it written as `\xNN`.
const MAX_TEXT: usize = MAX_LINE * 4;

/// Bytes of a cursor: far more than those of the daemon have.
const MAX_CURSOR: usize = 8192;

/// A row or a filter: `a{sv}`.
#[derive(Debug)]
pub(super) struct BoundedDict(pub(super) Dict);

/// Rows: `aa{sv}`.
#[derive(Debug)]
pub(super) struct BoundedRows(pub(super) Vec<Dict>);

/// Attributes of a request: `a{ss}`.
#[derive(Debug)]
pub(super) struct BoundedAttributes(pub(super) HashMap<String, String>);

/// The cursor of a page: `ay`.
#[derive(Debug)]
pub(super) struct BoundedCursor(pub(super) Vec<u8>);

impl Type for BoundedDict {
    const SIGNATURE: &'static Signature = Dict::SIGNATURE;
}

impl Type for BoundedRows {
    const SIGNATURE: &'static Signature = Vec::<Dict>::SIGNATURE;
}

impl Type for BoundedAttributes {
    const SIGNATURE: &'static Signature = HashMap::<String, String>::SIGNATURE;
}

impl Type for BoundedCursor {
    const SIGNATURE: &'static Signature = Vec::<u8>::SIGNATURE;
}

/// A string of at most `MAX` bytes.
struct BoundedText<const MAX: usize>(String);

/// A variant that contains one of the basic types of rows.
struct BasicValue(OwnedVariant);

impl<const MAX: usize> From<BoundedText<MAX>> for String {
    fn from(text: BoundedText<MAX>) -> Self {
        text.0
    }
}

impl From<BasicValue> for OwnedVariant {
    fn from(value: BasicValue) -> Self {
        value.0
    }
}

impl<'de> Deserialize<'de> for BoundedDict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = DictVisitor::<BasicValue, _, MAX_KEYS>(PhantomData);
        deserializer.deserialize_map(entries).map(Self)
    }
}

impl<'de> Deserialize<'de> for BoundedRows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for BoundedAttributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = DictVisitor::<BoundedText<MAX_TEXT>, _, MAX_ATTRIBUTES>(PhantomData);
        deserializer.deserialize_map(entries).map(Self)
    }
}

impl<'de> Deserialize<'de> for BoundedCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(CursorVisitor).map(Self)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for BoundedText<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor::<MAX>).map(Self)
    }
}

impl<'de> Deserialize<'de> for BasicValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ValueVisitor).map(Self)
    }
}

/// Reads a dictionary of at most `MAX` entries. Counts them as they arrive, because a key may be repeated.
struct DictVisitor<V, T, const MAX: usize>(PhantomData<(V, T)>);

impl<'de, V, T, const MAX: usize> Visitor<'de> for DictVisitor<V, T, MAX>
where
    V: Deserialize<'de> + Into<T>,
{
    type Value = HashMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a dictionary of at most {MAX} entries")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = HashMap::new();
        let mut left = MAX;
        while let Some(key) = map.next_key::<BoundedText<MAX_KEY>>()? {
            left = left.checked_sub(1).ok_or_else(|| {
                A::Error::custom(format_args!("A dictionary has at most {MAX} entries here."))
            })?;
            entries.insert(key.into(), map.next_value::<V>()?.into());
        }
        Ok(entries)
    }
}

/// Reads rows.
struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Vec<Dict>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MOST_ROWS} rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        let mut left = MOST_ROWS;
        while let Some(BoundedDict(row)) = elements.next_element()? {
            left = left.checked_sub(1).ok_or_else(|| {
                A::Error::custom(format_args!("Send at most {MOST_ROWS} rows at a time."))
            })?;
            rows.push(row);
        }
        Ok(rows)
    }
}

/// Reads a string.
struct TextVisitor<const MAX: usize>;

impl<const MAX: usize> Visitor<'_> for TextVisitor<MAX> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text of at most {MAX} bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        if text.len() > MAX {
            return Err(E::custom(format_args!(
                "A string is too long: {} bytes, at most {MAX} are possible.",
                text.len()
            )));
        }
        Ok(text.to_owned())
    }
}

/// Reads a cursor.
struct CursorVisitor;

impl Visitor<'_> for CursorVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX_CURSOR} bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        if bytes.len() > MAX_CURSOR {
            return Err(E::custom("Invalid cursor: begin again with an empty one."));
        }
        Ok(bytes.to_vec())
    }
}

/// Reads a variant: its signature first, then the value unless it is a container.
struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = OwnedVariant;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, or true or false")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        match parts.next_element::<&str>()?.unwrap_or_default() {
            "s" => part::<_, BoundedText<MAX_TEXT>>(parts).map(|text| Str::from(text.0).into()),
            "t" => part::<_, u64>(parts).map(Into::into),
            "u" => part::<_, u32>(parts).map(Into::into),
            "i" => part::<_, i32>(parts).map(Into::into),
            "x" => part::<_, i64>(parts).map(Into::into),
            "b" => part::<_, bool>(parts).map(Into::into),
            "y" => part::<_, u8>(parts).map(Into::into),
            "q" => part::<_, u16>(parts).map(Into::into),
            "n" => part::<_, i16>(parts).map(Into::into),
            other => Err(A::Error::custom(format_args!(
                "A value must be a string, a number or a boolean here, not of type {other:?}."
            ))),
        }
    }
}

/// The next element.
fn part<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(mut parts: A) -> Result<T, A::Error> {
    let part = parts.next_element()?;
    part.ok_or_else(|| A::Error::custom("A value is missing."))
}

#[cfg(test)]
mod tests;
