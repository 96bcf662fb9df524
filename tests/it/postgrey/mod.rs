//! The same mail for Debian's postgrey and for stargreyd: the answers must be the same.
//!
//! [`generator`] makes weeks of requests that must be answered alike, byte for byte.
//! [`departures`] is the list of everything that is answered differently on purpose; both sides are
//! asked there too, so that a departure that has gone, on either side, is noticed. [`agreements`] has
//! what needs a restart or a reload, or happens too seldom to be left to chance. [`import`] reads what
//! postgrey has written, and [`moving`] goes on from there.

use std::fmt::Write as _;
use std::process::Command;
use std::thread;

use crate::support::Daemon;

mod addresses;
mod agreements;
mod configurations;
mod departures;
mod generator;
mod import;
mod moving;
mod peer;
pub(crate) mod random;
mod script;

use configurations::{Configuration, LISTS, SAME_TEXTS};
use generator::Request;
use peer::{Answer, PATIENCE, Postgrey, Wire};
use script::Script;

/// The runs of each configuration. Even ones have a `/` in senders, odd ones in recipients.
const SEEDS: [u64; 3] = [1, 2, 3];

/// Mails of one run; each is some seven requests.
const MAILS: u64 = 300;

/// Connections that each side is asked over in turn.
const CONNECTIONS: usize = 3;

/// Scripts held at the same time.
const AT_A_TIME: usize = 4;

/// Earlier requests of the same triplet that a failure shows.
const SHOWN: usize = 10;

#[test]
fn weeks_of_mail_are_answered_as_postgrey_answers_them() {
    for configuration in configurations::ALL {
        let failures: Vec<String> = thread::scope(|scope| {
            let runs = SEEDS.map(|seed| scope.spawn(move || run(configuration, seed)));
            runs.into_iter()
                .filter_map(|run| run.join().expect("a run ends").err())
                .collect()
        });
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    }
}

#[test]
fn departures_from_postgrey_are_these_and_no_others() {
    hold(&departures::all());
}

#[test]
fn restarts_reloads_and_odd_options_make_no_difference() {
    hold(&agreements::all());
}

/// Holds all conversations, a few at a time, so that one failure does not hide another.
fn hold(scripts: &[Script]) {
    let mut failures = Vec::new();
    for some in scripts.chunks(AT_A_TIME) {
        thread::scope(|scope| {
            let held: Vec<_> = some.iter().map(|s| (s, scope.spawn(|| s.run()))).collect();
            for (script, held) in held {
                match held.join() {
                    Ok(Ok(())) => {}
                    Ok(Err(story)) => failures.push(story),
                    Err(_) => failures.push(format!("{}: a panic, see above", script.name())),
                }
            }
        });
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Asks both sides the same questions; what differs, told in full.
fn run(configuration: &Configuration, seed: u64) -> Result<(), String> {
    let mut options: Vec<String> = Vec::new();
    options.extend(SAME_TEXTS.iter().map(|&option| option.to_owned()));
    options.extend(
        configuration
            .options
            .iter()
            .map(|&option| option.to_owned()),
    );
    let postgrey = Postgrey::start(&options, LISTS)?;
    let mut stargreyd = Daemon::prepare();
    options.extend(LISTS.write(stargreyd.path()));
    options.push("--policy-test-time".to_owned());
    stargreyd.run(&options);
    let requests = generator::requests(configuration, seed, MAILS);
    let connect = |_| {
        let other = Wire::open(&stargreyd.socket(), PATIENCE).expect("stargreyd accepts");
        (postgrey.connect(PATIENCE), other)
    };
    compare(configuration, &requests, connect)
        .map_err(|difference| format!("{}, seed {seed}: {difference}", configuration.name))
}

/// Asks both sides of each pair of wires in lockstep.
fn compare(
    configuration: &Configuration,
    requests: &[Request],
    connect: impl Fn(usize) -> (Wire, Wire),
) -> Result<(), String> {
    let mut wires: Vec<_> = (0..CONNECTIONS).map(&connect).collect();
    let mut seen = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        let at = index % CONNECTIONS;
        let pair = wires.get_mut(at).expect("one of the wires");
        if configuration.connect_anew {
            *pair = connect(at);
        }
        let (postgrey, stargreyd) = pair;
        let bytes = request.bytes();
        postgrey.send(&bytes);
        stargreyd.send(&bytes);
        let want = postgrey.answer();
        let have = stargreyd.answer();
        if want != have || !matches!(want, Answer::Action(_)) {
            let past = requests
                .iter()
                .zip(&seen)
                .filter(|(r, _)| r.triplet == request.triplet);
            return Err(difference(
                configuration,
                (index, request),
                (&want, &have),
                past,
            ));
        }
        seen.push(want);
    }
    every_kind_occurs(&seen)
}

/// The full story of two answers that differ.
fn difference<'a>(
    configuration: &Configuration,
    (index, request): (usize, &Request),
    (want, have): (&Answer, &Answer),
    past: impl DoubleEndedIterator<Item = (&'a Request, &'a Answer)>,
) -> String {
    let mut story = format!(
        "request {index} is answered differently\n  options: {}\n",
        configuration.options.join(" ")
    );
    let mut past: Vec<_> = past.rev().take(SHOWN).collect();
    past.reverse();
    for (request, answer) in past {
        writeln!(story, "  before, by both: {request}\n    {answer:?}").expect("a String");
    }
    write!(
        story,
        "  now: {request}\n    postgrey:  {want:?}\n    stargreyd: {have:?}"
    )
    .expect("a String");
    story
}

/// A run in which nobody passes, or nobody waits, would prove nothing.
fn every_kind_occurs(answers: &[Answer]) -> Result<(), String> {
    let starting = |start: &str| {
        let hits = answers.iter().filter(|answer| match answer {
            Answer::Action(action) => action.starts_with(start),
            Answer::Silence | Answer::Closed => false,
        });
        hits.count()
    };
    let (passed, first) = (starting("DUNNO"), starting("PREPEND"));
    let kinds = [passed, first, answers.len().saturating_sub(passed + first)];
    if kinds.iter().all(|&kind| kind * 50 > answers.len()) {
        Ok(())
    } else {
        Err(format!("not a mixture of answers: {kinds:?}"))
    }
}

#[test]
fn every_option_of_postgrey_is_one_of_ours() {
    let script = std::fs::read_to_string("/usr/sbin/postgrey").expect("Debian's postgrey");
    let (_, list) = script
        .split_once("GetOptions(\\%opt,")
        .expect("its options");
    let (list, _) = list.split_once(") or exit").expect("their end");
    // `name|other|n=s` in single quotes.
    let names = list
        .split('\'')
        .skip(1)
        .step_by(2)
        .flat_map(|option| option.split([':', '=']).next().expect("names").split('|'));
    let mut known = 0;
    for name in names {
        let option = if name.len() == 1 {
            format!("-{name}")
        } else {
            format!("--{name}")
        };
        // Without a value, or with one that no option takes: neither may be an option that is not known.
        let output = Command::new(env!("CARGO_BIN_EXE_stargreyd"))
            .args([&option, "--help"])
            .output()
            .expect("stargreyd runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("unexpected argument"), "{option}: {said}");
        known += 1;
    }
    assert!(known > 35, "{known}");
}

#[test]
fn no_action_is_refused_by_both() {
    for program in ["/usr/sbin/postgrey", env!("CARGO_BIN_EXE_stargreyd")] {
        for option in ["-n", "--noaction", "--no-action"] {
            let output = Command::new(program)
                .args([option, "--inet=127.0.0.1:1"])
                .output()
                .expect("the program runs");
            assert!(!output.status.success(), "{program} {option}");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("no-action"), "{program} {option}: {said}");
        }
    }
}
