//! Data files whose pages were overwritten: LMDB trusts them, and that can end the daemon; but not for ever.
//!
//! `STARGREY_DAMAGE_FILES` says how many files, `STARGREY_DAMAGE_SEED` how they are damaged; `make damage-test` sets both.

use std::fs;
use std::path::Path;

use super::START;
use crate::postgrey::random::Random;
use crate::support::{Client, Daemon, TestClock, nth_request, number_from_environment, remark};

/// Bytes of a page.
const PAGE: usize = 4096;

/// Most deaths in a row until the daemon stays up: two that may be chance, and one that the check does not predict.
const MOST_DEATHS: u32 = 3;

/// A good data file: triplets that wait, triplets that have passed, clients.
fn good_file() -> Vec<u8> {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    daemon.run(&[
        clock.option().as_str(),
        "-q",
        "--auto-whitelist-clients=1000",
    ]);
    let mut client = daemon.connect();
    for n in 0..2000 {
        client.ask(&nth_request(n));
    }
    clock.advance(300);
    for n in 0..700 {
        client.ask(&nth_request(n));
    }
    assert!(daemon.stop().success());
    fs::read(daemon.path().join("db/data.mdb")).unwrap()
}

/// Overwrites pages: whole, their headers, a few bytes, or with another page.
fn damage(file: &mut [u8], random: &mut Random) {
    let pages = file.len() / PAGE;
    let share = *random.pick(&[1, 5, 20, 50, 90]);
    let first = if random.percent(10) { 0 } else { 2 };
    for page in first..pages {
        if !random.percent(share) {
            continue;
        }
        let at = page * PAGE;
        let (begin, length) = match random.below(4) {
            0 => (at, PAGE),
            1 => (at, 64),
            2 => (at + usize::try_from(random.below(4000)).unwrap(), 16),
            _ => {
                let other = usize::try_from(random.below(pages as u64)).unwrap() * PAGE;
                file.copy_within(other..other + PAGE, at);
                continue;
            }
        };
        for byte in &mut file[begin..begin + length] {
            *byte = u8::try_from(random.below(256)).unwrap();
        }
    }
}

/// Asks, if the daemon lives; says whether an answer came.
fn asks(client: &mut Client, n: usize) -> bool {
    client.request(&nth_request(n)).is_ok() && matches!(client.answer(), Ok(Some(_)))
}

/// Starts the daemon, lets it work, and ends it; says whether it lived so long.
fn lives(daemon: &mut Daemon, clock: &TestClock) -> bool {
    daemon.start_unawaited();
    let mut client = loop {
        if let Ok(client) = Client::unix(&daemon.socket()) {
            break client;
        }
        if daemon.ended().is_some() {
            return false;
        }
        std::thread::yield_now();
    };
    for _ in 0..2 {
        for n in (0..2000).step_by(40).chain(3000..3050) {
            if !asks(&mut client, n) {
                return daemon.stopped().success();
            }
        }
        clock.advance(300);
    }
    daemon.ended().is_none() && daemon.stop().success()
}

/// Starts the daemon on a file until it lives, as a service manager would; yields how often it died.
fn deaths(db: &Path, file: &[u8], daemon: &mut Daemon, clock: &TestClock) -> u32 {
    drop(fs::remove_dir_all(db));
    fs::create_dir(db).unwrap();
    fs::write(db.join("data.mdb"), file).unwrap();
    let tries = 0..=MOST_DEATHS;
    let mut tries = tries.take_while(|_| !lives(daemon, clock));
    tries.by_ref().count().try_into().unwrap()
}

#[test]
fn no_damaged_file_ends_the_daemon_again_and_again() {
    let files = number_from_environment("STARGREY_DAMAGE_FILES", 40);
    let mut random = Random::seeded(number_from_environment("STARGREY_DAMAGE_SEED", 1));
    let good = good_file();
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START + 400);
    daemon.set_options(&[clock.option().as_str(), "-q"]);
    let db = daemon.path().join("db");
    let mut seen = [0_u32; MOST_DEATHS as usize + 1];
    for number in 0..files {
        let mut file = good.clone();
        damage(&mut file, &mut random);
        let deaths = deaths(&db, &file, &mut daemon, &clock);
        assert!(
            deaths <= MOST_DEATHS,
            "file {number} ends it for ever; the log:\n{}",
            daemon.log()
        );
        seen[deaths as usize] += 1;
    }
    let closed = daemon
        .log()
        .matches("the process that read it has failed")
        .count();
    remark(&format!(
        "{files} damaged files: files by deaths in a row {seen:?}, {closed} times closed after a check"
    ));
    assert!(seen[2] > 0 && closed > 0, "nothing was checked: {seen:?}");
}

#[test]
fn kills_alone_close_no_database() {
    let mut daemon = Daemon::prepare();
    daemon.run(&["-q"]);
    for n in 0..6 {
        assert!(daemon.connect().ask(&nth_request(n)).contains("Greylisted"));
        daemon.kill();
        daemon.start_again();
    }
    assert!(daemon.stop().success());
    assert!(!daemon.path().join("db/stargrey.unclean").exists());
    assert!(
        !daemon.log().contains("database unavailable"),
        "{}",
        daemon.log()
    );
}

#[test]
fn a_daemon_that_dies_again_and_again_serves_without_its_database() {
    let mut daemon = Daemon::prepare();
    let path = daemon.path().join("db/stargrey.unclean");
    daemon.run(&["-q"]);
    for n in 0..8 {
        assert!(daemon.connect().ask(&nth_request(n)).contains("Greylisted"));
        daemon.kill();
        daemon.start_again();
    }
    let status = daemon.wait_for("STATUS=DEGRADED: ");
    assert!(status.contains("8 times in a row"), "{status}");
    assert_eq!(daemon.connect().ask(&nth_request(0)), "DUNNO");
    // A clean end of a daemon that did not use it means nothing.
    assert!(daemon.stop().success());
    daemon.start_again();
    daemon.wait_for("STATUS=DEGRADED: ");
    fs::remove_file(path).unwrap();
    daemon.log_until(|log| log.contains("the database is available again"));
    let answer = daemon.connect().ask(&nth_request(5000));
    assert!(answer.contains("Greylisted"), "{answer}");
    assert!(daemon.stop().success());
}

#[test]
fn a_file_that_ended_the_daemon_stays_closed_until_a_good_one_is_in_its_place() {
    let good = good_file();
    let mut bad = good.clone();
    // All records' pages, with headers that promise more than a page has.
    for page in bad.chunks_mut(PAGE).skip(2) {
        page[24..].fill(0xfb);
    }
    let mut daemon = Daemon::prepare();
    let db = daemon.path().join("db");
    fs::create_dir(&db).unwrap();
    fs::write(db.join("data.mdb"), bad).unwrap();
    fs::write(db.join("stargrey.unclean"), "2").unwrap();
    daemon.run(&["-q"]);
    let status = daemon.wait_for("STATUS=DEGRADED: ");
    assert!(status.contains("is damaged"), "{status}");
    assert_eq!(daemon.connect().ask(&nth_request(0)), "DUNNO");
    fs::write(db.join("good"), &good).unwrap();
    fs::rename(db.join("good"), db.join("data.mdb")).unwrap();
    daemon.log_until(|log| log.contains("the database is available again"));
    assert!(
        daemon
            .connect()
            .ask(&nth_request(5000))
            .contains("Greylisted")
    );
    assert!(daemon.stop().success());
}
