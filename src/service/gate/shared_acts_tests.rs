//! Acts of administrators at gates that share their records: what the log loses, and who cannot read it.

use super::shared_tests::{CLIENTS, Host, SECRET, cut_off, heal, site};
use super::tests::defer;
use crate::policy::{Filter, Reason, State};
use crate::shared::HostState;
use crate::shared::double::{Behaviour, Double};
use crate::store::memory::MemoryStore;

/// Whether a value of the server has this text in it.
fn has(text: &str) -> impl Fn(&[u8]) -> bool {
    move |value| {
        value
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    }
}

async fn add(host: &Host, text: &str) {
    let adding = host.control.add_entry(CLIENTS, text, "", None);
    adding.await.unwrap();
}

#[tokio::test]
async fn a_new_host_gets_the_entries_whose_acts_the_server_does_not_have_any_more() {
    let (server, one, two) = site();
    add(&one, "mx.friend.example").await;
    two.await_entry("mx.friend.example", true);
    // Its time is over.
    server.lose_those(has("mx.friend.example"));
    for host in [&one, &two] {
        cut_off(host);
        heal(host);
    }
    let three = Host::new("mx3.example", &server, |_| {});
    three.await_entry("mx.friend.example", true);

    // What was removed meanwhile does not come back with it.
    one.clock.advance(1);
    one.control
        .remove_entry(CLIENTS, "mx.friend.example")
        .await
        .unwrap();
    for host in [&two, &three] {
        host.await_entry("mx.friend.example", false);
    }
    for host in [&one, &two, &three] {
        host.settle();
        assert!(!host.has_entry("mx.friend.example"));
    }
}

#[tokio::test]
async fn acts_that_cannot_be_read_are_counted_and_the_next_ones_carried_out() {
    let (server, one, two) = site();
    cut_off(&two);
    add(&one, "mx.later.example").await;
    add(&one, "mx.forged.example").await;
    add(&one, "mx.friend.example").await;
    one.settle();
    server.relabel(&SECRET, 200, has("mx.later.example"));
    server.change(|value| {
        if has("mx.forged.example")(value) {
            value[20] ^= 1;
        }
    });
    assert_eq!(two.status().acts_skipped, 0);
    heal(&two);
    two.await_entry("mx.friend.example", true);
    assert_eq!(two.status().acts_skipped, 2);
    assert!(!two.has_entry("mx.later.example"));
    assert!(!two.has_entry("mx.forged.example"));
    // Reading the log again is no reason to count again.
    cut_off(&two);
    heal(&two);
    two.settle();
    assert_eq!(two.status().acts_skipped, 2);
}

#[tokio::test]
async fn a_host_with_an_older_database_carries_out_its_own_acts_again() {
    let server = Double::default();
    let alone = |host: &Host| host.wait_for("connected", |status| status.failure.is_none());
    // Passed everywhere, and in the backup.
    let backup = MemoryStore::new();
    let before = Host::on(&backup, "mx1.example", &server, |_| {}, false);
    alone(&before);
    assert_eq!(before.judge("a@b", "1").await.1, Reason::New);
    add(&before, "mx.friend.example").await;
    before.settle();
    let copy = backup.copy();
    before.clock.advance(300);
    let removing = before.control.remove_entry(CLIENTS, "mx.friend.example");
    removing.await.unwrap();
    let everything = before.control.forget(Filter::default(), true).await;
    assert_eq!(everything.unwrap().triplets, 1);
    before.settle();
    drop(before);

    let after = Host::on(&copy, "mx1.example", &server, |_| {}, false);
    after.clock.advance(301);
    alone(&after);
    after.await_entry("mx.friend.example", false);
    assert_eq!(after.judge("a@b", "2").await, (defer(300), Reason::New));
}

#[tokio::test]
async fn what_a_host_has_deleted_is_not_deleted_again_when_it_reads_that_in_the_log() {
    let passed = Filter {
        state: Some(State::Passed),
        ..Filter::default()
    };
    let retrying = Filter {
        retrying: true,
        ..Filter::default()
    };
    let cases = [
        ("passed since", &passed, false, 300, Reason::TripletFound),
        ("retried since", &retrying, false, 20, Reason::EarlyRetry),
        // Its own act is carried out after the other one.
        (
            "passed, and another act",
            &passed,
            true,
            300,
            Reason::TripletFound,
        ),
        (
            "retried, and another act",
            &retrying,
            true,
            20,
            Reason::EarlyRetry,
        ),
    ];
    for (what, filter, is_another, after, want) in cases {
        let (_, one, two) = site();
        assert_eq!(one.judge("a@b", "1").await.1, Reason::New, "{what}");
        one.settle();
        cut_off(&one);
        let forgotten = one.control.forget(filter.clone(), false).await.unwrap();
        assert_eq!(forgotten.triplets, 0, "{what}");
        if is_another {
            add(&two, "mx.friend.example").await;
            two.settle();
        }
        one.clock.advance(after);
        assert_eq!(one.judge("a@b", "2").await.1, want, "{what}");
        heal(&one);
        one.settle();
        assert_eq!(one.judge("a@b", "3").await.1, want, "{what}");
    }
}

#[tokio::test]
async fn records_that_are_imported_after_all_were_deleted_stay() {
    let (_, one, two) = site();
    assert_eq!(one.judge("a@b", "1").await.1, Reason::New);
    let page = one.control.page(Filter::default(), true, Vec::new(), 10);
    let rows = page.await.unwrap().rows;
    assert_eq!(rows.len(), 1);
    cut_off(&one);
    one.clock.advance(10);
    let everything = one.control.forget(Filter::default(), true).await;
    assert_eq!(everything.unwrap().triplets, 1);
    one.control.import(rows, false).await.unwrap();
    heal(&one);
    one.settle();
    assert_eq!(one.judge("a@b", "2").await.1, Reason::EarlyRetry);
    one.wait_for("the other has done it", |status| {
        let mut hosts = status.hosts.iter();
        hosts.all(|(_, state)| *state == HostState::Ok)
    });
    two.settle();
}

#[tokio::test]
async fn records_that_are_imported_at_one_host_are_known_at_all_however_old_they_are() {
    let (server, one, two) = site();
    assert_eq!(one.judge("a@b", "1").await.1, Reason::New);
    let page = one.control.page(Filter::default(), true, Vec::new(), 10);
    let rows = page.await.unwrap().rows;
    two.clock.advance(1000);
    two.settle();
    // That all was sent is noted.
    two.clock.advance(1000);
    two.settle();
    drop(one);
    server.lose_those(|value| value.len() == 43);
    two.control.import(rows.clone(), true).await.unwrap();
    two.settle();
    assert!(server.values().values().all(|value| value.len() != 43));
    two.control.import(rows, false).await.unwrap();
    two.settle();
    let other = Host::new("mx4.example", &server, |_| {});
    other.settle();
    other.clock.advance(2000);
    assert_eq!(other.judge("a@b", "2").await.1, Reason::TripletFound);
}

#[tokio::test]
async fn what_a_failover_loses_of_the_acts_of_a_host_is_done_at_all_hosts_all_the_same() {
    let (server, one, two) = site();
    add(&one, "mx.friend.example").await;
    two.await_entry("mx.friend.example", true);
    assert_eq!(one.judge("a@b", "1").await.1, Reason::New);
    one.settle();
    for host in [&one, &two] {
        host.clock.advance(300);
        assert_eq!(host.judge("a@b", "2").await.1, Reason::TripletFound);
        host.settle();
    }
    let replica = server.values();
    cut_off(&two);
    one.clock.advance(1);
    let removing = one.control.remove_entry(CLIENTS, "mx.friend.example");
    removing.await.unwrap();
    let everything = one.control.forget(Filter::default(), true).await;
    assert_eq!(everything.unwrap().triplets, 1);
    one.settle();
    cut_off(&one);
    server.set_values(replica);
    for host in [&one, &two] {
        host.clock.advance(5);
        heal(host);
    }
    two.await_entry("mx.friend.example", false);
    for host in [&one, &two, &one, &two] {
        host.settle();
        assert!(!host.has_entry("mx.friend.example"));
    }
    assert_eq!(two.judge("a@b", "3").await, (defer(300), Reason::New));
}

#[tokio::test]
async fn records_that_a_server_has_lost_by_an_older_state_are_sent_again() {
    let (server, one, two) = site();
    one.settle();
    let older = server.values();
    for host in [&one, &two] {
        host.clock.advance(300);
    }
    assert_eq!(one.judge("a@b", "1").await.1, Reason::New);
    // The server is told of them when they connect.
    for host in [&one, &two] {
        cut_off(host);
        heal(host);
        host.settle();
        host.clock.advance(300);
        // It notes that all was sent.
        host.settle();
        cut_off(host);
    }
    server.set_values(older);
    for host in [&one, &two] {
        heal(host);
        host.settle();
    }
    assert_eq!(two.judge("a@b", "2").await.1, Reason::TripletFound);
}

#[tokio::test]
async fn a_host_with_nothing_to_send_says_that_the_server_takes_no_writes() {
    let (_, one, _) = site();
    cut_off(&one);
    one.network.set(Behaviour::IsFull);
    let is_full = |status: &crate::shared::Status| {
        let why = status.failure.as_deref().unwrap_or_default();
        why.contains("OOM")
    };
    one.wait_for("full", is_full);
    let rounds = one.network.reads();
    while one.network.reads() < rounds + 20 {
        one.network.wait(std::time::Duration::from_secs(20));
        assert!(is_full(&one.status()), "{:?}", one.status());
    }
    heal(&one);
}

#[tokio::test]
async fn a_removal_is_of_an_entry_that_another_host_has_written_in_another_way() {
    let store = MemoryStore::new();
    let server = Double::default();
    let alone = Host::on(&store, "mx3.example", &Double::default(), |_| {}, false);
    add(&alone, "192.0.2").await;
    drop(alone);
    let one = Host::new("mx1.example", &server, |_| {});
    add(&one, "192.0.2.0/24").await;
    one.settle();
    let three = Host::on(&store, "mx3.example", &server, |_| {}, false);
    three.settle();
    assert!(three.has_entry("192.0.2"), "it keeps its text");
    one.clock.advance(10);
    let removing = one.control.remove_entry(CLIENTS, "192.0.2.0/24");
    removing.await.unwrap();
    three.await_entry("192.0.2", false);
}

#[tokio::test]
async fn of_two_hosts_with_one_name_one_does_not_share_and_says_so() {
    let (server, one, _) = site();
    let other = Host::new("mx1.example", &server, |_| {});
    other.wait_for("connected", |status| status.failure.is_none());
    // It looks when it has something to say.
    add(&one, "mx.friend.example").await;
    one.wait_for("refused", |status| {
        let why = status.failure.clone().unwrap_or_default();
        why.contains("mx1.example") && why.contains("--hostname")
    });
    // When there is only one again, it goes on.
    drop(other);
    one.clock.advance(200);
    one.wait_for("connected", |status| status.failure.is_none());
}

#[tokio::test]
async fn a_host_that_was_away_for_longer_than_the_log_sends_nothing_older_than_its_return() {
    for (is_lost, want) in [(false, Reason::TripletFound), (true, Reason::New)] {
        let (server, one, two) = site();
        two.settle();
        cut_off(&two);
        assert_eq!(two.judge("a@b", "1").await.1, Reason::New);
        add(&one, "mx.friend.example").await;
        one.settle();
        if is_lost {
            server.lose_those(has("mx.friend.example"));
        }
        for host in [&one, &two] {
            host.clock.advance(300);
        }
        heal(&two);
        two.settle();
        assert_eq!(one.judge("a@b", "2").await.1, want, "{is_lost}");
        // What is seen after its return is sent.
        assert_eq!(two.judge("c@d", "3").await.1, Reason::New);
        two.settle();
        for host in [&one, &two] {
            host.clock.advance(300);
        }
        assert_eq!(one.judge("c@d", "4").await.1, Reason::TripletFound);
    }
}
