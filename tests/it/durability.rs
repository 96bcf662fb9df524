//! What was promised is kept: through a kill and a restart.

use std::fs;

use crate::support::{Daemon, TestClock, nth_request};

const START: u64 = 1_800_000_000;

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
                        if client.request(&nth_request(n)).is_err() {
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
        let answer = client.ask(&nth_request(n));
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
        assert!(daemon.connect().ask(&nth_request(n)).starts_with("DEFER"));
        clock.advance(3600);
        daemon.kill();
        daemon.start_again();
        assert!(daemon.connect().ask(&nth_request(n)).starts_with("PREPEND"));
        daemon.kill();
        daemon.start_again();
    }
    assert_eq!(daemon.connect().ask(&nth_request(7)), "DUNNO");
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
    daemon.connect().ask(&nth_request(0));
    clock.advance(300);
    daemon.connect().ask(&nth_request(0));
    clock.advance(9 * 86_400);
    assert_eq!(daemon.connect().ask(&nth_request(0)), "DUNNO");
    assert!(daemon.stop().success());
    daemon.start_again();
    clock.advance(9 * 86_400);
    assert_eq!(daemon.connect().ask(&nth_request(0)), "DUNNO");
    clock.advance(10 * 86_400 + 1);
    assert!(daemon.connect().ask(&nth_request(0)).starts_with("DEFER"));
}

#[test]
fn what_was_only_seen_never_makes_a_database_full() {
    let full = |daemon: &Daemon, most: usize| {
        let mut client = daemon.connect();
        (0..most).find(|n| !client.ask(&nth_request(*n)).contains("Greylisted"))
    };
    let options = ["-q", "--max-size=2M", "--on-store-failure=defer"];
    let room = full(&Daemon::start(&options), 100_000).expect("it fills up");
    let mut daemon = Daemon::start(&options);
    let nearly = room * 9 / 10;
    assert_eq!(full(&daemon, nearly), None);
    assert_eq!(full(&daemon, nearly), None, "early retries");
    assert!(daemon.stop().success());
    assert!(
        !daemon.log().contains("database unavailable"),
        "{}",
        daemon.log()
    );
}

#[test]
fn privacy_leaves_no_address_on_disk_and_is_not_switched_on_a_filled_database() {
    let mut daemon = Daemon::prepare();
    daemon.run(&["--privacy"]);
    assert!(daemon.connect().ask(&nth_request(0)).starts_with("DEFER"));
    daemon.stop();
    let bytes = fs::read(daemon.path().join("db/data.mdb")).unwrap();
    assert!(!bytes.windows(11).any(|window| window == b"example.org"));
    daemon.start_again();
    daemon.stop();
    daemon.set_options::<&str>(&[]);
    assert_eq!(daemon.command().status().unwrap().code(), Some(78));
    assert!(daemon.log().contains("was filled with --privacy"));
}
