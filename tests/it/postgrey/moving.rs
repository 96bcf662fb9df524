//! Moving in: what Debian's postgrey has learned is taken over by stargreyctl, and the next mail is answered as
//! postgrey would have answered it.

use std::process::Command;

use super::compare;
use super::configurations::{ALL, LISTS, SAME_TEXTS};
use super::generator::{self, Request};
use super::peer::{Answer, PATIENCE, Postgrey, Wire};
use crate::bus::OnBus;
use crate::support::{Daemon, TestClock};

/// Mails of a run; each is some seven requests.
const MAILS: u64 = 800;

/// Requests that are compared after the move.
const COMPARED: usize = 1000;

/// Mail without a `/` in an address: keys with one more than they need cannot be split, and are left out.
fn requests(seed: u64) -> Vec<Request> {
    let all = generator::requests(&ALL[0], seed, MAILS);
    all.into_iter()
        .filter(|request| !request.bytes().contains(&b'/'))
        .collect()
}

#[test]
fn after_the_move_mail_is_answered_as_postgrey_would_have_answered_it() {
    for seed in [11, 12] {
        let requests = requests(seed);
        let (learned, compared) = requests.split_at(requests.len() - COMPARED);
        assert!(learned.len() > COMPARED, "{}", learned.len());

        let options: Vec<String> = SAME_TEXTS.iter().map(ToString::to_string).collect();
        let mut postgrey = Postgrey::start(&options, LISTS).unwrap();
        let mut wire = postgrey.connect(PATIENCE);
        for request in learned {
            let answer = wire.ask(&request.bytes());
            assert!(matches!(answer, Answer::Action(_)), "{answer:?}");
        }
        drop(wire);

        let daemon = Daemon::prepare();
        let clock = TestClock::at(daemon.path(), compared[0].at);
        let mut all = options.clone();
        all.extend(LISTS.write(daemon.path()));
        all.extend([clock.option(), "--policy-test-time".to_owned()]);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let on = OnBus::start_prepared(daemon, &all);
        let directory = postgrey.directory().to_owned();
        let import = || {
            let output = Command::new(env!("CARGO_BIN_EXE_stargreyctl"))
                .args(["import", "postgrey"])
                .arg(&directory)
                .env("DBUS_SYSTEM_BUS_ADDRESS", on.bus.address())
                .output()
                .unwrap();
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8(text).unwrap())
        };
        let (is_done, said) = import();
        assert!(!is_done, "a postgrey that runs is refused: {said}");
        postgrey.stop();
        let (is_done, said) = import();
        assert!(is_done, "{said}");

        postgrey.restart(&options, LISTS);
        let connect = |_| {
            let other = Wire::open(&on.daemon.socket(), PATIENCE).expect("stargreyd accepts");
            (postgrey.connect(PATIENCE), other)
        };
        compare(&ALL[0], compared, connect)
            .unwrap_or_else(|difference| panic!("seed {seed}: {difference}\n{said}"));
    }
}
