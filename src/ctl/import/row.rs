//! Conversion of imported records to D-Bus rows.

use super::Imported;
use crate::api::{
    CLIENT, COUNT, Dict, FIRST, KIND, KIND_CLIENT, KIND_SLEEP, KIND_TRIPLET, LAST, LENGTH, ORDERED,
    PASSED, RECIPIENT, Row, SENDER, STATE, STATE_PASSED, STATE_WAITING,
};
use crate::types::Printable;

/// Default sleep of taRgrey, in seconds: the records do not have it.
const SLEEP: u64 = 125;

impl Imported {
    /// The row. When a triplet passed is not recorded: it is taken to be when it was seen last.
    #[must_use]
    pub fn row(&self) -> Dict {
        match self {
            Self::Triplet {
                network,
                sender,
                recipient,
                first,
                last,
                is_passed,
            } => Row::new()
                .with(KIND, KIND_TRIPLET)
                .with(CLIENT, network.to_string())
                .with(SENDER, Printable(sender).to_string())
                .with(RECIPIENT, Printable(recipient).to_string())
                .with(
                    STATE,
                    if *is_passed {
                        STATE_PASSED
                    } else {
                        STATE_WAITING
                    },
                )
                .with(FIRST, first.seconds())
                .with(LAST, last.seconds())
                .with_some(PASSED, is_passed.then_some(last.seconds()))
                .build(),
            Self::Client {
                address,
                count,
                last,
            } => Row::new()
                .with(KIND, KIND_CLIENT)
                .with(CLIENT, address.to_string())
                .with(COUNT, u64::from(*count))
                .with(LAST, last.seconds())
                .build(),
            Self::Tarpit { address, seen } => Row::new()
                .with(KIND, KIND_SLEEP)
                .with(CLIENT, address.to_string())
                .with(ORDERED, seen.seconds())
                .with(LENGTH, SLEEP)
                .with(LAST, seen.seconds())
                .build(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::json::object;
    use crate::types::{ClientIp, Timestamp};

    #[test]
    fn records_are_rows() {
        let at = Timestamp::from_seconds;
        let triplet = |is_passed| Imported::Triplet {
            network: "192.0.2.0".parse().unwrap(),
            sender: b"a\xff@example.org".to_vec(),
            recipient: b"bob@example.net".to_vec(),
            first: at(1000),
            last: at(1300),
            is_passed,
        };
        let address = ClientIp::parse(b"2001:db8::1").unwrap();
        let cases = [
            (
                triplet(true),
                r#"{"client":"192.0.2.0","first":1000,"kind":"triplet","last":1300,"passed":1300,"recipient":"bob@example.net","sender":"a\\xff@example.org","state":"passed"}"#,
            ),
            (
                triplet(false),
                r#"{"client":"192.0.2.0","first":1000,"kind":"triplet","last":1300,"recipient":"bob@example.net","sender":"a\\xff@example.org","state":"waiting"}"#,
            ),
            (
                Imported::Client {
                    address,
                    count: 5,
                    last: at(2000),
                },
                r#"{"client":"2001:db8::1","count":5,"kind":"client","last":2000}"#,
            ),
            (
                Imported::Tarpit {
                    address,
                    seen: at(3000),
                },
                r#"{"client":"2001:db8::1","kind":"sleep","last":3000,"length":125,"ordered":3000}"#,
            ),
        ];
        for (record, want) in cases {
            assert_eq!(object(&record.row()).to_string(), want);
        }
    }
}
