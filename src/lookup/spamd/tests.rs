use tokio::net::{TcpListener, UnixListener};

use super::*;
use crate::policy::Attempt;
use crate::policy::message::{Body, Message};

const ANSWER: &[u8] =
    b"SPAMD/1.1 0 EX_OK\r\nContent-length: 5\r\nSpam: True ; 15.3 / 5.0\r\n\r\nGTUBE";

/// Long enough for an answer on this machine.
const PATIENT: Duration = Duration::from_secs(20);

fn settings(address: SpamdAddress, timeout: Duration) -> Settings {
    Settings {
        address,
        timeout,
        most_size: 1000,
    }
}

async fn ask(spamd: &Spamd, message: &Message) -> Option<i64> {
    let about = MessageAttempt {
        attempt: &Attempt::default(),
        recipients: &[],
        has_open: true,
        message,
    };
    match spamd
        .ask(&about, "mx.test", Timestamp::from_seconds(0))
        .await
    {
        Finding::Score(score) => Some(score.score),
        Finding::NoAnswer => None,
        other @ (Finding::Addresses(_)
        | Finding::Text(_)
        | Finding::Absent
        | Finding::SenderMx(_)
        | Finding::BodyText(_)
        | Finding::Spf(_)) => panic!("{other:?}"),
    }
}

fn message(body: &[u8]) -> Message {
    Message::new(Vec::new(), Some(body.to_vec().into()), 0)
}

/// Reads a request up to the end of the message that it promises.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        let length = text
            .split_once("Content-length: ")
            .and_then(|(_, rest)| rest.split_once("\r\n"))
            .and_then(|(length, _)| length.parse::<usize>().ok());
        if let (Some(length), Some((_, sent))) = (length, text.split_once("\r\n\r\n"))
            && sent.len() >= length
        {
            assert_eq!(sent.len(), length, "exactly what was promised");
            return request;
        }
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
    }
}

/// A server that gives each connection the next of these answers, in parts, and then closes it.
async fn server(answers: Vec<Vec<&'static [u8]>>) -> SpamdAddress {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for parts in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            for part in parts {
                stream.write_all(part).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    SpamdAddress::Inet(address.ip().to_string(), address.port())
}

#[tokio::test]
async fn a_message_is_sent_as_a_whole_and_its_score_read() {
    let (begin, end) = ANSWER.split_at(30);
    let spamd = Spamd::new(settings(server(vec![vec![begin, end]]).await, PATIENT));
    assert_eq!(ask(&spamd, &message(b"hello\r\n")).await, Some(15_300));
    assert!(!spamd.is_away());
}

#[tokio::test]
async fn a_unix_socket_is_asked_likewise() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spamd");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(ANSWER).await.unwrap();
    });
    let spamd = Spamd::new(settings(SpamdAddress::Unix(path), PATIENT));
    assert_eq!(ask(&spamd, &message(b"hello\r\n")).await, Some(15_300));
}

#[tokio::test]
async fn garbage_and_answers_that_end_early_or_never_are_no_score() {
    let endless: Vec<&[u8]> = vec![&[b'x'; 4000]; 100];
    let tests: Vec<&[u8]> = [ANSWER.split_at(30).0, b"99999\r\n\r\n"].into();
    for answer in [
        vec![b"220 mail.example.com ESMTP\r\n".as_slice()],
        vec![b"SPAMD/1.0 76 Bad header line\r\n\r\n".as_slice()],
        vec![ANSWER.split_at(50).0],
        vec![],
        endless,
        tests,
    ] {
        let spamd = Spamd::new(settings(server(vec![answer.clone()]).await, PATIENT));
        assert_eq!(ask(&spamd, &message(b"x")).await, None, "{answer:?}");
        assert!(spamd.is_away(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_or_slow_costs_a_message_its_time_and_later_ones_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let address = SpamdAddress::Inet(address.ip().to_string(), address.port());
    let spamd = Spamd::new(settings(address, Duration::from_millis(50)));
    for _ in 0..MOST_FAILURES {
        assert_eq!(ask(&spamd, &message(b"x")).await, None);
    }
    let begin = Instant::now();
    for _ in 0..1000 {
        assert_eq!(ask(&spamd, &message(b"x")).await, None);
    }
    assert!(begin.elapsed() < Duration::from_secs(20), "nobody waits");
}

#[tokio::test]
async fn one_that_was_away_is_asked_again() {
    let good = || vec![ANSWER];
    let bad = || vec![b"x".as_slice()];
    let address = server(vec![bad(), good(), bad(), bad(), good()]).await;
    let spamd = Spamd::new(settings(address, PATIENT));
    for (n, want) in [None, Some(15_300), None, None, Some(15_300)]
        .iter()
        .enumerate()
    {
        assert_eq!(ask(&spamd, &message(b"x")).await, *want, "{n}");
        assert_eq!(spamd.is_away(), want.is_none(), "{n}");
    }
}

#[tokio::test]
async fn a_large_message_and_one_that_was_not_kept_are_not_asked_about() {
    // Nothing listens there.
    let address = SpamdAddress::Unix("/nonexistent".into());
    let spamd = Spamd::new(settings(address, PATIENT));
    for (message, is_asked) in [
        (message(&[b'x'; 1001]), false),
        (Message::new(Vec::new(), Some(Body::default()), 1001), false),
        (Message::new(Vec::new(), None, 10), false),
        (message(&[b'x'; 1000]), true),
    ] {
        assert_eq!(ask(&spamd, &message).await, None);
        assert_eq!(spamd.is_away(), is_asked, "{:?}", message.size());
    }
}

#[test]
fn one_that_fails_several_times_is_left_out_for_a_while() {
    let (mut health, now) = (Health::default(), Instant::now());
    let at = |seconds| now + Duration::from_secs(seconds);
    let told: Vec<bool> = (0..MOST_FAILURES)
        .map(|_| {
            assert!(health.admits(now));
            health.fail(now)
        })
        .collect();
    assert_eq!(told, [true, false, false], "told once");
    assert!(!health.admits(at(59)));
    assert!(health.admits(at(60)), "it is tried again");
    assert!(!health.admits(at(60)), "by one alone");
    health.fail(at(61));
    assert!(!health.admits(at(120)));
    assert!(health.admits(at(121)));
    assert!(health.answer(), "it answers again");
    assert!(health.admits(at(121)));
    assert!(!health.answer());
}
