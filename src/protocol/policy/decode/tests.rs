use proptest::prelude::*;

use super::*;

/// Client name, sender and recipient of a request.
type Decoded = Vec<Option<Vec<u8>>>;

/// All requests in `pieces` fed one after the other, and how it ended.
fn decode(pieces: &[&[u8]]) -> (Vec<Decoded>, Option<DecodeError>) {
    let mut decoder = Decoder::new();
    let mut requests = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next() {
                Ok(Some(request)) => requests.push(
                    [request.client_name, request.sender, request.recipient]
                        .map(|value| value.map(<[u8]>::to_vec))
                        .to_vec(),
                ),
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}

fn error(bytes: &[u8]) -> Option<DecodeError> {
    decode(&[bytes]).1
}

const HEAD: &str = "request=smtpd_access_policy\n";

#[test]
fn a_request_is_read_whatever_the_line_ends_and_the_split() {
    let text = format!("{HEAD}client_name=mx.example\r\nsender=a@b\nrecipient=\n\n");
    let want = vec![vec![
        Some(b"mx.example".to_vec()),
        Some(b"a@b".to_vec()),
        Some(Vec::new()),
    ]];
    let bytes = text.as_bytes();
    for at in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(decode(&[head, tail]), (want.clone(), None), "split at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode(&single), (want, None));
}

#[test]
fn every_attribute_is_read() {
    let names = [
        "protocol_state",
        "client_address",
        "client_port",
        "client_name",
        "helo_name",
        "sender",
        "recipient",
        "instance",
        "queue_id",
        "etrn_domain",
        "stress",
        "sasl_username",
        "ccert_subject",
        "policy_test_time",
    ];
    let lines: String = names.map(|name| format!("{name}={name}\n")).concat();
    let mut decoder = Decoder::new();
    decoder.feed(format!("{HEAD}{lines}\n").as_bytes());
    // All fields, so that a new one has to be here.
    let Request {
        protocol_state,
        client_address,
        client_port,
        client_name,
        helo_name,
        sender,
        recipient,
        instance,
        queue_id,
        etrn_domain,
        stress,
        sasl_username,
        ccert_subject,
        policy_test_time,
    } = decoder.next().unwrap().unwrap();
    let read = [
        protocol_state,
        client_address,
        client_port,
        client_name,
        helo_name,
        sender,
        recipient,
        instance,
        queue_id,
        etrn_domain,
        stress,
        sasl_username,
        ccert_subject,
        policy_test_time,
    ];
    assert_eq!(read, names.map(|name| Some(name.as_bytes())));
}

#[test]
fn pipelined_requests_come_out_in_order() {
    let bytes = (0..1000)
        .map(|n| format!("{HEAD}sender=s{n}@example.org\n\n"))
        .collect::<Vec<_>>()
        .concat();
    let (requests, end) = decode(&[bytes.as_bytes()]);
    assert_eq!(end, None);
    assert_eq!(requests.len(), 1000);
    assert_eq!(requests[999][1].as_deref(), Some(&b"s999@example.org"[..]));
}

#[test]
fn unknown_attributes_are_ignored_and_the_last_of_a_duplicate_wins() {
    let text = format!("{HEAD}future=1\nsender=first\nsender=last=x\n\n");
    let (requests, _) = decode(&[text.as_bytes()]);
    assert_eq!(requests[0][1].as_deref(), Some(&b"last=x"[..]));
}

#[test]
fn what_is_no_request_is_refused() {
    let cases: [(&[u8], DecodeError); 8] = [
        (b"\n", DecodeError::NoRequestType),
        (b"sender=a\n\n", DecodeError::NoRequestType),
        (b"request=\n\n", DecodeError::NoRequestType),
        (
            b"request=junk\n\n",
            DecodeError::WrongRequestType("junk".to_owned()),
        ),
        (b"EHLO example.org\r\n", DecodeError::NoEquals),
        (b"=value\n", DecodeError::NoName),
        (b"sender=a\0b\n", DecodeError::Nul),
        (b"sender=a\0", DecodeError::Nul),
    ];
    for (bytes, want) in cases {
        assert_eq!(error(bytes), Some(want), "{}", bytes.escape_ascii());
    }
}

#[test]
fn each_limit_holds_at_the_limit_and_refuses_one_past_it() {
    let line = |length: usize, end: &str| {
        let value = "x".repeat(length - "a=".len());
        format!("{HEAD}a={value}{end}\n")
    };
    assert_eq!(error(line(MAX_LINE, "\n").as_bytes()), None);
    assert_eq!(error(line(MAX_LINE, "\r\n").as_bytes()), None);
    let long = line(MAX_LINE + 1, "");
    assert_eq!(error(long.as_bytes()), Some(DecodeError::LineTooLong));
    let endless = &long.as_bytes()[..long.len() - 1];
    assert_eq!(error(endless), Some(DecodeError::LineTooLong));

    let attributes = |count: usize| format!("{HEAD}{}\n", "a=b\n".repeat(count - 1));
    assert_eq!(error(attributes(MAX_ATTRIBUTES).as_bytes()), None);
    assert_eq!(
        error(attributes(MAX_ATTRIBUTES + 1).as_bytes()),
        Some(DecodeError::TooManyAttributes)
    );

    let request = |length: usize| {
        let filler = format!("a={}\n", "x".repeat(MAX_LINE - 2));
        let full = filler.repeat(3);
        let rest = length - HEAD.len() - full.len() - "b=\n\n".len();
        format!("{HEAD}{full}b={}\n\n", "y".repeat(rest))
    };
    assert_eq!(error(request(MAX_REQUEST).as_bytes()), None);
    assert_eq!(
        error(request(MAX_REQUEST + 1).as_bytes()),
        Some(DecodeError::RequestTooLong)
    );
}

#[test]
fn of_several_faults_the_first_one_counts_whatever_the_split() {
    let long = "x".repeat(MAX_LINE - 2);
    let nearly = format!("{HEAD}{}", format!("a={long}\n").repeat(3));
    let cases = [
        (
            format!("a={}\0", "x".repeat(MAX_LINE)),
            DecodeError::LineTooLong,
        ),
        (format!("a={long}\0"), DecodeError::Nul),
        (format!("a={long}\r\0"), DecodeError::Nul),
        (format!("a={long}\r\r\n"), DecodeError::LineTooLong),
        (
            format!("{nearly}a={long}xxx\n"),
            DecodeError::RequestTooLong,
        ),
        (format!("{nearly}a={long}\0"), DecodeError::RequestTooLong),
    ];
    for (text, want) in cases {
        let whole = text.as_bytes();
        let single: Vec<&[u8]> = whole.chunks(1).collect();
        let name = text.len();
        assert_eq!(error(whole), Some(want.clone()), "{name}");
        assert_eq!(decode(&single).1, Some(want), "{name}");
    }
}

#[test]
fn midway_is_between_the_first_byte_and_the_empty_line() {
    let mut decoder = Decoder::new();
    assert!(!decoder.is_midway());
    decoder.feed(b"request=smtpd");
    assert!(matches!(decoder.next(), Ok(None)));
    assert!(decoder.is_midway());
    decoder.feed(b"_access_policy\n\n");
    assert!(matches!(decoder.next(), Ok(Some(_))));
    assert!(!decoder.is_midway());
}

proptest! {
    #[test]
    fn any_split_decodes_as_the_whole(
        bytes in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(b'='), Just(b'\r'), Just(b's'), any::<u8>()], 0..200),
        good in any::<bool>(),
        cuts in proptest::collection::vec(0usize..300, 0..6),
    ) {
        let mut text = Vec::new();
        if good {
            text.extend_from_slice(HEAD.as_bytes());
            text.extend_from_slice(b"sender=a@b\n\n");
        }
        text.extend_from_slice(&bytes);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&text[from..cut]);
            from = cut;
        }
        pieces.push(&text[from..]);
        prop_assert_eq!(decode(&pieces), decode(&[&text]));
    }
}
