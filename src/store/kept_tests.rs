//! Entries and history in every store.

use super::page_tests::at;
use super::tests::{sweep_all, with_every_store};
use super::*;

pub(in crate::store) fn entry(list: ListName, text: &str) -> Added {
    Added {
        list,
        text: text.to_owned(),
        comment: "because".to_owned(),
        added: at(0),
        expires: Some(at(86_400)),
        hits: 0,
        last_hit: None,
    }
}

#[test]
fn entries_are_kept_replaced_and_removed() {
    with_every_store(|opener, _| {
        let (reader, mut writer) = opener.open().unwrap();
        assert_eq!(reader.entries().unwrap(), []);
        let mut first = entry(ListName::Client, "192.0.2.0/24");
        let others = [
            entry(ListName::Client, "192.0.2.0/25"),
            entry(ListName::Sender, "192.0.2.0/24"),
        ];
        let put = |writer: &mut dyn Writer, entry: &Added| {
            writer.transact(&mut |records| records.put_entry(entry))
        };
        put(writer.as_mut(), &first).unwrap();
        for other in &others {
            put(writer.as_mut(), other).unwrap();
        }
        first.hits = 12;
        first.last_hit = Some(at(7));
        first.expires = None;
        put(writer.as_mut(), &first).unwrap();
        let [second, third] = others;
        let want = [first, second.clone(), third];
        assert_eq!(reader.entries().unwrap(), want);

        for text in ["", &"t".repeat(401)] {
            let refused = put(writer.as_mut(), &entry(ListName::Client, text)).unwrap_err();
            assert!(matches!(
                refused,
                RequestError::Refused(StoreRefusal::Length { .. })
            ));
        }

        // The sweep is not about them.
        sweep_all(writer.as_mut(), at(3000 * 86_400));
        assert_eq!(reader.entries().unwrap(), want);
        writer
            .transact(&mut |records| {
                assert!(records.remove_entry(ListName::Client, "192.0.2.0/24")?);
                assert!(!records.remove_entry(ListName::Client, "192.0.2.0/24")?);
                assert!(!records.remove_entry(ListName::Client, "")?);
                assert!(records.remove_entry(ListName::Sender, "192.0.2.0/24")?);
                Ok(())
            })
            .unwrap();
        assert_eq!(reader.entries().unwrap(), [second]);
    });
}

pub(in crate::store) fn counters(counts: &[(&str, u64)]) -> Counters {
    let counts = counts.iter();
    counts.map(|(word, n)| ((*word).to_owned(), *n)).collect()
}

#[test]
fn counters_are_added_up_by_the_hour_and_go_after_400_days() {
    with_every_store(|opener, _| {
        let (reader, mut writer) = opener.open().unwrap();
        let writer = writer.as_mut();
        let mut add = |time: Timestamp, counts: &[(&str, u64)]| {
            let counts = counters(counts);
            writer
                .transact(&mut |records| records.add_counters(time, &counts))
                .unwrap();
        };
        add(at(0), &[("new", 2), ("found", 1)]);
        add(at(3599), &[("new", u64::MAX), ("early", 5)]);
        add(at(3 * 3600), &[("new", 1)]);
        add(at(4 * 3600), &[]);
        let sum = counters(&[("early", 5), ("found", 1), ("new", u64::MAX)]);
        let first = (at(0), sum);
        let second = (at(3 * 3600), counters(&[("new", 1)]));
        let history = |from, to| reader.history(from, to).unwrap();
        let both = [first.clone(), second.clone()];
        assert_eq!(history(at(0), at(86_400)), both);
        assert_eq!(history(at(3599), at(3 * 3600)), both);
        assert_eq!(history(Timestamp::default(), at(3599)), [first]);
        assert_eq!(history(at(3600), at(4 * 3600)), [second]);
        assert_eq!(history(at(3600), at(2 * 3600)), []);
        assert_eq!(history(at(3600), at(0)), []);

        for hour in 5..1000 {
            add(at(hour * 3600), &[("new", hour)]);
        }
        let all = (Timestamp::default(), Timestamp::from_seconds(u64::MAX));
        let mut left = |now: u64| {
            let removed = sweep_all(writer, at(now * 3600));
            (removed, reader.history(all.0, all.1).unwrap().len())
        };
        let days = 400 * 24;
        assert_eq!(left(days), (0, 997));
        assert_eq!(left(days + 1), (1, 996));
        assert_eq!(left(days + 999), (995, 1));
        assert_eq!(left(days + 1000), (1, 0));
    });
}
