//! Conversion of D-Bus rows to JSON, and back.
//!
//! Numbers, booleans and strings have their JSON types; dictionaries are objects with sorted keys; lists are arrays.
//! The way back accepts only non-negative numbers, booleans and strings: a record has no other values.

use serde_json::{Map, Value};
use zbus::Variant;

use crate::api::{Dict, Row};

/// A row as an object.
#[must_use]
pub fn object(row: &Dict) -> Value {
    let pairs = row
        .iter()
        .map(|(key, value)| (key.clone(), value_of(value)));
    Value::Object(pairs.collect())
}

/// Rows as an array.
#[must_use]
pub fn array(rows: &[Dict]) -> Value {
    rows.iter().map(object).collect()
}

/// JSON for output: indented, on several lines.
#[must_use]
pub fn shown(value: &Value) -> String {
    format!("{value:#}\n")
}

/// An object as a row; `None` if it has a value of another type.
#[must_use]
pub fn row(object: Map<String, Value>) -> Option<Dict> {
    let mut row = Row::new();
    for (key, value) in object {
        // D-Bus closes a connection on which a string with a NUL is sent.
        if key.contains('\0') || value.as_str().is_some_and(|text| text.contains('\0')) {
            return None;
        }
        row = match value {
            Value::Bool(truth) => row.with(&key, truth),
            Value::Number(number) => row.with(&key, number.as_u64()?),
            Value::String(text) => row.with(&key, text),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
    }
    Some(row.build())
}

/// A D-Bus value.
fn value_of(value: &Variant<'_>) -> Value {
    match value {
        Variant::U8(number) => (*number).into(),
        Variant::Bool(truth) => (*truth).into(),
        Variant::I16(number) => (*number).into(),
        Variant::U16(number) => (*number).into(),
        Variant::I32(number) => (*number).into(),
        Variant::U32(number) => (*number).into(),
        Variant::I64(number) => (*number).into(),
        Variant::U64(number) => (*number).into(),
        Variant::F64(number) => (*number).into(),
        Variant::Str(text) => text.as_str().into(),
        Variant::ObjectPath(path) => path.as_str().into(),
        Variant::Signature(signature) => signature.to_string().into(),
        Variant::Variant(inner) => value_of(inner),
        Variant::Array(array) => array.inner().iter().map(value_of).collect(),
        Variant::Dict(dict) => Value::Object(dict.iter().map(pair).collect()),
        Variant::Structure(structure) => structure.fields().iter().map(value_of).collect(),
        Variant::Fd(_) => Value::Null,
    }
}

/// A key and a value of a dictionary.
fn pair((key, value): (&Variant<'_>, &Variant<'_>)) -> (String, Value) {
    let key = value_of(key);
    let name = key.as_str().map(str::to_owned);
    (name.unwrap_or_else(|| key.to_string()), value_of(value))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn rows_are_objects_with_sorted_keys() {
        let counters = HashMap::from([("new".to_owned(), 7_u64), ("early".to_owned(), 1)]);
        let row = Row::new()
            .with("text", "a\"b")
            .with("number", 5_u32)
            .with("truth", true)
            .with("counters", counters)
            .with("bytes", vec![1_u8, 2])
            .build();
        let want = r#"{"bytes":[1,2],"counters":{"early":1,"new":7},"number":5,"text":"a\"b","truth":true}"#;
        assert_eq!(object(&row).to_string(), want);
        assert_eq!(array(&[]).to_string(), "[]");
    }

    #[test]
    fn records_come_back() {
        let read = |text: &str| {
            let Ok(Value::Object(object)) = serde_json::from_str(text) else {
                panic!("{text}");
            };
            row(object)
        };
        let text = r#"{"first":18446744073709551615,"kind":"triplet","retrying":false}"#;
        assert_eq!(object(&read(text).unwrap()).to_string(), text);
        for text in [
            r#"{"a":-1}"#,
            r#"{"a":1.5}"#,
            r#"{"a":null}"#,
            r#"{"a":[]}"#,
        ] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
