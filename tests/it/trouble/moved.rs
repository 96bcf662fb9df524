//! Files of the database that are moved, removed or replaced while the daemon runs.

use std::fs;
use std::path::Path;

use super::START;
use crate::support::{Daemon, TestClock, nth_request};

/// A daemon that has greylisted somebody.
fn running() -> (Daemon, TestClock) {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    daemon.run(&[clock.option().as_str(), "-q"]);
    assert!(daemon.connect().ask(&nth_request(0)).contains("Greylisted"));
    (daemon, clock)
}

/// Does something to the directory of the database; sees that nothing is promised until the daemon has noticed, that it
/// says what happened, and that it goes on with what is there then.
fn assert_noticed(happens: impl FnOnce(&Path)) {
    let (mut daemon, clock) = running();
    happens(&daemon.path().join("db"));
    assert_eq!(daemon.connect().ask(&nth_request(1)), "DUNNO");
    let status = daemon.wait_for("STATUS=DEGRADED: ");
    assert!(
        status.contains("was moved, removed or replaced"),
        "{status}"
    );
    daemon.log_until(|log| log.contains("the database is available again"));
    assert!(daemon.connect().ask(&nth_request(1)).contains("Greylisted"));
    assert!(daemon.stop().success());
    daemon.start_again();
    clock.advance(300);
    assert!(daemon.connect().ask(&nth_request(1)).starts_with("PREPEND"));
}

#[test]
fn a_data_file_behind_a_link_is_the_one_that_is_open() {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    let (there, link) = (
        daemon.path().join("elsewhere.mdb"),
        daemon.path().join("db/data.mdb"),
    );
    fs::create_dir_all(daemon.path().join("db")).unwrap();
    std::os::unix::fs::symlink(&there, &link).unwrap();
    daemon.run(&[clock.option().as_str(), "-q"]);
    assert!(daemon.connect().ask(&nth_request(0)).contains("Greylisted"));
    clock.advance(300);
    assert!(daemon.connect().ask(&nth_request(0)).starts_with("PREPEND"));
    assert!(there.exists());
}

#[test]
fn a_directory_that_is_removed_is_noticed() {
    assert_noticed(|db| fs::remove_dir_all(db).unwrap());
}

#[test]
fn a_directory_that_is_moved_is_noticed() {
    assert_noticed(|db| fs::rename(db, db.with_extension("old")).unwrap());
}

#[test]
fn a_data_file_that_is_removed_is_noticed() {
    assert_noticed(|db| fs::remove_file(db.join("data.mdb")).unwrap());
}

#[test]
fn a_data_file_that_another_is_put_in_the_place_of_is_noticed() {
    assert_noticed(|db| {
        fs::write(db.join("empty"), "").unwrap();
        fs::rename(db.join("empty"), db.join("data.mdb")).unwrap();
    });
}

#[test]
fn an_idle_daemon_notices_it_too() {
    let (mut daemon, _clock) = running();
    fs::remove_dir_all(daemon.path().join("db")).unwrap();
    daemon.wait_for("STATUS=DEGRADED: ");
}

#[test]
fn without_its_lock_file_the_database_is_still_locked_and_the_file_comes_back() {
    let (daemon, _clock) = running();
    let lock = daemon.path().join("db/stargrey.lock");
    fs::remove_file(&lock).unwrap();
    let second = daemon.command().status().unwrap();
    assert_eq!(second.code(), Some(75), "{}", daemon.log());
    assert!(!lock.exists() || fs::remove_file(&lock).is_ok());
    daemon.log_until(|log| log.contains("it has been created and locked again"));
    assert!(lock.exists());
    assert!(daemon.connect().ask(&nth_request(1)).contains("Greylisted"));
    let second = daemon.command().status().unwrap();
    assert_eq!(second.code(), Some(75), "{}", daemon.log());
}

#[test]
fn a_lock_file_that_cannot_be_made_again_closes_nothing() {
    let (daemon, _clock) = running();
    let lock = daemon.path().join("db/stargrey.lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    daemon.log_until(|log| {
        log.contains(
            "the lock file of the database was moved or removed and cannot be created again: ",
        )
    });
    assert!(daemon.connect().ask(&nth_request(1)).contains("Greylisted"));
    let second = daemon.command().status().unwrap();
    assert_eq!(second.code(), Some(75), "{}", daemon.log());
    fs::remove_dir(&lock).unwrap();
    daemon.log_until(|log| log.contains("it has been created and locked again"));
    assert!(lock.is_file());
    assert!(!daemon.log().contains("unavailable"), "{}", daemon.log());
}
