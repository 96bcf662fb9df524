//! A log, a manager or clients that do not listen; descriptors that run out; a clock that was set back.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};

use super::START;
use crate::support::{Client, Daemon, TestClock, nth_request, rcpt};

/// Whether a stranger is greylisted.
fn is_well(daemon: &Daemon) -> bool {
    daemon
        .connect()
        .ask(&nth_request(999))
        .contains("Greylisted")
}

#[test]
fn a_log_that_is_not_taken_stops_nothing_and_what_is_dropped_is_counted() {
    let mut daemon = Daemon::prepare();
    fs::write(daemon.path().join("whitelist_clients"), "192.0.2.7\n").unwrap();
    let mut command = daemon.command();
    command.stderr(Stdio::piped());
    daemon.start_command(command);
    let mut client = daemon.connect();
    // A pipe holds 64 KiB and the queue 8192 records.
    for n in 0..12_000 {
        assert_eq!(client.ask(&nth_request(n)), "DUNNO", "{n}");
    }
    let mut log = daemon.take_stderr();
    daemon.signal("TERM");
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    assert!(daemon.stopped().success());
    let told = text
        .lines()
        .filter(|line| line.contains("action=pass"))
        .count();
    let dropped: usize = text
        .lines()
        .filter_map(|line| line.split_once(" log records were dropped"))
        .filter_map(|(begin, _)| begin.rsplit(' ').next()?.parse::<usize>().ok())
        .sum();
    assert!(told >= 8192 && dropped > 0, "{told} {dropped}");
    assert!(told + dropped >= 12_000, "{told} {dropped}");
}

#[test]
fn clients_that_do_not_read_hold_up_nobody_and_find_their_answers_later() {
    let daemon = Daemon::start(&["-q"]);
    let ask = b"request=smtpd_access_policy\nclient_address=unknown\nclient_name=x\nsender=a@b\nrecipient=c@d\n\n";
    let slow: Vec<(UnixStream, usize)> = (0..50)
        .map(|_| {
            let mut stream = UnixStream::connect(daemon.socket()).unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut sent = 0;
            // Until the daemon takes no more of it, for it cannot get rid of its answers.
            for _ in 0..20_000 {
                match stream.write(&ask[sent % ask.len()..]) {
                    Ok(written) => sent += written,
                    Err(_) => std::thread::yield_now(),
                }
            }
            (stream, sent)
        })
        .collect();
    assert!(is_well(&daemon));
    for (mut stream, sent) in slow {
        stream.set_nonblocking(false).unwrap();
        let mut reading = stream.try_clone().unwrap();
        let taking = std::thread::spawn(move || {
            let mut answers = Vec::new();
            reading.read_to_end(&mut answers).map(|_| answers)
        });
        let rest = (ask.len() - sent % ask.len()) % ask.len();
        stream.write_all(&ask[ask.len() - rest..]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answers = taking.join().unwrap().unwrap();
        let wanted = sent.div_ceil(ask.len());
        assert!(answers == b"action=DUNNO\n\n".repeat(wanted), "{wanted}");
    }
}

#[test]
fn a_clock_that_was_set_back_between_two_starts_is_said_and_nothing_expires() {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    daemon.run(&[clock.option().as_str(), "-q"]);
    assert!(daemon.connect().ask(&nth_request(0)).contains("Greylisted"));
    clock.advance(300);
    assert!(daemon.connect().ask(&nth_request(0)).starts_with("PREPEND"));
    // The time is noted with what was written.
    daemon.wait_until_told(|status| status.contains("1 passed"));
    assert!(daemon.stop().success());
    clock.set(START - 2 * 3600);
    daemon.start_again();
    daemon.wait_for("STATUS=the clock has jumped, expiry suspended");
    assert_eq!(daemon.connect().ask(&nth_request(0)), "DUNNO");
    assert!(daemon.connect().ask(&nth_request(1)).contains("Greylisted"));
}

#[test]
fn out_of_descriptors_the_longest_idle_connection_goes() {
    let mut daemon = Daemon::prepare();
    daemon.run_limited(256, &["-q"]);
    let mut clients: Vec<Client> = (0..400).map(|_| daemon.connect()).collect();
    // Everybody who is still there is answered; the first ones had to go for the last ones.
    assert!(clients[399].ask(&nth_request(1)).starts_with("DEFER"));
    assert!(clients[0].is_closed_without_answer());
    assert!(is_well(&daemon));
    daemon.log_until(|log| log.contains("too many connections"));
}

#[test]
fn an_accept_that_fails_is_logged_waited_out_and_survived() {
    let daemon = Daemon::start(&["-q"]);
    // Less than the daemon found when it started, so that the system has to refuse.
    let limited = Command::new("prlimit")
        .args(["--nofile=40:40", &format!("--pid={}", daemon.pid())])
        .status();
    assert!(limited.is_ok_and(|status| status.success()), "prlimit");
    let mut clients: Vec<Client> = (0..60).map(|_| daemon.connect()).collect();
    let answer = clients[59].ask(&nth_request(1));
    assert!(answer.starts_with("DEFER"), "{answer}");
    daemon.log_until(|log| log.contains("cannot accept a connection"));
    drop(clients);
    assert!(is_well(&daemon));
}

#[test]
fn a_service_manager_that_does_not_listen_stops_nothing() {
    let mut daemon = Daemon::start::<&str>(&[]);
    let flood = UnixDatagram::unbound().unwrap();
    flood.connect(daemon.path().join("notify")).unwrap();
    flood.set_nonblocking(true).unwrap();
    while flood.send(b"X=1").is_ok() {}
    for n in 0..100 {
        let sender = format!("s{n}x@example.org");
        let answer = daemon.ask(&rcpt("x", "192.0.2.7", &sender, "c@d"));
        assert!(answer.starts_with("DEFER_IF_PERMIT"), "{n}");
    }
    assert!(daemon.stop().success());
}
