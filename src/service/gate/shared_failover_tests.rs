//! Acts of administrators at gates that share their records, when a server takes over that does not have the last of them.

use super::shared_tests::{CLIENTS, Host, cut_off, heal, site};
use crate::policy::{Filter, Reason};
use crate::shared::HostState;
use crate::store::memory::MemoryStore;

const OLD: &str = "mx.old.example";
const LOST: &str = "mx.lost.example";
const OTHER: &str = "mx.other.example";

async fn add(host: &Host, text: &str) {
    let adding = host.control.add_entry(CLIENTS, text, "", None);
    adding.await.unwrap();
}

async fn remove(host: &Host, text: &str) {
    let removing = host.control.remove_entry(CLIENTS, text);
    removing.await.unwrap();
}

/// Waits until each of these hosts has carried out what the others did.
fn settle(hosts: &[&Host]) {
    for _ in 0..2 {
        for host in hosts {
            host.settle();
        }
    }
    for host in hosts {
        host.wait_for("all have caught up", |status| {
            let known = status.hosts.iter();
            known.filter(|(_, state)| *state == HostState::Ok).count() + 1 >= hosts.len()
        });
    }
}

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Add,
    Remove,
    Forget,
}

#[tokio::test]
async fn acts_with_the_numbers_of_lost_ones_are_carried_out_and_the_lost_ones_are_done_at_all_hosts()
 {
    // As many as were lost, fewer, and more.
    let others = [(1, 1), (2, 1), (1, 2), (3, 3)];
    for (lost, after) in others {
        for act in [Act::Add, Act::Remove, Act::Forget] {
            let what = format!("{lost} of {act:?} lost, {after} after that");
            let (server, one, two) = site();
            let three = Host::new("mx3.example", &server, |_| {});
            let all = [&one, &two, &three];
            add(&one, OLD).await;
            assert_eq!(one.judge("a@b", "1").await.1, Reason::New, "{what}");
            settle(&all);
            for host in all {
                host.clock.advance(10);
            }
            let replica = server.values();

            cut_off(&two);
            match act {
                Act::Add => add(&one, LOST).await,
                Act::Remove => remove(&one, OLD).await,
                Act::Forget => {
                    let forgetting = one.control.forget(Filter::default(), true);
                    assert_eq!(forgetting.await.unwrap().triplets, 1, "{what}");
                }
            }
            for n in 1..lost {
                add(&one, &format!("mx{n}.lost.example")).await;
            }
            // The third host has carried them out.
            settle(&[&one, &three]);
            cut_off(&one);
            cut_off(&three);
            server.set_values(replica);
            for host in all {
                host.clock.advance(10);
            }
            heal(&two);
            for n in 0..after {
                add(&two, &format!("mx{n}.other.example")).await;
            }
            two.settle();
            heal(&one);
            heal(&three);

            settle(&all);
            for host in all {
                let expected = [(OLD, act != Act::Remove), (LOST, act == Act::Add)];
                for (entry, is_there) in expected {
                    assert_eq!(host.has_entry(entry), is_there, "{what}: {entry}");
                }
                for n in 1..lost {
                    assert!(host.has_entry(&format!("mx{n}.lost.example")), "{what}");
                }
                for n in 0..after {
                    assert!(host.has_entry(&format!("mx{n}.other.example")), "{what}");
                }
            }
            two.clock.advance(300);
            let is_known = two.judge("a@b", "2").await.1 == Reason::TripletFound;
            assert_eq!(is_known, act != Act::Forget, "{what}");
        }
    }
}

#[tokio::test]
async fn what_a_failover_has_lost_is_found_by_a_daemon_that_was_started_since() {
    let (server, one, two) = site();
    let store = MemoryStore::new();
    let before = Host::on(&store, "mx3.example", &server, |_| {}, false);
    add(&one, OLD).await;
    settle(&[&one, &two, &before]);
    let replica = server.values();
    cut_off(&one);
    cut_off(&two);
    before.clock.advance(1);
    remove(&before, OLD).await;
    before.settle();
    drop(before);
    server.set_values(replica);
    heal(&two);
    add(&two, OTHER).await;
    two.settle();
    heal(&one);
    let three = Host::on(&store, "mx3.example", &server, |_| {}, false);
    let all = [&one, &two, &three];
    three.await_entry(OTHER, true);
    settle(&all);
    for host in all {
        assert!(host.has_entry(OTHER) && !host.has_entry(OLD));
    }
}

#[tokio::test]
async fn what_was_done_under_another_name_is_appended_once() {
    let (server, one, two) = site();
    let store = MemoryStore::new();
    let before = Host::on(&store, "mx3.example", &server, |_| {}, false);
    settle(&[&one, &two, &before]);
    cut_off(&before);
    add(&before, OTHER).await;
    before.clock.advance(1);
    remove(&before, OTHER).await;
    add(&before, OLD).await;
    drop(before);
    let renamed = Host::on(&store, "mx4.example", &server, |_| {}, false);
    renamed.clock.advance(1);
    settle(&[&one, &two, &renamed]);
    one.await_entry(OLD, true);
    let appended = server.values().len();
    for _ in 0..3 {
        renamed.settle();
    }
    assert_eq!(server.values().len(), appended);
    assert!(renamed.has_entry(OLD) && !one.has_entry(OTHER));
}

#[tokio::test]
async fn a_server_that_comes_back_with_an_old_state_gets_a_new_log_and_all_hosts_agree() {
    let (server, one, two) = site();
    let all = [&one, &two];
    add(&one, OLD).await;
    settle(&all);
    let old = server.values();
    one.clock.advance(1);
    remove(&one, OLD).await;
    add(&one, LOST).await;
    settle(&all);
    // So long ago that nobody keeps them for the log any more.
    for host in all {
        host.clock.advance(100);
        host.settle();
        cut_off(host);
    }
    server.set_values(old);
    heal(&two);
    add(&two, OTHER).await;
    two.settle();
    heal(&one);
    settle(&all);
    for host in all {
        assert!(!host.has_entry(OLD) && host.has_entry(LOST) && host.has_entry(OTHER));
    }
}

#[tokio::test]
async fn of_acts_about_an_entry_in_one_second_the_last_one_holds_whatever_is_lost() {
    // How many of the acts the replica has: they are done one after the other, beginning with an addition.
    for (acts, kept) in [(2, 0), (2, 1), (3, 1), (3, 2), (4, 2), (4, 3)] {
        let (server, one, two) = site();
        let all = [&one, &two];
        settle(&all);
        let mut replica = server.values();
        for n in 0..acts {
            if n % 2 == 0 {
                add(&one, OLD).await;
            } else {
                remove(&one, OLD).await;
            }
            settle(&all);
            if n + 1 == kept {
                replica = server.values();
            }
        }
        for host in all {
            assert_eq!(host.has_entry(OLD), acts % 2 == 1, "{acts}");
            cut_off(host);
        }
        server.set_values(replica);
        for host in all {
            heal(host);
        }
        settle(&all);
        for host in all {
            assert_eq!(host.has_entry(OLD), acts % 2 == 1, "{acts}, {kept} kept");
        }
        // One that joins has the same.
        let three = Host::new("mx3.example", &server, |_| {});
        settle(&[&three]);
        assert_eq!(three.has_entry(OLD), acts % 2 == 1, "{acts}, {kept} kept");
    }
}
