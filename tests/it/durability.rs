//! What was promised is kept: through a kill, a restart, and a store that fails.

use std::fs;
use std::os::unix::fs::FileExt;

use crate::support::{Daemon, TestClock, rcpt};

const START: u64 = 1_800_000_000;

fn request(n: usize) -> Vec<(&'static str, String)> {
    let sender = format!("s{n}x@example.org");
    rcpt("mx.example", "192.0.2.7", &sender, "joe@example.net")
        .into_iter()
        .map(|(name, value)| (name, value.to_owned()))
        .collect()
}

#[test]
fn a_kill_under_load_loses_nothing_that_was_answered() {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    daemon.run(&[clock.option().as_str(), "-q", "--auto-whitelist-clients=0"]);
    let answered: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let daemon = &daemon;
                scope.spawn(move || {
                    let mut client = daemon.connect();
                    let mut answered = Vec::new();
                    for n in (thread * 100_000).. {
                        if client.request(&request(n)).is_err() {
                            break;
                        }
                        match client.answer() {
                            Ok(Some(answer)) => {
                                assert!(answer.starts_with("DEFER"), "{answer}");
                                answered.push(n);
                            }
                            Ok(None) | Err(_) => break,
                        }
                        if thread == 0 && answered.len() == 200 {
                            daemon.signal("KILL");
                        }
                    }
                    answered
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(answered.len() >= 200);
    daemon.kill();
    daemon.start_again();
    clock.advance(300);
    let mut client = daemon.connect();
    for n in answered {
        let answer = client.ask(&request(n));
        assert!(
            answer.starts_with("PREPEND X-Greylist: delayed 300"),
            "{n}: {answer}"
        );
    }
}

#[test]
fn passes_and_the_auto_whitelist_survive_a_kill() {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    daemon.run(&[clock.option().as_str(), "--auto-whitelist-clients=2"]);
    for n in 0..2 {
        assert!(daemon.connect().ask(&request(n)).starts_with("DEFER"));
        clock.advance(3600);
        daemon.kill();
        daemon.start_again();
        assert!(daemon.connect().ask(&request(n)).starts_with("PREPEND"));
        daemon.kill();
        daemon.start_again();
    }
    assert_eq!(daemon.connect().ask(&request(7)), "DUNNO");
    daemon.log_until(|log| log.contains("reason=client AWL"));
}

#[test]
fn what_was_only_seen_survives_an_orderly_end() {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    let options = [
        clock.option(),
        "--max-age=10".to_owned(),
        "--auto-whitelist-clients=0".to_owned(),
    ];
    daemon.run(&options);
    daemon.connect().ask(&request(0));
    clock.advance(300);
    daemon.connect().ask(&request(0));
    clock.advance(9 * 86_400);
    assert_eq!(daemon.connect().ask(&request(0)), "DUNNO");
    assert!(daemon.stop().success());
    daemon.start_again();
    clock.advance(9 * 86_400);
    assert_eq!(daemon.connect().ask(&request(0)), "DUNNO");
    clock.advance(10 * 86_400 + 1);
    assert!(daemon.connect().ask(&request(0)).starts_with("DEFER"));
}

#[test]
fn a_full_database_degrades_as_it_was_told_to() {
    for (option, want) in [
        ("--on-store-failure=dunno", "DUNNO"),
        (
            "--on-store-failure=defer",
            "DEFER_IF_PERMIT 4.3.0 Greylisting is out of order",
        ),
    ] {
        let mut daemon = Daemon::prepare();
        daemon.run(&["-q", "--max-size=1M", option]);
        let mut client = daemon.connect();
        let full = (0..100_000).find_map(|n| {
            let answer = client.ask(&request(n));
            (!answer.contains("Greylisted")).then_some(answer)
        });
        assert!(full.expect("it fills up").starts_with(want), "{option}");
        daemon.wait_for("STATUS=DEGRADED: the database has reached --max-size");
        daemon.log_until(|log| log.matches("cannot be used").count() == 1);
        assert!(
            client.ask(&request(0)).contains("Greylisted"),
            "reading goes on"
        );
    }
}

#[test]
fn what_was_only_seen_never_makes_a_database_full() {
    let full = |daemon: &Daemon, most: usize| {
        let mut client = daemon.connect();
        (0..most).find(|n| !client.ask(&request(*n)).contains("Greylisted"))
    };
    let options = ["-q", "--max-size=2M", "--on-store-failure=defer"];
    let room = full(&Daemon::start(&options), 100_000).expect("it fills up");
    let mut daemon = Daemon::start(&options);
    let nearly = room * 9 / 10;
    assert_eq!(full(&daemon, nearly), None);
    assert_eq!(full(&daemon, nearly), None, "early retries");
    assert!(daemon.stop().success());
    assert!(!daemon.log().contains("cannot be used"), "{}", daemon.log());
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
    let full = (0..100_000).find(|n| client.ask(&request(*n)).contains("out of order"));
    daemon.wait_for("STATUS=DEGRADED: the database has reached --max-size");
    clock.advance(3 * 86_400);
    daemon.log_until(|log| log.contains("the database can be used again"));
    let answer = client.ask(&request(full.unwrap() + 1));
    assert!(answer.contains("Greylisted"), "{answer}");
    for n in 200_000..201_000 {
        assert!(client.ask(&request(n)).contains("Greylisted"), "{n}");
    }
    assert_eq!(daemon.log().matches("cannot be used").count(), 1);
}

#[test]
fn a_torn_or_foreign_file_degrades_and_is_left_alone() {
    let mut daemon = Daemon::prepare();
    let data = daemon.path().join("db/data.mdb");
    fs::create_dir(daemon.path().join("db")).unwrap();
    fs::write(&data, "this is somebody's letter").unwrap();
    daemon.run::<&str>(&[]);
    daemon.wait_for("STATUS=DEGRADED: ");
    assert_eq!(daemon.connect().ask(&request(0)), "DUNNO");
    assert_eq!(
        fs::read_to_string(&data).unwrap(),
        "this is somebody's letter"
    );
    fs::remove_file(&data).unwrap();
    daemon.log_until(|log| log.contains("the database can be used again"));
    assert!(daemon.connect().ask(&request(0)).starts_with("DEFER"));
}

#[test]
fn a_truncated_file_is_no_signal() {
    let mut daemon = Daemon::prepare();
    daemon.run(&["-q"]);
    let mut client = daemon.connect();
    for n in 0..2000 {
        client.ask(&request(n));
    }
    daemon.stop();
    let data = fs::File::options()
        .read(true)
        .write(true)
        .open(daemon.path().join("db/data.mdb"))
        .unwrap();
    let length = data.metadata().unwrap().len();
    data.set_len(length / 2).unwrap();
    let mut before = vec![0; usize::try_from(length / 2).unwrap()];
    data.read_exact_at(&mut before, 0).unwrap();
    daemon.start_again();
    daemon.wait_for("STATUS=DEGRADED: ");
    daemon.log_until(|log| log.contains("is torn"));
    assert_eq!(daemon.connect().ask(&request(0)), "DUNNO");
    assert_eq!(data.metadata().unwrap().len(), length / 2);
}

#[test]
fn privacy_leaves_no_address_on_disk_and_is_not_switched_on_a_filled_database() {
    let mut daemon = Daemon::prepare();
    daemon.run(&["--privacy"]);
    assert!(daemon.connect().ask(&request(0)).starts_with("DEFER"));
    daemon.stop();
    let bytes = fs::read(daemon.path().join("db/data.mdb")).unwrap();
    assert!(!bytes.windows(11).any(|window| window == b"example.org"));
    daemon.start_again();
    daemon.stop();
    daemon.set_options::<&str>(&[]);
    assert_eq!(daemon.command().status().unwrap().code(), Some(78));
    assert!(daemon.log().contains("was filled with --privacy"));
}
