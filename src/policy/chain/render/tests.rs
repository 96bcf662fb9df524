use jiff::tz::offset;
use proptest::prelude::*;

use super::*;

/// November 27, 2026, 16:32:42 UTC.
const NOW: Timestamp = Timestamp::from_seconds(1_795_797_162);

fn format(text: &str) -> Format {
    Format::parse(text).0
}

fn rendered(values: &TokenValues<'_>, text: &str) -> String {
    values.reply_text(&format(text)).as_str().to_owned()
}

/// Gives `test` an attempt at nine hours east of Greenwich.
fn with_values(test: impl FnOnce(TokenValues<'_>)) {
    let zone = TimeZone::fixed(offset(9));
    test(TokenValues {
        client: ClientIp::parse(b"203.0.113.7"),
        client_name: b"mail.example.net",
        helo: b"helo.example.org",
        sender: b"joe+x=y@example.org",
        recipient: b"jane@example.com",
        queue_id: b"4BCD",
        code: Some(451),
        enhanced_code: "4.7.1",
        text: "wait",
        elapsed: Span::from_seconds(3 * 3600 + 5),
        remaining: Span::from_seconds(100 * 3600 + 2 * 60 + 9),
        tarpit: Span::from_seconds(65),
        now: Some((NOW, &zone)),
        host: "mx.test",
        local_address: None,
        rule: Some(RuleName {
            line: 4,
            id: Some("theid"),
        }),
        current: Some(RuleName { line: 7, id: None }),
        spf: Some(SpfResult::Softfail),
        dns_lists: &["bl one", "bl two"],
        properties: None,
        macros: Some(&[("client_resolve", b"FORGED")]),
        score: Some(-1_290),
        user: b"joe",
    });
}

#[test]
fn every_token_is_replaced_as_milter_greylist_does() {
    with_values(|values| {
        for (text, want) in [
            ("%r %mr %sr", "jane@example.com jane example.com"),
            ("%f %mf %sf", "joe+x=y@example.org joe+x=y example.org"),
            ("%d %md %sd", "mail.example.net mail example.net"),
            ("%i %j", "203.0.113.7 7.113.0.203"),
            ("%M{auth_authen}", "joe"),
            (
                "%I{/24} %I{/8} %I{/64}",
                "203.0.113.0 203.0.0.0 203.0.113.7",
            ),
            ("%h", "helo.example.org"),
            ("%Xc %Xe %S", "451 4.7.1 tempfail"),
            ("%D", "bl one, bl two"),
            ("%Mj %Mi", "mx.test 4BCD"),
            (
                "%M{client_addr} %M{mail_addr} %M{rcpt_addr}",
                "203.0.113.7 joe+x=y@example.org jane@example.com",
            ),
            ("%T{%Y-%m-%d %H:%M} %G", "2026-11-28 01:32 +0900"),
            ("%T{%c}", "Sat Nov 28 01:32:42 2026"),
            ("%v", VERSION),
            ("%A %a %cA %ca", "4 theid 7 7"),
            ("%E %Eh %Em %Es %Et", "03:00:05 3 0 5 10805"),
            ("%R %Rh %Rm %Rs %Rt", "100:02:09 100 2 9 360129"),
            ("%t", "65"),
            ("%Qs", "softfail"),
            ("%M{client_resolve} %Hs", "FORGED -1.2"),
            ("%Xm", "wait"),
            ("%Xh%C%Fx%pn%pv%pr%P{x}%Qd%g{\\1}%M{if_addr}", ""),
            ("100%% %Z", "100% %Z"),
            (
                "%QS",
                "softfail client-ip=203.0.113.7; envelope-from=\"joe+x=y@example.org\"; helo=\"helo.example.org\"; \
                 receiver=mx.test",
            ),
            (
                "%QA",
                "mx.test; spf=softfail smtp.mailfrom=\"joe+x=y@example.org\"",
            ),
        ] {
            assert_eq!(rendered(&values, text), want, "{text}");
            assert_eq!(values.bytes(&format(text)), want.as_bytes(), "{text}");
        }
        let line = format!("stargrey-{VERSION} (mx.test); Sat, 28 Nov 2026 01:32:42 +0900");
        assert_eq!(rendered(&values, "%V"), line);
        let values = TokenValues {
            local_address: ClientIp::parse(b"192.0.2.99"),
            ..values
        };
        let line = line.replace("(mx.test)", "(mx.test [192.0.2.99])");
        assert_eq!(rendered(&values, "%V"), line);
    });
}

#[test]
fn what_an_attempt_does_not_have_is_empty_or_zero() {
    let nothing = TokenValues::default();
    for (text, want) in [
        ("[%r%mr%sr%f%mf%sf%d%md%sd%i%j%I{/24}%h%Xc%Xe%S%D]", "[]"),
        ("[%T{%Y}%G%A%a%cA%ca%Qs%QS%QA%Mj%Mi%M{client_addr}]", "[]"),
        ("%E %Rt %t", "00:00:00 0 0"),
    ] {
        assert_eq!(rendered(&nothing, text), want, "{text}");
    }
}

#[test]
fn names_and_addresses_of_every_kind_have_their_parts() {
    for (name, address, want) in [
        (
            "[203.0.113.8]",
            "203.0.113.8",
            "[203 0.113.8] 203.0.113.8 8.113.0.203 203.0.113.0",
        ),
        (
            "unknown",
            "203.0.113.8",
            "[203 0.113.8] 203.0.113.8 8.113.0.203 203.0.113.0",
        ),
        (
            "localhost",
            "2001:db8::ff:0:0:1",
            "localhost localhost 2001:db8::ff:0:0:1 \
             1.0.0.0.0.0.0.0.0.0.0.0.f.f.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2 2001:d00::",
        ),
        ("a.b.c", "::ffff:1.2.3.4", "a b.c 1.2.3.4 4.3.2.1 1.2.3.0"),
    ] {
        let values = TokenValues {
            client: ClientIp::parse(address.as_bytes()),
            client_name: name.as_bytes(),
            ..TokenValues::default()
        };
        assert_eq!(rendered(&values, "%md %sd %i %j %I{/24}"), want, "{name}");
    }
    for (address, want) in [
        ("", " "),
        ("local", "local local"),
        ("@example.org", " example.org"),
        ("\"a@b\"@example.org", "\"a@b\" example.org"),
    ] {
        let values = TokenValues {
            sender: address.as_bytes(),
            recipient: address.as_bytes(),
            ..TokenValues::default()
        };
        // What surrounds a text of a stranger is trimmed from that text alone.
        assert_eq!(rendered(&values, "%mf %sf"), want, "{address}");
        assert_eq!(rendered(&values, "%mr %sr"), want, "{address}");
    }
}

#[test]
fn reply_codes_have_their_words() {
    for (code, want) in [
        (250, "accept "),
        (421, "tempfail 421"),
        (551, "reject 551"),
        (354, " "),
    ] {
        let values = TokenValues {
            code: Some(code),
            ..TokenValues::default()
        };
        assert_eq!(rendered(&values, "%S %Xc"), want);
    }
}

#[test]
fn headers_have_words_of_the_rfc_alone() {
    for (result, sender, want) in [
        (
            SpfResult::PassAny,
            "",
            "mx; spf=neutral smtp.helo=\"a\\\"b\\\\\"",
        ),
        (
            SpfResult::Pass,
            "a@b.c",
            "mx; spf=pass smtp.mailfrom=\"a@b.c\"",
        ),
    ] {
        let values = TokenValues {
            helo: b"a\"b\\",
            sender: sender.as_bytes(),
            host: "mx",
            spf: Some(result),
            ..TokenValues::default()
        };
        assert_eq!(rendered(&values, "%QA"), want, "{result:?}");
    }
}

#[test]
fn what_strangers_choose_is_printable_short_and_no_token() {
    let long = b"x".repeat(5000);
    for (chosen, want) in [
        (&b"%r%f%%%T{%Y}"[..], "[%r%f%%%T{%Y}]".to_owned()),
        (b"a\r\n250 OK\0", "[a??250 OK?]".to_owned()),
        ("m\u{fc}ller\u{202e}".as_bytes(), "[m??ller???]".to_owned()),
        (b"\xff\xfe", "[??]".to_owned()),
        (b" \t ", "[]".to_owned()),
        (&long, format!("[{}]", "x".repeat(200))),
    ] {
        let values = TokenValues {
            client_name: chosen,
            helo: chosen,
            sender: chosen,
            recipient: chosen,
            queue_id: chosen,
            ..TokenValues::default()
        };
        for token in ["%r", "%f", "%d", "%h", "%sr", "%mf", "%Mi"] {
            let text = format!("[{token}]");
            assert_eq!(rendered(&values, &text), want, "{token}");
            // Compared, it is what it was.
            let bytes = values.bytes(&format(&text));
            assert_eq!(bytes, [b"[", chosen, b"]"].concat(), "{token}");
        }
    }
}

#[test]
fn a_reply_fits_into_a_line() {
    let long = b"x".repeat(5000);
    let values = TokenValues {
        sender: &long,
        ..TokenValues::default()
    };
    for (text, want) in [
        ("%f%f%f".to_owned(), MAX_REPLY),
        ("y".repeat(MAX_REPLY), MAX_REPLY),
        ("y".repeat(MAX_REPLY + 1), MAX_REPLY),
        // A character is not cut in two.
        (format!("{}é", "y".repeat(MAX_REPLY - 1)), MAX_REPLY - 1),
        (format!("{}é", "y".repeat(MAX_REPLY - 2)), MAX_REPLY),
    ] {
        assert_eq!(rendered(&values, &text).len(), want, "{text}");
    }
    with_values(|values| {
        let wide = format!("%T{{{}}}", "%255Y".repeat(800));
        assert_eq!(rendered(&values, &wide).len(), MAX_REPLY);
    });
}

#[test]
fn a_deferral_says_when_to_retry() {
    let values = TokenValues {
        remaining: Span::from_seconds(25 * 60),
        ..TokenValues::default()
    };
    assert_eq!(
        rendered(&values, "Please retry in %R"),
        "Please retry in 00:25:00"
    );
}

/// Texts with many tokens, and formats of time with much that means nothing.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "%[a-zA-Z]{1,2}",
        "%[MTPIg]\\{[%a-zA-Z0-9/:.\\\\_^#-]{1,12}\\}",
        "%T\\{\\PC{1,8}\\}",
        "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn every_text_makes_one_short_line(
        text in any_text(),
        chosen in prop::collection::vec(any::<u8>(), 0..600),
        numbers in any::<(u64, u64, u32, u16)>(),
    ) {
        let zone = TimeZone::fixed(offset(-11));
        let (elapsed, now, line, code) = numbers;
        let name = String::from_utf8_lossy(&chosen);
        let values = TokenValues {
            client: ClientIp::parse(b"2001:db8::1"),
            client_name: &chosen,
            helo: &chosen,
            sender: &chosen,
            recipient: &chosen,
            queue_id: &chosen,
            code: Some(code),
            enhanced_code: &name,
            text: &name,
            elapsed: Span::from_seconds(elapsed),
            remaining: Span::from_seconds(elapsed),
            tarpit: Span::from_seconds(elapsed),
            now: Some((Timestamp::from_seconds(now), &zone)),
            host: &name,
            local_address: ClientIp::parse(b"2001:db8::2"),
            rule: Some(RuleName { line, id: Some(&name) }),
            current: Some(RuleName { line, id: None }),
            spf: Some(SpfResult::Fail),
            dns_lists: &[&name, &name],
            properties: None,
            macros: Some(&[("client_resolve", &chosen)]),
            score: Some(-1_290),
            user: &chosen,
        };
        for now in [values.now, Some((NOW, &zone))] {
            let values = TokenValues { now, ..values };
            let reply = values.reply_text(&format(&text));
            prop_assert!(reply.as_str().len() <= MAX_REPLY);
            prop_assert!(!reply.as_str().chars().any(char::is_control));
            drop(values.bytes(&format(&text)));
        }
    }
}
