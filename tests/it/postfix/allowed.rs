//! An entry that is added over the bus counts for the next message, survives a kill, and is gone when it is removed.

use super::{OTHER, SENDER, STRANGER, Site, assert_accepted, assert_deferred};
use crate::bus::harness::{Bus, THERE};
use stargrey::api::MANAGER;

#[test]
fn a_waiting_client_passes_as_long_as_it_is_on_a_list_that_was_added_to() {
    let mut site = Site::start(&[]);
    let bus = Bus::start(site.daemon.path());
    let again = |site: &mut Site| {
        let before = site.daemon.log().matches(THERE).count();
        site.daemon.kill();
        site.daemon.start_again();
        site.daemon
            .log_until(|log| log.matches(THERE).count() > before);
    };
    again(&mut site);
    assert_deferred(
        &site.attempt(STRANGER, SENDER, "anna@example.org"),
        "anna@example.org",
        300,
    );

    let entry = ["client-whitelist", "stranger.example"];
    let add = [
        &["AddEntry", "ssst"],
        &entry[..],
        &["a call about late mail", "0"],
    ]
    .concat();
    bus.call(MANAGER, &add).good();
    assert_accepted(&site.attempt(STRANGER, SENDER, "anna@example.org"));
    assert_deferred(
        &site.attempt(OTHER, SENDER, "anna@example.org"),
        "anna@example.org",
        300,
    );
    again(&mut site);
    assert_accepted(&site.attempt(STRANGER, SENDER, "ben@example.org"));

    bus.call(MANAGER, &[&["RemoveEntry", "ss"], &entry[..]].concat())
        .good();
    assert_deferred(
        &site.attempt(STRANGER, SENDER, "carl@example.org"),
        "carl@example.org",
        300,
    );
    again(&mut site);
    assert_deferred(
        &site.attempt(STRANGER, SENDER, "dora@example.org"),
        "dora@example.org",
        300,
    );
}
