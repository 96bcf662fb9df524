//! Rows: written, read back, refused.

use proptest::prelude::*;

use super::*;
use crate::policy::Domain;

fn moment() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_seconds)
}

fn network() -> impl Strategy<Value = Prefix> {
    let v4 = (any::<[u8; 4]>(), 0..=32_u8);
    let v6 = (any::<[u16; 8]>(), 0..=128_u8);
    prop_oneof![
        v4.prop_map(|(octets, length)| Prefix::masked(octets.into(), length)),
        v6.prop_map(|(parts, length)| Prefix::masked(parts.into(), length)),
    ]
    // A network inside ::ffff:0:0/96 is IPv4 and never comes otherwise.
    .prop_filter("canonical", |network| {
        Prefix::parse(&network.to_string()) == Ok(*network)
    })
}

fn address() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("in an address", |byte| !matches!(byte, 0 | b'\n'));
    prop::collection::vec(byte, 0..40)
}

fn triplet() -> impl Strategy<Value = Triplet> {
    let why = any::<u8>().prop_map(Why::from_byte);
    let waiting = (moment(), moment(), any::<u32>(), any::<u32>(), why).prop_map(
        |(first, last, retries, counted, why)| Triplet::Waiting {
            first,
            last,
            retries,
            counted,
            why,
        },
    );
    let passed =
        (moment(), moment(), moment(), any::<u32>()).prop_map(|(first, passed, last, mails)| {
            Triplet::Passed {
                first,
                passed,
                last,
                mails,
            }
        });
    prop_oneof![waiting, passed]
}

fn identity() -> impl Strategy<Value = Identity> {
    let domains = prop::sample::select(vec![
        "example.org",
        "xn--bcher-kva.example.co.jp",
        "a_b.com",
    ]);
    let domain = domains.prop_map(|name| Domain::of(name.as_bytes()).unwrap().into());
    prop_oneof![network().prop_map(Identity::from), domain]
}

fn record() -> impl Strategy<Value = Row> {
    let triplet = (identity(), address(), address(), triplet()).prop_map(
        |(identity, sender, recipient, record)| Row::Triplet {
            key: RowKey::Plain(TripletParts {
                identity,
                sender,
                recipient,
            }),
            record,
        },
    );
    let client = (identity(), any::<u32>(), moment()).prop_map(|(client, count, last)| {
        let record = Client { count, last };
        let key = RowKey::Plain(client);
        Row::Client { key, record }
    });
    let sleep = (network(), moment(), any::<u64>(), moment()).prop_map(
        |(network, ordered, length, seen)| Row::Sleep {
            key: RowKey::Plain(network),
            record: Sleep {
                ordered,
                length: Span::from_seconds(length),
                seen,
            },
        },
    );
    prop_oneof![triplet, client, sleep]
}

proptest! {
    #[test]
    fn what_is_exported_is_imported_again(record in record()) {
        prop_assert_eq!(to_record(&from_record(&record)), Ok(record));
    }
}

#[test]
fn what_a_row_lacks_gets_the_least_that_fits() {
    let row = Writing::new()
        .with(KIND, KIND_TRIPLET)
        .with(CLIENT, "192.0.2.7")
        .with(SENDER, "a@b")
        .with(RECIPIENT, "c@d")
        .with(STATE, STATE_PASSED)
        .with(LAST, 9_i64)
        .build();
    let nine = Timestamp::from_seconds(9);
    let want = Row::Triplet {
        key: RowKey::Plain(TripletParts {
            identity: Prefix::parse("192.0.2.7").unwrap().into(),
            sender: b"a@b".to_vec(),
            recipient: b"c@d".to_vec(),
        }),
        record: Triplet::Passed {
            first: nine,
            passed: nine,
            last: nine,
            mails: 1,
        },
    };
    assert_eq!(to_record(&row), Ok(want));
}

#[test]
fn a_row_that_cannot_be_taken_says_what_is_wrong_with_it() {
    let client = || {
        Writing::new()
            .with(KIND, KIND_CLIENT)
            .with(CLIENT, "192.0.2.7")
            .with(COUNT, 5_u32)
            .with(LAST, 9_u64)
    };
    let triplet = || {
        Writing::new()
            .with(KIND, KIND_TRIPLET)
            .with(NETWORK, "192.0.2.0/24")
            .with(SENDER, "a@b")
            .with(RECIPIENT, "c@d")
            .with(STATE, STATE_WAITING)
            .with(LAST, 9_u64)
    };
    let cases = [
        (Writing::new(), "kind is missing"),
        (client().with(KIND, "mail"), "kind \"mail\" is not valid"),
        (client().with(CLIENT, "mx.example"), "not an IP address"),
        (
            client().with(COUNT, u64::from(u32::MAX) + 1),
            "count is too large",
        ),
        (client().with(LAST, -1_i64), "not negative"),
        (client().with(HASH, "00ff"), "another database"),
        (triplet().with(STATE, "gone"), "state \"gone\" is not valid"),
        (triplet().with(SENDER, "a\\b"), "backslash"),
        (triplet().with(RECIPIENT, "a\\x00b"), "not an address"),
        (Writing::new().with(KIND, KIND_CLIENT), "client is missing"),
        (Writing::new().with(KIND, KIND_SLEEP), "ordered is missing"),
        (
            Writing::new().with(KIND, KIND_TRIPLET),
            "network is missing",
        ),
    ];
    for (row, want) in cases {
        let error = to_record(&row.build()).unwrap_err();
        assert!(error.contains(want), "{error}: {want}");
    }
}

#[test]
fn hashes_are_shown_in_hexadecimal_digits() {
    let row = Row::Client {
        key: RowKey::Hashed(vec![0, 0xab]),
        record: Client {
            count: 1,
            last: Timestamp::from_seconds(9),
        },
    };
    let row = from_record(&row);
    assert_eq!(row.text(HASH), Some("00ab"));
    assert!(!row.contains_key(CLIENT));
}
