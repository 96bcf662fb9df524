//! The test suite of RFC 7208, against our part of the evaluation.
//!
//! `tests/spf-suite` fetches it and makes the JSON of it that is read here. Where it cannot be fetched nothing is
//! proven, and this says so.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use super::tests::random;
use super::*;

/// The tests with other results than those of the suite, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("a-cidr4-0", ZERO),
    ("mx-cidr4-0", ZERO),
    ("cidr4-0", ZERO),
    ("cidr6-0", ZERO),
    (
        "dorky-sentinel",
        "viaspf takes no local part with a blank outside of quotes, and nobody has such an address",
    ),
    (
        "exp-only-macro-char",
        "viaspf does not see the error; neither result is a pass",
    ),
];

/// See Cargo.toml. Such a record lets anybody pass, so it would not count.
const ZERO: &str = "with viaspf a prefix of no bits matches the very address alone";

/// A scenario's records in the suite's order; `None` in place of a record: no answer.
struct Zone(Vec<(String, Option<(String, Value)>)>);

impl Zone {
    fn read(zone: &Value) -> Self {
        let names = zone.as_object().unwrap().iter();
        let rows = names.flat_map(|(name, records)| {
            let records = records.as_array().unwrap().iter();
            records.map(move |record| {
                let row = record.as_array().map(|pair| {
                    let kind = pair[0].as_str().unwrap().to_owned();
                    (kind, pair[1].clone())
                });
                (name.to_ascii_lowercase(), row)
            })
        });
        Self(rows.collect())
    }

    /// The records of a kind; they are found behind CNAME records too.
    fn look(&self, name: &str, kind: &str, depth: usize) -> Result<Vec<Value>, Failed> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let mut found = Vec::new();
        for (_, row) in self.0.iter().filter(|(known, _)| *known == name) {
            match row {
                None if found.is_empty() => return Err(Failed),
                Some((of_kind, value)) if of_kind == kind && value == "TIMEOUT" => {
                    return Err(Failed);
                }
                Some((of_kind, value)) if of_kind == kind => found.push(value.clone()),
                Some((of_kind, value)) if of_kind == "CNAME" && depth < 10 => {
                    return self.look(value.as_str().unwrap(), kind, depth + 1);
                }
                None | Some(_) => {}
            }
        }
        Ok(found)
    }
}

/// A value of the suite as a record.
fn data(kind: Kind, value: &Value) -> Data {
    let name = |name: &str| Data::Name(format!("{}.", name.trim_end_matches('.')));
    match kind {
        Kind::A | Kind::Aaaa => Data::Address(value.as_str().unwrap().parse().unwrap()),
        Kind::Mx => name(value[1].as_str().unwrap()),
        Kind::Ptr => name(value.as_str().unwrap()),
        Kind::Txt => {
            let strings = value.as_array().map(Vec::as_slice);
            let strings = strings.unwrap_or(std::slice::from_ref(value)).iter();
            let bytes = strings.flat_map(|string| string.as_str().unwrap().chars());
            // The suite has bytes as characters.
            let bytes: Vec<u8> = bytes.map(|c| u8::try_from(c).unwrap()).collect();
            Data::Text(String::from_utf8_lossy(&bytes).into_owned())
        }
    }
}

impl Names for Zone {
    fn find<'a>(&'a self, name: &'a str, kind: Kind) -> Waiting<'a> {
        let word = match kind {
            Kind::A => "A",
            Kind::Aaaa => "AAAA",
            Kind::Mx => "MX",
            Kind::Txt => "TXT",
            Kind::Ptr => "PTR",
        };
        let found = self.look(name, word, 0).map(|found| Records {
            data: found.iter().map(|value| data(kind, value)).collect(),
            lifetime: Duration::from_secs(60),
        });
        Box::pin(async { found })
    }
}

/// What is found, a pass of anybody being a pass.
async fn result(test: &Value, zone: &Zone) -> SpfResult {
    let bytes = |key: &str| test[key].as_str().unwrap_or_default().as_bytes();
    let client = ClientIp::parse(bytes("host")).unwrap();
    let Some(question) = SpfQuestion::new(client, bytes("helo"), bytes("mailfrom")) else {
        return SpfResult::None;
    };
    match Evaluator::new(random)
        .evaluate(&question, zone)
        .await
        .finding
    {
        Finding::Spf(SpfFinding::Passed(_) | SpfFinding::NotPassed(SpfResult::PassAny)) => {
            SpfResult::Pass
        }
        Finding::Spf(SpfFinding::NotPassed(result)) => result,
        Finding::NoAnswer => SpfResult::Temperror,
        Finding::Addresses(_)
        | Finding::Text(_)
        | Finding::SenderMx(_)
        | Finding::Score(_)
        | Finding::BodyText(_)
        | Finding::Absent => {
            panic!("no finding of SPF")
        }
    }
}

/// The suite, if it is there.
fn suite() -> Option<Vec<Value>> {
    let target = std::env::current_exe().unwrap();
    // target/debug/deps/stargrey-…
    let target = target.ancestors().nth(3).map(PathBuf::from).unwrap();
    let path = target.join("rfc7208-tests.json");
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(error) => {
            // Past the test program, which keeps what a good test prints to itself.
            let said = format!(
                "\nSPF: NOT PROVEN: no test suite of RFC 7208: {}: {error}; tests/spf-suite fetches it\n",
                path.display()
            );
            std::io::stderr().write_all(said.as_bytes()).unwrap();
            None
        }
    }
}

#[tokio::test]
async fn the_suite_of_the_rfc_passes_but_for_the_tests_that_are_named() {
    let Some(suite) = suite() else { return };
    let (mut tests, mut different) = (0, Vec::new());
    for scenario in suite {
        let zone = Zone::read(&scenario["zonedata"]);
        for test in scenario["tests"].as_array().unwrap() {
            tests += 1;
            let got = result(test, &zone).await;
            let want = test["result"].as_array().unwrap();
            if !want.iter().any(|word| word == got.word()) {
                let name = test["name"].as_str().unwrap().to_owned();
                different.push((name, got.word(), want.clone()));
            }
        }
    }
    assert_eq!(tests, 203, "the whole suite is read");
    let names = different.iter().map(|(name, ..)| name.as_str());
    assert!(
        names.eq(DIFFERENT.iter().map(|(name, _)| *name)),
        "{different:#?}"
    );
}
