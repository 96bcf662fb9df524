//! Files and command lines as they are found, and what becomes of them.

use super::{EMPTY, TEMPLATE, translate};

/// The line with the options, and the notes above it.
fn translated(text: &str) -> (String, Vec<String>) {
    let file = translate("FILE", text.as_bytes()).unwrap_or_else(|why| panic!("{text}: {why:?}"));
    let is_ours = |line: &&str| TEMPLATE.lines().all(|other| other != *line);
    let mut lines: Vec<String> = file.lines().filter(is_ours).map(str::to_owned).collect();
    // Without options the line is that of the template.
    let options = if lines
        .last()
        .is_some_and(|line| line.starts_with("OPTIONS="))
    {
        lines.pop().unwrap_or_default()
    } else {
        EMPTY.trim().to_owned()
    };
    assert_eq!(lines.remove(0), "# The options of Postgrey in FILE.");
    let notes = lines.into_iter().map(|line| {
        let note = line.strip_prefix("# Left out: ").expect("a note");
        note.split(" (").next().unwrap_or_default().to_owned()
    });
    (options, notes.collect())
}

/// A file, the options that it becomes, and those that are left out.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

/// Files and command lines as they are found.
const FILES: &[Case] = &[
    (
        "Debian",
        "# postgrey startup options, created for Debian\n\nPOSTGREY_OPTS=\"--inet=10023 --delay=60\"\n#POSTGREY_TEXT=\"x\"\n",
        "--inet=10023 --delay=60",
        &[],
    ),
    (
        "Debian with a text",
        "POSTGREY_OPTS=\"--greylist-text=no -i 10023\"\nPOSTGREY_TEXT=\"Come back in %s seconds\"\n",
        "--inet=10023 --greylist-text='Come back in %s seconds'",
        &[],
    ),
    (
        "EPEL and Puppet",
        "POSTGREY_TYPE=\"--unix=/var/spool/postfix/postgrey/socket\"\nPOSTGREY_PID=\"--pidfile=/run/postgrey.pid\"\n\
         POSTGREY_GROUP=\"--group=postgrey\"\nPOSTGREY_USER=\"--user=postgrey\"\nPOSTGREY_DELAY=\"--delay=60\"\n\
         POSTGREY_OPTS=\"--greylist-text='Try later, please'\"\n",
        "--delay=60 --greylist-text='Try later, please'",
        &[
            "--unix=/var/spool/postfix/postgrey/socket",
            "--pidfile=/run/postgrey.pid",
            "--group=postgrey",
            "--user=postgrey",
        ],
    ),
    (
        "bare values",
        "POSTGREY_DELAY=60\nPOSTGREY_USER=postgrey\nPOSTGREY_OPTS=\n",
        "--delay=60",
        &["--user=postgrey"],
    ),
    (
        "lines inside quotes",
        "POSTGREY_OPTS=\"--inet=10023\n  --delay=60\n  --max-age=30\"\n",
        "--inet=10023 --delay=60 --max-age=30",
        &[],
    ),
    (
        "one after the other",
        "POSTGREY_OPTS=\"--inet=10023\"\nPOSTGREY_OPTS=\"$POSTGREY_OPTS --whitelist-clients=/a\"\n\
         \texport POSTGREY_OPTS=\"${POSTGREY_OPTS} --whitelist-clients=/b\"\n",
        "--inet=10023 --whitelist-clients=/a --whitelist-clients=/b",
        &[],
    ),
    (
        "openSUSE",
        "POSTGREY_EXTRA_OPTIONS=\"--privacy\"\n",
        "--privacy",
        &[],
    ),
    (
        "FreeBSD",
        "hostname=\"mx\"\npostgrey_enable=\"YES\"\npostgrey_flags=\"-d --inet=10023 --dbdir=/var/db/postgrey\"\n",
        "--inet=10023",
        &["--daemonize", "--dbdir=/var/db/postgrey"],
    ),
    (
        "/proc/PID/cmdline",
        "/usr/bin/perl\0-T\0/usr/sbin/postgrey\0--inet=10023\0--greylist-text=Come back, please\0",
        "--inet=10023 --greylist-text='Come back, please'",
        &[],
    ),
    (
        "Postgrey's own name for itself",
        "postgrey --inet=10023 --greylist-text=Come back, please --delay 60\0",
        "--inet=10023 --greylist-text='Come back, please' --delay=60",
        &[],
    ),
    (
        "ps",
        "COMMAND\n/usr/bin/perl -T /usr/sbin/postgrey --pidfile=/run/p.pid --daemonize --inet=10023\n",
        "--inet=10023",
        &["--pidfile=/run/p.pid", "--daemonize"],
    ),
    (
        "ps of a user",
        "postgrey   812  0.0  1.2 /usr/sbin/postgrey --inet=127.0.0.1:10023\n",
        "--inet=127.0.0.1:10023",
        &[],
    ),
];

#[test]
fn files_of_all_systems_are_read() {
    for (name, text, options, notes) in FILES {
        let want = (
            format!("OPTIONS=\"{options}\""),
            notes.iter().map(ToString::to_string).collect(),
        );
        assert_eq!(translated(text), want, "{name}");
    }
}

#[test]
fn options_are_understood_as_postgrey_understands_them() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("--delay=60 --delay=90", "--delay=90", &[]),
        ("--delay=0 --max-age 00", "", &["--delay=0", "--max-age=00"]),
        ("--retry-window=0", "--retry-window=0", &[]),
        ("--auto-whitelist-clients", "--auto-whitelist-clients", &[]),
        (
            "--auto-whitelist-clients=0",
            "--auto-whitelist-clients=0",
            &[],
        ),
        (
            "--auto-whitelist-clients 3 -v",
            "--auto-whitelist-clients=3 --verbose",
            &[],
        ),
        ("--tarpit -q", "--tarpit --quiet", &[]),
        ("-inet=10023 -u /run/x", "--inet=10023", &["--unix=/run/x"]),
        (
            "--whitelist-c=/a --facility=local0",
            "--whitelist-clients=/a --syslog-facility=local0",
            &[],
        ),
        ("--noaction", "", &["--no-action"]),
    ];
    for (given, options, notes) in cases {
        let want = (
            format!("OPTIONS=\"{options}\""),
            notes.iter().map(ToString::to_string).collect(),
        );
        assert_eq!(
            translated(&format!("POSTGREY_OPTS=\"{given}\"")),
            want,
            "{given}"
        );
    }
}

#[test]
fn what_is_not_understood_is_said_with_its_line() {
    let cases = [
        ("", "1: neither assignments"),
        ("root:x:0:0\n", "1: neither assignments"),
        ("# nothing\nA=b\n", "1: no variable of Postgrey is set here"),
        ("A=b\nPOSTGREY_FOO=x\n", "2: POSTGREY_FOO is not known"),
        (
            "A=b\nPOSTGREY_OPTS=\"--dealy=60\"",
            "2: --dealy=60: not an option of Postgrey",
        ),
        (
            "POSTGREY_OPTS=\"--inet=1\n --ipv=2\"",
            "2: --ipv=2: may be --ipv4cidr or --ipv6cidr",
        ),
        ("POSTGREY_OPTS=\"60\"", "1: 60: this is not an option"),
        (
            "POSTGREY_OPTS=\"--delay\"",
            "1: --delay: the value is missing",
        ),
        (
            "POSTGREY_OPTS=\"--exim=1\"",
            "1: --exim=1: this option does not have a value",
        ),
        (
            "\nPOSTGREY_OPTS='--greylist-text=$x'",
            "2: --greylist-text=$x: stargreyd accepts neither $",
        ),
        (
            "\n\nPOSTGREY_OPTS=\"--greylist-text='a\u{1b}b'\"",
            "3: --greylist-text=a\\u{1b}b: stargreyd accepts neither $",
        ),
        ("POSTGREY_OPTS='--inet=\"1'", "1: this \" is never closed"),
        (
            "POSTGREY_OPTS=\"--inet=1\"\nPOSTGREY_OPTS=$(cat x)",
            "2: only $NAME",
        ),
        (
            "POSTGREY_OPTS=\"--inet=1\"\n[ -x /a ] && POSTGREY_OPTS=",
            "2: not an assignment",
        ),
    ];
    for (text, want) in cases {
        let problems = translate("FILE", text.as_bytes()).expect_err(text);
        let problem = problems.first().expect(text).to_string();
        assert!(problem.starts_with(want), "{text}: {problem}");
    }
    let file = b"# gr\xf6\xdfer\nPOSTGREY_OPTS=--greylist-text=\xff\n";
    let problems = translate("FILE", file).expect_err("not UTF-8");
    let want = "2: --greylist-text=\\u{ffff}: this is not UTF-8";
    assert_eq!(problems[0].to_string(), want);
}

#[test]
fn the_output_is_the_packaged_file_with_another_line() {
    assert_eq!(TEMPLATE.matches(EMPTY).count(), 1);
    let file = translate(
        "/etc/default/postgrey",
        b"POSTGREY_OPTS=\"-d --delay=60\"\n",
    )
    .unwrap();
    let want = "# The options of Postgrey in /etc/default/postgrey.\n\
                # Left out: --daemonize (systemd does this).\nOPTIONS=\"--delay=60\"\n";
    assert_eq!(file, TEMPLATE.replace(EMPTY, want));
}
