//! What callers send, unpacked within bounds.
//!
//! Who calls is known and may. On the wire an empty row has a few bytes, here it has hundreds, so a caller could fill
//! the memory with rows that nobody wants. These types are
//! those of the contract on the wire; what is beyond a bound ends the unpacking, and the caller gets the sentence.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use zbus::{OwnedVariant, Signature, Str, Type};

use crate::api::{Dict, MOST_ROWS};
use crate::protocol::policy::{MAX_ATTRIBUTES, MAX_LINE};

/// Keys of a row or a filter; the longest row of ours has ten.
const MOST_KEYS: usize = 64;

/// Bytes of a key, or of an attribute's name.
const MOST_KEY: usize = 256;

/// Bytes of a text: an address as long as a line, each byte of it written as `\xNN`.
const MOST_TEXT: usize = MAX_LINE * 4;

/// Bytes of a cursor: far more than any that was given out has.
const MOST_CURSOR: usize = 8192;

/// A row or a filter: `a{sv}`.
#[derive(Debug)]
pub(super) struct Options(pub(super) Dict);

/// Rows: `aa{sv}`.
#[derive(Debug)]
pub(super) struct Rows(pub(super) Vec<Dict>);

/// Attributes of a request: `a{ss}`.
#[derive(Debug)]
pub(super) struct Attributes(pub(super) HashMap<String, String>);

/// A place to go on from: `ay`.
#[derive(Debug)]
pub(super) struct Cursor(pub(super) Vec<u8>);

impl Type for Options {
    const SIGNATURE: &'static Signature = Dict::SIGNATURE;
}

impl Type for Rows {
    const SIGNATURE: &'static Signature = Vec::<Dict>::SIGNATURE;
}

impl Type for Attributes {
    const SIGNATURE: &'static Signature = HashMap::<String, String>::SIGNATURE;
}

impl Type for Cursor {
    const SIGNATURE: &'static Signature = Vec::<u8>::SIGNATURE;
}

/// A text of so many bytes at most.
struct Text<const MOST: usize>(String);

/// A value of a basic type that rows have.
struct Value(OwnedVariant);

impl<const MOST: usize> From<Text<MOST>> for String {
    fn from(text: Text<MOST>) -> Self {
        text.0
    }
}

impl From<Value> for OwnedVariant {
    fn from(value: Value) -> Self {
        value.0
    }
}

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Entries::<Value, _, MOST_KEYS>(PhantomData);
        deserializer.deserialize_map(entries).map(Self)
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Entries::<Text<MOST_TEXT>, _, MAX_ATTRIBUTES>(PhantomData);
        deserializer.deserialize_map(entries).map(Self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(CursorVisitor).map(Self)
    }
}

impl<'de, const MOST: usize> Deserialize<'de> for Text<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor::<MOST>).map(Self)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ValueVisitor).map(Self)
    }
}

/// Reads a dictionary of so many entries at most. Entries are counted as they come: one key may come many times.
struct Entries<V, T, const MOST: usize>(PhantomData<(V, T)>);

impl<'de, V, T, const MOST: usize> Visitor<'de> for Entries<V, T, MOST>
where
    V: Deserialize<'de> + Into<T>,
{
    type Value = HashMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a dictionary of at most {MOST} entries")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = HashMap::new();
        let mut left = MOST;
        while let Some(key) = map.next_key::<Text<MOST_KEY>>()? {
            left = left.checked_sub(1).ok_or_else(|| {
                A::Error::custom(format_args!(
                    "A dictionary has at most {MOST} entries here."
                ))
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
        while let Some(Options(row)) = elements.next_element()? {
            left = left.checked_sub(1).ok_or_else(|| {
                A::Error::custom(format_args!("Send at most {MOST_ROWS} rows at a time."))
            })?;
            rows.push(row);
        }
        Ok(rows)
    }
}

/// Reads a text.
struct TextVisitor<const MOST: usize>;

impl<const MOST: usize> Visitor<'_> for TextVisitor<MOST> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text of at most {MOST} bytes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        if text.len() > MOST {
            return Err(E::custom(format_args!(
                "A text is too long: {} bytes where at most {MOST} may be.",
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
        write!(f, "at most {MOST_CURSOR} bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        if bytes.len() > MOST_CURSOR {
            return Err(E::custom(
                "This is no place to go on from: begin again with an empty one.",
            ));
        }
        Ok(bytes.to_vec())
    }
}

/// Reads a value: first its signature, and then only what is no container.
struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = OwnedVariant;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, or true or false")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        match parts.next_element::<&str>()?.unwrap_or_default() {
            "s" => part::<_, Text<MOST_TEXT>>(parts).map(|text| Str::from(text.0).into()),
            "t" => part::<_, u64>(parts).map(Into::into),
            "u" => part::<_, u32>(parts).map(Into::into),
            "i" => part::<_, i32>(parts).map(Into::into),
            "x" => part::<_, i64>(parts).map(Into::into),
            "b" => part::<_, bool>(parts).map(Into::into),
            "y" => part::<_, u8>(parts).map(Into::into),
            "q" => part::<_, u16>(parts).map(Into::into),
            "n" => part::<_, i16>(parts).map(Into::into),
            other => Err(A::Error::custom(format_args!(
                "A value is a text, a number, or true or false here, and none of type {other:?}."
            ))),
        }
    }
}

/// What comes next.
fn part<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(mut parts: A) -> Result<T, A::Error> {
    let part = parts.next_element()?;
    part.ok_or_else(|| A::Error::custom("A value is missing."))
}

#[cfg(test)]
mod tests;
