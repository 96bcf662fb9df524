//! Messages as strangers make them.

use super::*;

/// What a pattern for the body may match.
fn lines(message: &str) -> Vec<String> {
    lines_of(message.as_bytes())
}

fn lines_of(message: &[u8]) -> Vec<String> {
    let message = Message::parse(message);
    let lines = message.body_lines().unwrap();
    let lines = lines.map(|line| String::from_utf8(line.to_vec()).unwrap());
    lines.collect()
}

/// What a pattern for the header may match.
fn header(message: &[u8]) -> Vec<(usize, String)> {
    let message = Message::parse(message);
    let texts = message.header_texts();
    let texts = texts.map(|(number, text)| (number, String::from_utf8_lossy(text).into_owned()));
    texts.collect()
}

#[test]
fn a_field_is_there_as_it_came_and_decoded() {
    let message = b"Subject: =?iso-2022-jp?B?GyRCOS05cBsoQg==?=\n =?iso-2022-jp?Q?_x?=\n\
        From: \x1b$B9-9p\x1b(B <a@b.c>\nTo:plain\n\ttwo\nX: \x8dL\x8d\x90\nY: a=b\n\n";
    let texts = header(message);
    let texts: Vec<(usize, &str)> = texts.iter().map(|(n, text)| (*n, text.as_str())).collect();
    assert_eq!(
        texts,
        [
            (
                0,
                "Subject: =?iso-2022-jp?B?GyRCOS05cBsoQg==?= =?iso-2022-jp?Q?_x?="
            ),
            (0, "Subject: 広告 x"),
            (1, "From: \u{1b}$B9-9p\u{1b}(B <a@b.c>"),
            (1, "From: 広告 <a@b.c>"),
            (2, "To: plain\ttwo"),
            (3, "X: \u{fffd}L\u{fffd}\u{fffd}"),
            (3, "X: 広告"),
            (4, "Y: a=b"),
        ]
    );
}

#[test]
fn a_japanese_spam_is_read_in_each_encoding() {
    let cases: [(&str, &[u8]); 6] = [
        (
            "ISO-2022-JP, base64",
            b"Content-Type: text/plain; charset=ISO-2022-JP\nContent-Transfer-Encoding: base64\n\nGyRCTCQ+NUJ6OS05\ncBsoQg==\n",
        ),
        (
            "ISO-2022-JP",
            b"Content-Type: text/plain; charset=\"iso-2022-jp\"\n\n\x1b$BL$>5Bz9-9p\x1b(B\n",
        ),
        (
            "ISO-2022-JP without MIME",
            b"Subject: x\n\n\x1b$BL$>5Bz9-9p\x1b(B\n",
        ),
        (
            "Shift_JIS, quoted-printable",
            b"content-type: TEXT/PLAIN; charset=Shift_JIS\ncontent-transfer-encoding: QUOTED-PRINTABLE\n\n=96=A2=8F=B3=91=F8=8DL=\n=8D=90\n",
        ),
        (
            "EUC-JP, 8bit",
            b"Content-Type: text/plain; charset=euc-jp\n\n\xcc\xa4\xbe\xb5\xc2\xfa\xb9\xad\xb9\xf0\n",
        ),
        (
            "UTF-8, base64 with a character too many",
            b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n5pyq5om/!6Ku+5bqD5ZGK\n",
        ),
    ];
    for (name, message) in cases {
        let lines = lines_of(message);
        assert_eq!(
            lines.last().map(String::as_str),
            Some("未承諾広告"),
            "{name}"
        );
    }
}

#[test]
fn the_lines_of_a_body_are_those_of_its_parts() {
    let multipart = "Content-Type: multipart/mixed; boundary=\"b b\"\n\nbefore\n--b b\n\
        Content-Type: text/html\n\n<p>vi<b>ag</b>ra</p>\n--b b \nContent-Type: application/zip; \
        name=\"=?utf-8?B?5bqD?=.zip\"\nContent-Disposition: attachment; filename=a.exe\n\nUEsDBA\n\
        --b b\n\nplain\n--b b--\nbehind\n";
    let digest =
        "Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: =?utf-8?q?a=20b?=\n\nbody";
    let cases: [(&str, &str, &[&str]); 10] = [
        ("nothing", "", &[]),
        ("no header", "text\n\nmore\n", &["text", "", "more"]),
        ("no body", "A: b\n", &[]),
        (
            "nothing but an attachment",
            "Content-Type: application/zip; name=a.zip\n\nUEsDBA==",
            &["a.zip"],
        ),
        (
            "several parts",
            multipart,
            &[
                "before",
                "Content-Type: text/html",
                "<p>vi<b>ag</b>ra</p>",
                "viagra",
                "Content-Type: application/zip; name=\"広.zip\"",
                "Content-Disposition: attachment; filename=a.exe",
                "広.zip",
                "a.exe",
                "plain",
                "behind",
            ],
        ),
        ("a digest", digest, &["Subject: a b", "body"]),
        (
            "an encoded message",
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogYQoKYm9keQo=",
            &["Subject: a", "body"],
        ),
        (
            "parts without a boundary",
            "Content-Type: multipart/mixed\n\ntext",
            &["text"],
        ),
        (
            "parts without their boundary",
            "Content-Type: multipart/mixed; boundary=x\n\ntext",
            &["text"],
        ),
        (
            "HTML that names its character set",
            "Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<meta charset=3D\"shift_jis\">=8DL=8D=90",
            &["<meta charset=\"shift_jis\">広告", "広告"],
        ),
    ];
    for (name, message, want) in cases {
        assert_eq!(lines(message), want, "{name}");
    }
}

#[test]
fn a_long_line_is_several() {
    let long = "é".repeat(MAX_LINE);
    let lines = lines(&format!("A: b\n\n{long}\nx"));
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.len() <= MAX_LINE));
    assert_eq!(lines.concat(), format!("{long}x"));
}

#[test]
fn a_body_has_a_text_if_one_of_its_lines_has_it() {
    let cases: [(&str, &str, bool); 13] = [
        ("one\r\ntwo\r\n", "one", true),
        ("one\r\ntwo\r\n", "two", true),
        ("one\r\ntwo", "wo", true),
        ("one\r\ntwo", "", true),
        ("one\r\ntwo", "three", false),
        ("one\r\ntwo", "onetwo", false),
        ("one\r\ntwo", "e\ntw", false),
        ("one\r\ntwo", "\n", false),
        ("one\r\ntwo", "e\r", false),
        ("o\rne\r\r\ntwo", "o\rne\r", true),
        ("one\r", "e\r", true),
        ("\r\n", "", true),
        ("", "", false),
    ];
    for (body, text, want) in cases {
        let body = Some(body.as_bytes().to_vec());
        let message = Message::new(Vec::new(), body.clone().map(Body::from), 0);
        assert_eq!(message.body_contains(text), Some(want), "{body:?} {text:?}");
        let mut lines = message.body_lines().unwrap();
        let is_in_line = lines.any(|line| String::from_utf8_lossy(line).contains(text));
        assert_eq!(is_in_line, want, "{body:?} {text:?}");
    }
}

#[test]
fn a_body_that_was_not_kept_has_no_lines() {
    let message = Message::new(Vec::new(), None, 1 << 30);
    assert!(message.body_lines().is_none());
    assert_eq!(message.body_contains(""), None);
    assert!(
        Message::new(Vec::new(), Some(Body::default()), 0)
            .body_lines()
            .is_some()
    );
}

#[test]
fn nothing_is_decoded_before_it_is_asked_for() {
    let message = Message::parse(b"A: =?utf-8?q?b?=\n\nbody");
    assert!(message.header_texts.get().is_none() && message.lines.get().is_none());
    assert_eq!(message.header_texts().count(), 2);
    assert!(message.lines.get().is_none());
}

#[test]
fn a_file_is_a_message_with_its_size_on_the_wire() {
    for (file, size) in [
        ("A: b\n\nc\n", 11),
        ("A: b\r\n\r\nc\r\n", 11),
        ("From x\nA: b\n\nc\n", 11),
    ] {
        let message = Message::parse(file.as_bytes());
        assert_eq!(message.size(), Some(size), "{file:?}");
        assert_eq!(message.fields().len(), 1, "{file:?}");
        assert_eq!(
            message.body().unwrap().bytes().trim_ascii(),
            b"c",
            "{file:?}"
        );
    }
}

#[test]
fn what_is_nested_deep_is_read_to_a_depth_and_never_fails() {
    let nested = |level: &str, levels: usize| format!("{}needle\n", level.repeat(levels));
    let message = "Content-Type: message/rfc822\n\n";
    assert!(lines(&nested(message, 8)).contains(&"needle".to_owned()));
    let parts = "Content-Type: multipart/mixed; boundary=b\n\n--b\n";
    for level in [message, parts] {
        // As deep as a body of 1 MiB has room for.
        let lines = lines(&nested(level, (1 << 20) / level.len()));
        assert_eq!(lines.last().map(String::as_str), Some("needle"), "{level}");
    }
    let many = format!(
        "Content-Type: multipart/mixed; boundary=b\n\n{}",
        "--b\n".repeat(200_000)
    );
    assert!(lines(&many).is_empty());
}
