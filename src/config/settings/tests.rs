use std::ffi::OsString;
use std::path::Path;

use super::*;
use crate::config::lists::Files;
use crate::config::options::ParseOutcome;
use crate::config::{Endpoint, SpamSource, Verbosity};
use crate::policy::s25r::Rules;
use crate::policy::{Scheme, Unmatched};
use crate::types::{Reply, ReplyText, Span};

fn parse(args: &[&str]) -> Result<Options, ParseOutcome> {
    let line = std::iter::once("stargreyd").chain(args.iter().copied());
    Options::parse_line(line.map(OsString::from))
}

fn environment() -> Environment {
    Environment {
        hostname: "mx.example.org".to_owned(),
        is_root: true,
        ..Environment::default()
    }
}

fn settings(args: &[&str]) -> Settings {
    Settings::new(&parse(args).unwrap(), &environment()).unwrap()
}

fn errors(args: &[&str]) -> Vec<String> {
    let errors = match parse(args) {
        Err(ParseOutcome::Errors(errors, _)) => errors,
        Err(ParseOutcome::HelpOrVersion(_)) => panic!("shown"),
        Ok(options) => Settings::new(&options, &environment())
            .err()
            .unwrap_or_default(),
    };
    errors.iter().map(ToString::to_string).collect()
}

fn warnings(args: &[&str], environment: &Environment) -> Vec<String> {
    let settings = Settings::new(&parse(args).unwrap(), environment).unwrap();
    settings.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults_are_postgreys() {
    assert_eq!(settings(&[]).params, Params::default());
    assert_eq!(settings(&[]).sockets.mode, 0o666);
    assert_eq!(settings(&[]).log.facility, 2);
}

#[test]
fn zero_is_a_value_where_it_makes_sense() {
    let params = settings(&[
        "--delay=0",
        "--max-age=0",
        "--ipv4cidr=0",
        "--auto-whitelist-clients=0",
        "--retry-count=0",
    ])
    .params;
    assert_eq!(params.retry_count, 1);
    assert_eq!((params.delay, params.max_age), (Span::ZERO, Span::ZERO));
    assert_eq!((params.ipv4_bits, params.auto_whitelist), (24, None));
    assert_eq!(
        settings(&["--delay=0", "--retry-window=0"])
            .params
            .retry_window,
        Span::ZERO
    );
}

#[test]
fn postgreys_ways_of_writing_options_are_understood() {
    let params = settings(&[
        "--delay",
        "60",
        "--delay=70",
        "--auto-whitelist-clients",
        "--lookup-by-host",
        "--ipv4cidr=16",
    ])
    .params;
    assert_eq!(params.delay, Span::from_seconds(70));
    assert_eq!((params.auto_whitelist, params.ipv4_bits), (Some(5), 32));
    assert_eq!(
        settings(&["--auto-whitelist-clients", "7"])
            .params
            .auto_whitelist,
        Some(7)
    );
    assert_eq!(
        settings(&["--retry-w=6h"]).params.retry_window,
        Span::from_hours(6)
    );
    assert_eq!(settings(&["-v", "-q"]).log.verbosity, Verbosity::Quiet);
    for name in ["--syslog-facility", "--syslogfacility", "--facility"] {
        assert_eq!(settings(&[name, "local3"]).log.facility, 19);
    }
    let endpoints = settings(&["-u", "/run/s", "-i", "10023", "--inet=[::1]:7"])
        .sockets
        .endpoints;
    assert_eq!(endpoints.len(), 3);
    let lists = settings(&["--whitelist-clients=/a", "--whitelist-clients=/b"]).lists;
    assert_eq!(lists.clients, Files::Given(vec!["/a".into(), "/b".into()]));
    assert_eq!(lists.senders, Files::Default("whitelist_senders"));
}

#[test]
fn a_name_in_the_log_is_one_that_readers_of_syslog_can_find() {
    for name in ["stargrey", "postgrey", "postfix/grey-1", &"x".repeat(48)] {
        assert_eq!(settings(&["--syslog-name", name]).log.name, name);
    }
    for name in [
        "",
        "a b",
        "a:",
        "a[1]",
        "$NAME",
        "gr\u{e4}y",
        "a\t",
        &"x".repeat(49),
    ] {
        let errors = errors(&["--syslog-name", name]);
        assert!(
            errors.concat().contains("--syslog-name: "),
            "{name:?}: {errors:?}"
        );
    }
}

#[test]
fn what_postgrey_takes_empty_is_the_default() {
    let empty = settings(&[
        "--auto-whitelist-clients=",
        "--x-greylist-header=none",
        "--greylist-text=",
        "--x-greylist-header=",
        "--socketmode=",
        "--hostname=",
    ]);
    assert_eq!(empty.params, Params::default());
    assert_eq!(empty.sockets.mode, 0o666);
    settings(&["--greylist-text", "-- wait --"]);
}

#[test]
fn every_error_is_made_and_names_its_option() {
    let wrong = errors(&[
        "--delay=soon",
        "--retry-window=2d",
        "--sync=maybe",
        "--inet=here",
        "--x-greylist-header=none",
        "--syslog-facility=post",
    ]);
    let names = [
        "--delay: ",
        "--retry-window: ",
        "--sync: ",
        "--inet: ",
        "--x-greylist-header: ",
        "--syslog-facility: ",
    ];
    for name in names {
        assert!(
            wrong.iter().any(|text| text.starts_with(name)),
            "{name} {wrong:?}"
        );
    }
    assert_eq!(wrong.len(), names.len());
    let mistyped = errors(&["--dealy=3", "--privcy"]);
    assert_eq!(mistyped.len(), 2, "{mistyped:?}");
    assert!(mistyped[0].contains("'--delay'"), "{mistyped:?}");
    assert!(mistyped[1].contains("'--privacy'"), "{mistyped:?}");
}

#[test]
fn a_dollar_in_the_value_of_any_option_is_refused_with_advice() {
    use clap::CommandFactory;
    let command = Options::command();
    let options = command.get_arguments();
    let names: Vec<String> = options
        .filter(|option| option.get_action().takes_values())
        .filter_map(|option| Some(format!("--{}", option.get_long()?)))
        .collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        let wrong = errors(&[&format!("{name}=${{X}}")]);
        let begin = format!("{name}: \"${{X}}\" contains a $: variables");
        assert!(wrong[0].starts_with(&begin), "{name}: {wrong:?}");
    }
}

#[test]
fn every_dollar_is_refused_and_the_other_options_are_read() {
    let line = [
        "-u$A",
        "--unix=/run/b",
        "--unix=$C",
        "--hostname=$",
        "--sync=x",
    ];
    let Err(ParseOutcome::Errors(refused, Some(rest))) = parse(&line) else {
        panic!("not refused");
    };
    let refused: Vec<String> = refused.iter().map(ToString::to_string).collect();
    let places: Vec<&str> = refused
        .iter()
        .filter_map(|text| text.split(": ").next())
        .collect();
    assert_eq!(places, ["--hostname", "--unix", "--unix"]);
    assert_eq!(Settings::new(&rest, &environment()).unwrap_err().len(), 1);
}

#[test]
fn options_without_effect_are_warned_of() {
    let ignored = warnings(
        &["-d", "--pidfile=/x", "--lookup-by-subnet"],
        &environment(),
    );
    assert_eq!(ignored.len(), 3, "{ignored:?}");
    let unprivileged = Environment {
        is_root: false,
        ..environment()
    };
    assert_eq!(warnings(&["--user=nobody"], &unprivileged).len(), 1);
    assert!(errors(&["-n"])[0].contains("warn_if_reject"));
    assert_eq!(
        warnings(&["--delay=7200", "--retry-window=1h"], &environment()).len(),
        1
    );
}

#[test]
fn scores_come_from_spamd_or_from_a_header() {
    let spamd = |endpoint| Some(SpamSource::Spamd(endpoint));
    let milter = "--milter=unix:/m";
    for (args, want) in [
        (&[][..], None),
        (
            &["--spamd=unix:/run/spamd", milter],
            spamd(Endpoint::Unix("/run/spamd".into())),
        ),
        (
            &["--spamd=inet:[::1]:783", milter],
            spamd(Endpoint::Inet("::1".to_owned(), 783)),
        ),
        (
            &["--score-header=X-Spam-Score", milter],
            Some(SpamSource::Header("X-Spam-Score".into())),
        ),
    ] {
        let settings = settings(args);
        assert_eq!(settings.spam.source, want, "{args:?}");
        assert_eq!(settings.spam.max_size, 512_000);
        assert_eq!(settings.warnings, [], "{args:?}");
    }
    let size = settings(&["--spamd=unix:/s", "--spamd-max-size=1M", milter]).spam;
    assert_eq!(size.max_size, 1 << 20);
    for args in [
        &["--spamd=783"][..],
        &["--spamd=unix:"],
        &["--score-header=X Y"],
        &["--score-header="],
        &["--trust-authserv-id=", "--greylist-conf=/g", milter],
        &[
            "--trust-authserv-id=mx example",
            "--greylist-conf=/g",
            milter,
        ],
        &["--trust-authserv-id=a,b", "--greylist-conf=/g", milter],
        &["--trust-authserv-id=\"a\"", "--greylist-conf=/g", milter],
        &["--spamd=unix:/s", "--spamd-max-size=0"],
        &["--spamd=unix:/s", "--spamd-max-size=1025K"],
        &["--spamd=unix:/s", "--score-header=X"],
    ] {
        assert_eq!(errors(args).len(), 1, "{args:?}");
    }
    for (args, is_warned) in [
        (&["--spamd=unix:/s"][..], true),
        (&["--score-header=X"], true),
        (&["--trust-authserv-id=a", "--greylist-conf=/g"], true),
        (&["--trust-authserv-id=a", milter], true),
        (
            &["--trust-authserv-id=a", "--greylist-conf=/g", milter],
            false,
        ),
        (&["--spamd-max-size=1M", milter], true),
    ] {
        assert_eq!(!warnings(args, &environment()).is_empty(), is_warned);
    }
    let handed_over = Environment {
        has_milter_socket: true,
        ..environment()
    };
    let none = warnings(&["--spamd=unix:/s"], &handed_over);
    assert_eq!(none, Vec::<String>::new());
}

#[test]
fn the_units_state_directory_is_where_the_database_goes() {
    let environment = Environment {
        state_directory: Some("/var/lib/stargrey".into()),
        ..environment()
    };
    let cases = [
        (&["--dbdir=/var/lib/postgrey"][..], "/var/lib/stargrey", 1),
        (
            &["--dbdir=/var/lib/stargrey/two"][..],
            "/var/lib/stargrey/two",
            0,
        ),
        (&[][..], "/var/lib/stargrey", 0),
    ];
    for (args, want, want_remarks) in cases {
        let settings = Settings::new(&parse(args).unwrap(), &environment).unwrap();
        assert_eq!(settings.store.directory, Path::new(want), "{args:?}");
        assert_eq!(settings.warnings.len(), want_remarks, "{args:?}");
    }
}

#[test]
fn debians_text_is_used_unless_an_option_has_one() {
    let environment = Environment {
        postgrey_text: Some("see %H".to_owned()),
        ..environment()
    };
    let text = |args: &[&str]| {
        let settings = Settings::new(&parse(args).unwrap(), &environment).unwrap();
        let remaining = crate::policy::Remaining::Time(Span::ZERO);
        let verdict = crate::policy::Verdict::Defer { remaining };
        let now = crate::types::Timestamp::default();
        settings.texts.reply(verdict, b"a@b", now, Span::ZERO)
    };
    let deferred = |text: &str| Reply::Greylist {
        text: ReplyText::new(text.to_owned()),
        has_code: false,
    };
    assert_eq!(text(&[]), deferred("see mx.example.org"));
    assert_eq!(text(&["--greylist-text=x"]), deferred("x"));
}

#[test]
fn a_tarpit_is_what_targrey_would_make_of_the_options() {
    let tarpit = |args: &[&str]| {
        let settings = Settings::new(&parse(args).unwrap(), &environment()).unwrap();
        let (tarpit, limit) = (settings.params.tarpit, settings.params.tarpit_limit);
        tarpit.map(|tarpit| (tarpit.length.seconds(), tarpit.scheme, limit))
    };
    let cases: [(&[&str], _); 10] = [
        (&[], None),
        (&["--tarpit=0"], None),
        (&["--tarpit"], Some((65, Scheme::Deferring, 50))),
        (&["--tarpit=80"], Some((80, Scheme::Deferring, 50))),
        (&["--targrey"], Some((125, Scheme::Targrey, 50))),
        (&["--tarpit", "--targrey"], Some((65, Scheme::Targrey, 50))),
        (
            &["--targrey", "--tarpit=30", "--tarpit-limit=0"],
            Some((30, Scheme::Targrey, 0)),
        ),
        (
            &["--tarpit", "--greylist-action=dunno"],
            Some((65, Scheme::Delaying, 50)),
        ),
        (
            &["--tarpit", "--greylist-action=defer"],
            Some((65, Scheme::Deferring, 50)),
        ),
        (
            &["--targrey", "--greylist-action=450"],
            Some((125, Scheme::Targrey, 50)),
        ),
    ];
    for (args, want) in cases {
        assert_eq!(tarpit(args), want, "{args:?}");
    }
}

#[test]
fn what_cannot_work_is_refused_or_warned_of() {
    let refused: [&[&str]; 20] = [
        &["--greylist-action=DEFER_IF_PERMITT"],
        &["--greylist-action=FILTER smtp:[192.0.2.1]"],
        &["--greylist-action=REDIRECT joe@example.org"],
        &["--greylist-action=PREPEND"],
        &["--greylist-action=45"],
        &["--greylist-action=250"],
        &["--greylist-action=my_class"],
        &["--whitelist-clients=lists/mine"],
        &["--greylist-recipients=~/mine"],
        &["--client-access=pcre:fqrdns.pcre"],
        &["--header-checks=pcre:header_checks"],
        &["--body-checks=cidr:/etc/postfix/body"],
        &["--greylist-conf="],
        &["--tarpit", "--greylist-action=450"],
        &["--targrey", "--tarpit=0"],
        &["--tarpit=x"],
        &["--retry-count=1001"],
        &["--s25r", "--unmatched=maybe"],
        &["--s25r=nonsense"],
        &["--s25r="],
    ];
    for args in refused {
        let errors = Settings::new(&parse(args).unwrap(), &environment()).unwrap_err();
        assert_eq!(errors.len(), 1, "{args:?}");
    }
    let remarked: [(&[&str], &str); 7] = [
        (&["--tarpit=300"], "--tarpit: "),
        (&["--tarpit", "--tarpit-limit=0"], "--tarpit-limit: "),
        (&["--tarpit", "--exim"], "--tarpit: "),
        (&["--s25r-exceptions=/x"], "--s25r-exceptions: "),
        (&["--greylist-result=x"], "--greylist-result: "),
        (&["--unmatched=pass"], "--unmatched: "),
        (&["--delay=200000"], "--delay: "),
    ];
    for (args, want) in remarked {
        let settings = Settings::new(&parse(args).unwrap(), &environment()).unwrap();
        let warnings: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 1, "{args:?} {warnings:?}");
        assert!(warnings[0].starts_with(want), "{args:?} {warnings:?}");
    }
    for (args, want) in [
        (&["--unmatched=pass"][..], Some(Unmatched::Pass)),
        (&["--unmatched=greylist"], Some(Unmatched::Greylist)),
        (&[], None),
    ] {
        let settings = Settings::new(&parse(args).unwrap(), &environment()).unwrap();
        assert_eq!(settings.params.unmatched, want, "{args:?}");
    }
    let settings = Settings::new(&parse(&["--tarpit=299"]).unwrap(), &environment()).unwrap();
    assert_eq!(settings.warnings, []);
}

#[test]
fn s25r_has_two_sets_of_rules_and_is_the_classic_one_without_a_value() {
    let cases: [(&[&str], Option<Rules>); 6] = [
        (&[], None),
        (&["--s25r"], Some(Rules::Classic)),
        (&["--s25r", "--delay=60"], Some(Rules::Classic)),
        (&["--s25r=classic"], Some(Rules::Classic)),
        (&["--s25r=extended"], Some(Rules::Extended)),
        (&["--s25r", "extended"], Some(Rules::Extended)),
    ];
    for (args, want) in cases {
        let settings = Settings::new(&parse(args).unwrap(), &environment()).unwrap();
        assert_eq!(settings.params.s25r, want, "{args:?}");
    }
    let errors = Settings::new(&parse(&["--s25r=nonsense"]).unwrap(), &environment()).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "--s25r: \"nonsense\" is not one of classic, extended"
    );
}

#[test]
fn the_table_of_options_is_sound() {
    use clap::CommandFactory;
    Options::command().debug_assert();
}

#[test]
fn a_tarpit_that_lasts_longer_than_a_mail_server_waits_for_a_milter_is_remarked() {
    let milter = "--milter=unix:/run/milter";
    for (args, is_warned) in [
        (&["--tarpit=24", milter][..], false),
        (&["--tarpit=25", milter], true),
        (&["--targrey", milter], true),
        (&["--tarpit=25"], false),
    ] {
        let warned = warnings(args, &environment());
        let about = warned
            .iter()
            .any(|text| text.contains("command_timeout=300s"));
        assert_eq!(about, is_warned, "{args:?}: {warned:?}");
    }
}
