//! Entries that another host has added: those that are not valid here, and those that a file has, too.

use super::shared_tests::{CLIENTS, Host, SECRET, site};
use super::tests::{attempt, judge};
use crate::policy::{Added, Reason, Source};
use crate::shared::double::{Behaviour, Double};

async fn add(host: &Host, text: &str) {
    let adding = host.control.add_entry(CLIENTS, text, "", None);
    adding.await.unwrap();
}

/// An entry's key in an act, with its length.
fn field(text: &str) -> Vec<u8> {
    let key = [CLIENTS.word().as_bytes(), &[0], text.as_bytes()].concat();
    let length = u16::try_from(key.len()).unwrap();
    [&length.to_be_bytes()[..], &key].concat()
}

/// Has a host with the secret write another pattern in the act that has added this one.
fn rewrite(server: &Double, from: &str, to: &str) {
    let (from, to) = (field(from), field(to));
    server.reseal(&SECRET, |body| {
        let at = body.windows(from.len()).position(|part| part == from)?;
        Some([&body[..at], &to, &body[at + from.len()..]].concat())
    });
}

#[tokio::test]
async fn an_entry_of_another_host_that_is_not_valid_here_is_left_out_and_the_log_goes_on() {
    let too_long = "x".repeat(Added::LONGEST_TEXT + 1);
    let cases = [
        ("an expression that does not end", "/(/"),
        ("an expression that is too large", "/(a{1000}){1000}/"),
        ("no name and no network", "192.0.2.0/33"),
        ("two words", "mx.one.example mx.two.example"),
        ("too long", too_long.as_str()),
        ("nothing", ""),
    ];
    for (what, pattern) in cases {
        let (server, one, two) = site();
        two.network.set(Behaviour::IsCutOff);
        two.wait_for("cut off", |status| status.failure.is_some());
        for text in ["mx.first.example", "mx.meant.example", "mx.last.example"] {
            add(&one, text).await;
        }
        one.settle();
        rewrite(&server, "mx.meant.example", pattern);
        two.network.set(Behaviour::Replies);
        two.await_entry("mx.last.example", true);
        two.settle();
        assert_eq!(two.status().acts_skipped, 0, "{what}: the act can be read");
        let entries = two.control.list_entries().into_iter();
        let entries = entries.filter(|entry| entry.source == Source::Bus);
        let entries: Vec<String> = entries.map(|entry| entry.pattern).collect();
        assert_eq!(entries, ["mx.first.example", "mx.last.example"], "{what}");
        // What is done afterwards holds, too.
        one.control
            .remove_entry(CLIENTS, "mx.first.example")
            .await
            .unwrap();
        two.await_entry("mx.first.example", false);
    }
}

/// Where a host has an entry from.
fn sources(host: &Host, text: &str) -> Vec<Source> {
    let entries = host.control.list_entries().into_iter();
    let entries = entries.filter(|entry| entry.pattern == text);
    entries.map(|entry| entry.source).collect()
}

#[tokio::test]
async fn an_entry_of_a_file_stays_whatever_another_host_does_about_its_pattern() {
    let (server, one, two) = site();
    let of_file = sources(&two, "good.example");
    assert_eq!(of_file.len(), 1, "the file of each host has it");
    assert_ne!(of_file[0], Source::Bus);
    let both = [of_file.as_slice(), &[Source::Bus]].concat();
    let is_listed = async |host: &Host, instance: &str| {
        let friend = attempt("good.example", "a@b", instance, "joe@c");
        judge(&host.gate, &friend).await.1 == Reason::ClientWhitelist
    };
    add(&one, "good.example").await;
    two.wait_for("added", |_| sources(&two, "good.example") == both);
    assert!(is_listed(&two, "1").await);

    two.clock.advance(10);
    let removing = two.control.remove_entry(CLIENTS, "good.example");
    removing.await.unwrap();
    for host in [&two, &one] {
        host.wait_for("removed", |_| sources(host, "good.example") == of_file);
        host.settle();
        assert_eq!(sources(host, "good.example"), of_file);
        assert!(is_listed(host, "2").await);
    }

    // The removal of one that only the file has.
    add(&one, "mx.meant.example").await;
    two.await_entry("mx.meant.example", true);
    two.settle();
    two.network.set(Behaviour::IsCutOff);
    two.wait_for("cut off", |status| status.failure.is_some());
    one.clock.advance(20);
    let removing = one.control.remove_entry(CLIENTS, "mx.meant.example");
    removing.await.unwrap();
    add(&one, "mx.last.example").await;
    one.settle();
    rewrite(&server, "mx.meant.example", "good.example");
    two.network.set(Behaviour::Replies);
    two.await_entry("mx.last.example", true);
    assert!(
        two.has_entry("mx.meant.example"),
        "the act is about another"
    );
    assert_eq!(sources(&two, "good.example"), of_file);
    assert!(is_listed(&two, "3").await);
}
