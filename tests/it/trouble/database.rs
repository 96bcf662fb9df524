//! Databases that are full, cut off, torn, or none at all.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::{DEFERRED, START};
use crate::support::{Daemon, TestClock, nth_request};

/// A daemon that has greylisted two thousand, and has ended; its data file.
fn filled() -> (Daemon, PathBuf) {
    let mut daemon = Daemon::start(&["-q"]);
    let mut client = daemon.connect();
    for n in 0..2000 {
        client.ask(&nth_request(n));
    }
    assert!(daemon.stop().success());
    let data = daemon.path().join("db/data.mdb");
    (daemon, data)
}

/// Starts the daemon on a file that it cannot use, puts the good one back, and sees that nothing is lost.
fn assert_recovers(mut daemon: Daemon, data: &std::path::Path, good: &[u8], want: &str) {
    let bad = fs::read(data).unwrap();
    daemon.start_again();
    daemon.wait_for("STATUS=DEGRADED: ");
    daemon.log_until(|log| log.contains(want));
    assert_eq!(daemon.connect().ask(&nth_request(0)), "DUNNO");
    assert!(fs::read(data).unwrap() == bad, "it is left alone");
    fs::write(data.with_extension("good"), good).unwrap();
    fs::rename(data.with_extension("good"), data).unwrap();
    daemon.log_until(|log| log.contains("the database is available again"));
    let triplets = "2000 triplets waiting";
    daemon.wait_until_told(|status| status.contains(triplets));
    assert!(daemon.connect().ask(&nth_request(0)).contains("Greylisted"));
    assert!(daemon.stop().success());
}

#[test]
fn a_full_database_degrades_as_it_was_told_to() {
    for (option, want) in [
        ("--on-store-failure=dunno", "DUNNO"),
        ("--on-store-failure=defer", DEFERRED),
    ] {
        let mut daemon = Daemon::prepare();
        daemon.run(&["-q", "--max-size=1M", option]);
        let mut client = daemon.connect();
        let full = (0..100_000).find_map(|n| {
            let answer = client.ask(&nth_request(n));
            (!answer.contains("Greylisted")).then_some(answer)
        });
        assert!(full.expect("it fills up").starts_with(want), "{option}");
        daemon.wait_for("STATUS=DEGRADED: the database has reached --max-size");
        daemon.log_until(|log| log.matches("database unavailable").count() == 1);
        assert!(
            client.ask(&nth_request(0)).contains("Greylisted"),
            "reading goes on"
        );
    }
}

#[test]
fn a_full_database_is_well_again_when_something_has_expired() {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    daemon.run(&[
        clock.option().as_str(),
        "-q",
        "--max-size=1M",
        "--on-store-failure=defer",
    ]);
    let mut client = daemon.connect();
    let full = (0..100_000).find(|n| client.ask(&nth_request(*n)).contains("out of order"));
    daemon.wait_for("STATUS=DEGRADED: the database has reached --max-size");
    clock.advance(3 * 86_400);
    daemon.log_until(|log| log.contains("the database is available again"));
    let answer = client.ask(&nth_request(full.unwrap() + 1));
    assert!(answer.contains("Greylisted"), "{answer}");
    for n in 200_000..201_000 {
        assert!(client.ask(&nth_request(n)).contains("Greylisted"), "{n}");
    }
    assert_eq!(daemon.log().matches("database unavailable").count(), 1);
}

#[test]
fn a_foreign_file_degrades_is_left_alone_and_is_well_again_when_it_is_gone() {
    let mut daemon = Daemon::prepare();
    let data = daemon.path().join("db/data.mdb");
    fs::create_dir(daemon.path().join("db")).unwrap();
    fs::write(&data, "this is somebody's letter").unwrap();
    daemon.run::<&str>(&[]);
    daemon.wait_for("STATUS=DEGRADED: ");
    assert_eq!(daemon.connect().ask(&nth_request(0)), "DUNNO");
    assert_eq!(
        fs::read_to_string(&data).unwrap(),
        "this is somebody's letter"
    );
    fs::remove_file(&data).unwrap();
    daemon.log_until(|log| log.contains("the database is available again"));
    assert!(daemon.connect().ask(&nth_request(0)).starts_with("DEFER"));
}

#[test]
fn a_truncated_file_is_no_signal_and_well_again_when_it_is_whole() {
    let (daemon, data) = filled();
    let good = fs::read(&data).unwrap();
    let file = fs::File::options().write(true).open(&data).unwrap();
    file.set_len(good.len() as u64 / 2).unwrap();
    assert_recovers(daemon, &data, &good, "is truncated");
}

#[test]
fn a_torn_file_degrades_and_is_well_again_when_a_good_one_is_put_in_its_place() {
    let (daemon, data) = filled();
    let good = fs::read(&data).unwrap();
    // All but the two meta pages, as a power cut can leave a file that the disk had not yet.
    let file = fs::File::options().write(true).open(&data).unwrap();
    file.write_all_at(&vec![0; good.len() - 8192], 8192)
        .unwrap();
    assert_recovers(daemon, &data, &good, "is damaged");
}
