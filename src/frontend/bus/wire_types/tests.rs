use serde::Serialize;
use zbus::Variant;
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{LE, to_bytes};

use super::*;
use crate::api::{FromRow, Row};

fn written<T: Serialize + Type>(value: &T) -> Data<'static, 'static> {
    to_bytes(Context::new(LE, 0), value).unwrap()
}

/// What is written is of the type that is read; what became of reading it.
fn read<W: Serialize + Type, R: Type + for<'de> Deserialize<'de>>(value: &W) -> Result<R, String> {
    assert_eq!(W::SIGNATURE, R::SIGNATURE);
    let data = written(value);
    let read = data.deserialize::<R>();
    read.map(|(read, length)| {
        assert_eq!(length, data.len(), "all is read");
        read
    })
    .map_err(|error| error.to_string())
}

fn keys(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("key{number}"))
}

fn row(count: usize) -> Dict {
    keys(count)
        .fold(Row::new(), |row, key| row.with(&key, 7_u32))
        .build()
}

fn with<'v>(value: impl Into<Variant<'v>>) -> Dict {
    Row::new().with("key", value).build()
}

#[test]
fn the_signatures_are_those_of_the_contract() {
    let signatures = [
        (BoundedDict::SIGNATURE, "a{sv}"),
        (BoundedRows::SIGNATURE, "aa{sv}"),
        (BoundedAttributes::SIGNATURE, "a{ss}"),
        (BoundedCursor::SIGNATURE, "ay"),
    ];
    for (got, want) in signatures {
        assert_eq!(got.to_string(), want);
    }
}

#[test]
fn each_basic_type_of_a_row_is_read() {
    let row = Row::new()
        .with("s", "a\\xff@b")
        .with("t", u64::MAX)
        .with("u", 6_u32)
        .with("i", -6_i32)
        .with("x", i64::MIN)
        .with("b", true)
        .with("y", 7_u8)
        .with("q", 8_u16)
        .with("n", -8_i16)
        .build();
    let rows: BoundedRows = read(&vec![row.clone(), Dict::new(), row.clone()]).unwrap();
    assert_eq!(rows.0, [row.clone(), Dict::new(), row.clone()]);
    let options: BoundedDict = read(&row).unwrap();
    assert_eq!(options.0, row);
    assert_eq!(options.0.text("s"), Some("a\\xff@b"));
}

#[test]
fn what_is_no_basic_type_of_a_row_is_refused_by_its_signature() {
    let counters = HashMap::from([("new", 7_u64)]);
    let cases = [
        (with(Variant::Variant(Box::new(5_u32.into()))), "\"v\""),
        (with(vec![1_u8, 2]), "\"ay\""),
        (with(vec!["a"; 100_000]), "\"as\""),
        (with(counters), "\"a{st}\""),
        (with((1_u32, "b")), "\"(us)\""),
        (with(0.5), "\"d\""),
        (with(zbus::ObjectPath::try_from("/a").unwrap()), "\"o\""),
        (with(Signature::U8), "\"g\""),
    ];
    for (row, want) in cases {
        let error = read::<_, BoundedDict>(&row).unwrap_err();
        assert!(error.contains(want), "{error}, {want}");
        let error = read::<_, BoundedRows>(&vec![row]).unwrap_err();
        assert!(error.contains(want), "{error}, {want}");
    }
}

#[test]
fn rows_end_at_their_number() {
    let most = usize::try_from(MOST_ROWS).unwrap();
    let rows: BoundedRows = read(&vec![row(1); most]).unwrap();
    assert_eq!(rows.0.len(), most);
    let error = read::<_, BoundedRows>(&vec![row(0); most + 1]).unwrap_err();
    assert_eq!(error, "Send at most 1000 rows at a time.");
}

#[test]
fn dictionaries_end_at_their_number_of_entries() {
    let options: BoundedDict = read(&row(MAX_KEYS)).unwrap();
    assert_eq!(options.0.len(), MAX_KEYS);
    let error = read::<_, BoundedDict>(&row(MAX_KEYS + 1)).unwrap_err();
    assert_eq!(error, "A dictionary has at most 64 entries here.");
    let attributes = |count| -> HashMap<_, _> { keys(count).zip(keys(count)).collect() };
    let most: BoundedAttributes = read(&attributes(MAX_ATTRIBUTES)).unwrap();
    assert_eq!(most.0, attributes(MAX_ATTRIBUTES));
    let error = read::<_, BoundedAttributes>(&attributes(MAX_ATTRIBUTES + 1)).unwrap_err();
    assert_eq!(error, "A dictionary has at most 200 entries here.");
}

/// A dictionary that has one key over and over.
struct Repeated(usize);

impl Type for Repeated {
    const SIGNATURE: &'static Signature = Dict::SIGNATURE;
}

impl Serialize for Repeated {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map((0..self.0).map(|_| ("key", Variant::new(7_u32))))
    }
}

#[test]
fn a_key_that_comes_again_counts_again() {
    let options: BoundedDict = read(&Repeated(MAX_KEYS)).unwrap();
    assert_eq!(options.0.len(), 1);
    assert!(read::<_, BoundedDict>(&Repeated(MAX_KEYS + 1)).is_err());
}

#[test]
fn keys_and_texts_end_at_their_length() {
    let long = |length| "x".repeat(length);
    let keyed = |length| Row::new().with(&long(length), 1_u32).build();
    let attribute = |key, value| HashMap::from([(long(key), long(value))]);
    assert!(read::<_, BoundedDict>(&keyed(MAX_KEY)).is_ok());
    assert!(read::<_, BoundedDict>(&with(long(MAX_TEXT))).is_ok());
    assert!(read::<_, BoundedAttributes>(&attribute(MAX_KEY, MAX_TEXT)).is_ok());
    let errors = [
        read::<_, BoundedDict>(&keyed(MAX_KEY + 1)).unwrap_err(),
        read::<_, BoundedDict>(&with(long(MAX_TEXT + 1))).unwrap_err(),
        read::<_, BoundedAttributes>(&attribute(MAX_KEY + 1, 1)).unwrap_err(),
        read::<_, BoundedAttributes>(&attribute(1, MAX_TEXT + 1)).unwrap_err(),
    ];
    for error in errors {
        assert!(error.starts_with("A string is too long: "), "{error}");
    }
}

#[test]
fn the_longest_address_can_be_read_however_it_is_written() {
    let bytes = vec![b'\xff'; MAX_LINE];
    let text = crate::types::Printable(&bytes).to_string();
    assert!(read::<_, BoundedDict>(&with(text)).is_ok());
}

#[test]
fn cursors_end_at_their_length() {
    let cursor: BoundedCursor = read(&vec![7_u8; MAX_CURSOR]).unwrap();
    assert_eq!(cursor.0, vec![7_u8; MAX_CURSOR]);
    assert!(read::<_, BoundedCursor>(&vec![7_u8; MAX_CURSOR + 1]).is_err());
    assert!(
        read::<_, BoundedCursor>(&Vec::<u8>::new())
            .unwrap()
            .0
            .is_empty()
    );
}

#[test]
fn what_is_cut_off_is_refused() {
    let whole = written(&vec![row(3); 3]);
    for length in 0..whole.len() {
        let cut = Data::new(whole.bytes()[..length].to_vec(), whole.context());
        assert!(cut.deserialize::<BoundedRows>().is_err(), "{length}");
    }
}
