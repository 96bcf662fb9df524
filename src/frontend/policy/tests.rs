//! A connection over a pipe, in a time that moves by itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::io::DuplexStream;

use super::*;
use crate::frontend::registry::{IDLE_SECONDS, PARTIAL_REQUEST_SECONDS, Registry};
use crate::policy::pattern::ClientPattern;
use crate::policy::{ClientList, Entry, Lists, Params, Ruleset, Texts};
use crate::service::clock::SystemClock;
use crate::store::memory::MemoryStore;

const LISTED: &[u8] = b"request=smtpd_access_policy\nclient_address=192.0.2.7\n\
    client_name=good.example\nsender=a@b\nrecipient=c@d\n\n";

const DUNNO: &[u8] = b"action=DUNNO\n\n";

/// A gate whose lists settle what these tests ask.
fn gate() -> Gate {
    let entry = Entry::in_file(&Path::new("list").into(), 1, "good.example");
    let pattern = ClientPattern::parse("good.example").unwrap();
    let lists = Lists {
        clients: ClientList::new(vec![(pattern, entry)]).unwrap(),
        ..Lists::default()
    };
    let texts = Texts::new("450", "wait", "X: y", "mx", TimeZone::UTC).unwrap();
    let rules = Ruleset::new(Params::default(), lists, texts);
    Gate::start(rules, Box::new(MemoryStore::new()), Arc::new(SystemClock))
        .unwrap()
        .gate
}

const OPTIONS: ConnectionOptions = ConnectionOptions {
    one_answer: false,
    requests_bring_time: false,
    log_decisions: false,
};

/// A connection that is being served, and what tells it that the daemon ends.
fn connect(
    room: usize,
) -> (
    DuplexStream,
    tokio::task::JoinHandle<ConnectionEnd>,
    watch::Sender<bool>,
) {
    let (client, stream) = tokio::io::duplex(room);
    let (shutdown, is_ending) = watch::channel(false);
    let registry = Registry::new(10);
    let served = tokio::spawn(async move {
        let watched = Arc::clone(&registry);
        let watching = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                watched.close_expired();
            }
        });
        let registration = registry.admit();
        let end = serve_connection(stream, &registration, &gate(), OPTIONS, is_ending).await;
        watching.abort();
        end
    });
    (client, served, shutdown)
}

async fn ask(client: &mut DuplexStream) {
    client.write_all(LISTED).await.unwrap();
    let mut answer = vec![0; DUNNO.len()];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, DUNNO);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_drips_in_has_as_long_as_any_other() {
    let (mut client, served, _shutdown) = connect(4096);
    ask(&mut client).await;
    let begin = tokio::time::Instant::now();
    for byte in LISTED {
        if client.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    assert!(matches!(
        served.await.unwrap(),
        ConnectionEnd::ByRegistry(CloseReason::PartialRequest)
    ));
    let seconds = begin.elapsed().as_secs();
    assert!(
        (PARTIAL_REQUEST_SECONDS..PARTIAL_REQUEST_SECONDS + 30).contains(&seconds),
        "{seconds}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_outlives_what_postfix_gives_it() {
    let (mut client, served, _shutdown) = connect(4096);
    for seconds in [299, 1000, IDLE_SECONDS - 10] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        ask(&mut client).await;
    }
    assert!(matches!(
        served.await.unwrap(),
        ConnectionEnd::ByRegistry(CloseReason::Idle)
    ));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_let_go_and_sooner_when_the_daemon_ends() {
    for (ends, want_seconds) in [
        (false, WRITE_TIMEOUT.as_secs()),
        (true, SHUTDOWN_GRACE.as_secs() + 1),
    ] {
        let (mut client, served, shutdown) = connect(64);
        let begin = tokio::time::Instant::now();
        let writing = tokio::spawn(async move { while client.write_all(LISTED).await.is_ok() {} });
        // By then there is no room for another answer.
        tokio::time::sleep(Duration::from_secs(1)).await;
        shutdown.send(ends).unwrap();
        assert!(matches!(served.await.unwrap(), ConnectionEnd::SlowReader));
        assert_eq!(begin.elapsed().as_secs(), want_seconds);
        writing.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_were_sent_in_part_are_not_sent_again() {
    for ends in [false, true] {
        let (_client, mut stream) = tokio::io::duplex(64);
        let (_shutdown, is_ending) = watch::channel(ends);
        let mut answers = DUNNO.repeat(10);
        let sent = send(&mut stream, &mut answers, &is_ending).await;
        assert!(matches!(sent, Err(ConnectionEnd::SlowReader)), "{ends}");
        assert!(answers.is_empty(), "{ends}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_when_the_daemon_ends_is_answered() {
    let (mut client, served, shutdown) = connect(4096);
    ask(&mut client).await;
    client.write_all(LISTED).await.unwrap();
    shutdown.send(true).unwrap();
    let mut answer = vec![0; DUNNO.len()];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, DUNNO);
    assert!(matches!(served.await.unwrap(), ConnectionEnd::Closed));
}
