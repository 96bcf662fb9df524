//! A primary that is made a replica while hosts are connected to it, and servers that take no writes without a replica.

use crate::shared_records::{
    GREYLISTED, Redis, Site, is_sharing, last_state, page_lines, wait_for,
};
use crate::shared_routes::{Failover, as_admin, failover, let_in, shut_out};

/// What the hosts of the manual page log in with.
const LOGIN: &str = "user = stargrey\npassword = CHANGE-THIS\n";

/// Keys that are no records.
const OF_SITE: usize = 3;

fn is_role(server: &Redis, role: &str) -> bool {
    as_admin(server, "role").starts_with(role)
}

fn await_new_primary(failover: &Failover) {
    let is_primary = || failover.replica.cli(&["role"]).starts_with("master");
    wait_for("the new primary", is_primary);
}

#[test]
fn hosts_that_are_connected_to_a_primary_that_is_demoted_go_to_the_new_one_with_what_the_old_one_took()
 {
    // Sentinels end the connections of clients, and who does it by hand need not.
    for (by, want) in [
        ("the sentinels", "not reachable: "),
        ("hand", "it is a read-only replica (READONLY)"),
    ] {
        let primary = Redis::start();
        let failover = failover(&primary);
        let (url, new) = (failover.url(), &failover.replica);
        let site = Site::of(primary, &url, LOGIN, &[]);
        assert!(site.ask(0, "ann@sender.example").starts_with(GREYLISTED));
        new.wait_for_keys(OF_SITE + 1);
        shut_out(&site.redis);
        await_new_primary(&failover);

        // Nothing has told the hosts: the old one takes what nobody gets of it.
        assert!(site.ask(0, "bob@sender.example").starts_with(GREYLISTED));
        let keys = || -> usize { as_admin(&site.redis, "dbsize").trim().parse().unwrap() };
        wait_for("bob's record", || keys() == OF_SITE + 2);
        assert_eq!(new.keys(), OF_SITE + 1, "{by}");
        for host in &site.hosts {
            assert_eq!(host.log().matches("are not shared with").count(), 0, "{by}");
        }
        if by == "hand" {
            as_admin(&site.redis, &format!("replicaof 127.0.0.1 {}", new.port));
        } else {
            let_in(&site.redis);
        }
        wait_for("it is demoted", || is_role(&site.redis, "slave"));
        let senders = ["cid@sender.example", "dee@sender.example"];
        for (host, sender) in senders.iter().enumerate() {
            assert!(site.ask(host, sender).starts_with(GREYLISTED), "{by}");
            site.hosts[host].log_until(|log| log.contains(want));
        }
        site.hosts.iter().for_each(is_sharing);
        new.wait_for_keys(OF_SITE + 4);
        site.clock.advance(300);
        for (host, sender) in [
            (1, "ann@sender.example"),
            (1, "bob@sender.example"),
            (1, senders[0]),
            (0, senders[1]),
        ] {
            let answer = site.ask(host, sender);
            assert!(answer.starts_with("PREPEND"), "{by}: {sender}: {answer}");
        }
    }
}

#[test]
fn with_the_options_of_the_manual_page_a_primary_without_its_replica_is_read_and_nothing_is_lost() {
    // They are in a file of both servers, so they are there after a restart, too.
    let lines = [page_lines("min-replicas"), page_lines("master")].concat();
    assert_eq!(lines.len(), 3, "the page has them");
    let options = lines.iter().flat_map(|line| {
        let (option, value) = line.split_once(' ').expect("a value");
        [format!("--{option}"), value.to_owned()]
    });
    let options: Vec<String> = options.collect();
    let primary = Redis::with(&|_| options.clone());
    let failover = failover(&primary);
    let (url, new) = (failover.url(), &failover.replica);
    let set = ["config", "set", "min-replicas-to-write", "1"];
    assert_eq!(new.cli(&set).trim(), "OK");
    let mut site = Site::of(primary, &url, LOGIN, &[]);
    assert!(site.ask(0, "ann@sender.example").starts_with(GREYLISTED));
    new.wait_for_keys(OF_SITE + 1);

    site.redis.kill();
    await_new_primary(&failover);
    for host in &site.hosts {
        host.log_until(|log| last_state(log).is_some_and(|line| line.contains("(NOREPLICAS)")));
    }
    site.clock.advance(300);
    let retry = site.ask(1, "ann@sender.example");
    assert!(retry.starts_with("PREPEND"), "it is read: {retry}");
    assert!(site.ask(0, "bob@sender.example").starts_with(GREYLISTED));
    site.clock.advance(300);
    let unsent = site.ask(1, "bob@sender.example");
    assert!(unsent.starts_with(GREYLISTED), "it waits: {unsent}");
    assert_eq!(new.keys(), OF_SITE + 1);

    // It comes back without data, and the sentinels make it the replica.
    site.redis.run();
    wait_for("it is a replica", || {
        site.redis.cli(&["role"]).starts_with("slave")
    });
    site.hosts.iter().for_each(is_sharing);
    new.wait_for_keys(OF_SITE + 2);
    let retry = site.ask(1, "bob@sender.example");
    assert!(retry.starts_with("PREPEND"), "it was sent: {retry}");
    site.redis.wait_for_keys(OF_SITE + 2);
}
