//! The database that Debian's postgrey writes, read by the importer.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use stargrey::ctl::import::{Directory, DirectoryError, Imported, Item, PostgreyRules, Skip};
use stargrey::types::{ClientIp, Timestamp};

use super::peer::{Answer, Lists, PATIENCE, Postgrey};

/// The first request.
const START: u64 = 1_700_000_000;

/// Who to whom from where, and when, in seconds after [`START`].
const REQUESTS: [(&str, &str, &str, u64); 7] = [
    ("192.0.2.7", "ann@example.org", "Bob@example.net", 0),
    ("192.0.2.7", "ann@example.org", "bob@example.net", 300),
    ("198.51.100.9", "ann@example.org", "bob@example.net", 310),
    ("2001:db8::a:1", "", "bob@example.net", 320),
    ("2001:db8::a:1", "", "bob@example.net", 700),
    (
        "192.0.2.7",
        "x\\y\u{fc}@example.org",
        "bob@example.net",
        800,
    ),
    ("192.0.2.7", "a/b@example.org", "bob@example.net", 900),
];

/// All files of a directory that a postgrey could read.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn read(directory: &Path) -> Vec<Item> {
    Directory::open(directory, PostgreyRules::default())
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// What must be read after [`REQUESTS`], in the order of the keys.
fn wanted() -> Vec<Item> {
    let at = |seconds| Timestamp::from_seconds(START + seconds);
    let triplet = |network: &str, sender: &str, first, last, is_passed| {
        Item::Row(Imported::Triplet {
            network: network.parse().unwrap(),
            sender: sender.into(),
            recipient: b"bob@example.net".to_vec(),
            first: at(first),
            last: at(last),
            is_passed,
        })
    };
    let client = |address: &str, last| {
        Item::Row(Imported::Client {
            address: ClientIp::parse(address.as_bytes()).unwrap(),
            count: 1,
            last: at(last),
        })
    };
    vec![
        Item::Skipped {
            line: 6,
            why: Skip::Ambiguous,
        },
        triplet("192.0.2.0", "ann@example.org", 0, 300, true),
        triplet("192.0.2.0", "x\\y\u{fc}@example.org", 800, 800, false),
        triplet("198.51.100.0", "ann@example.org", 310, 310, false),
        triplet("2001:db8::", "", 320, 700, true),
        client("192.0.2.7", 300),
        client("2001:db8::a:1", 700),
    ]
}

fn start(options: &[&str]) -> Postgrey {
    let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
    let postgrey = Postgrey::start(&options, Lists::default()).expect("postgrey starts");
    let mut wire = postgrey.connect(PATIENCE);
    for (client, sender, recipient, after) in REQUESTS {
        let now = START + after;
        let request = format!(
            "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_name=unknown\n\
             client_address={client}\nsender={sender}\nrecipient={recipient}\n\
             instance={after}\npolicy_test_time={now}\n\n"
        );
        let answer = wire.ask(request.as_bytes());
        assert!(matches!(answer, Answer::Action(_)), "{answer:?}");
    }
    postgrey
}

#[test]
fn what_postgrey_wrote_is_read_however_it_ended() {
    for name in ["stopped", "killed"] {
        let mut postgrey = start(&[]);
        let refused = Directory::open(postgrey.directory(), PostgreyRules::default());
        assert!(
            matches!(refused, Err(DirectoryError::Held(_))),
            "{refused:?}"
        );
        if name == "stopped" {
            postgrey.stop();
        } else {
            postgrey.end();
        }
        let before = contents(postgrey.directory());
        assert_eq!(read(postgrey.directory()), wanted(), "{name}");
        assert!(contents(postgrey.directory()) == before, "{name}");
    }
}

#[test]
fn what_postgrey_wrote_by_host_is_read() {
    let mut postgrey = start(&["--lookup-by-host"]);
    postgrey.stop();
    let mut wanted = wanted();
    for item in &mut wanted {
        if let Item::Row(Imported::Triplet { network, .. }) = item {
            let host = match network.to_string().as_str() {
                "192.0.2.0" => "192.0.2.7",
                "198.51.100.0" => "198.51.100.9",
                _ => "2001:db8::a:1",
            };
            *network = host.parse().unwrap();
        }
    }
    assert_eq!(read(postgrey.directory()), wanted);
}

#[test]
fn a_database_of_hashes_is_refused() {
    let mut postgrey = start(&["--privacy"]);
    postgrey.stop();
    let mut rows = Directory::open(postgrey.directory(), PostgreyRules::default()).unwrap();
    let error = rows.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("--privacy"), "{error}");
    assert!(rows.next().is_none());
}

#[test]
fn no_postgrey_starts_while_its_database_is_read() {
    let mut postgrey = start(&[]);
    postgrey.stop();
    let rows = Directory::open(postgrey.directory(), PostgreyRules::default()).unwrap();
    let again = Directory::open(postgrey.directory(), PostgreyRules::default());
    assert!(matches!(again, Err(DirectoryError::Held(_))), "{again:?}");
    drop(rows);
    let mut rows = Directory::open(postgrey.directory(), PostgreyRules::default()).unwrap();
    assert!(rows.next().is_some());
    rows.rewind();
    let all: Vec<_> = rows.by_ref().map(Result::unwrap).collect();
    assert_eq!(all, wanted());
    rows.rewind();
    assert_eq!(rows.count(), wanted().len());
}
