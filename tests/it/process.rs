//! The process: options, exit codes, privileges, what the service manager is told.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use nix::unistd::geteuid;

use crate::support::machine::require_root;
use crate::support::{Daemon, TestClock, rcpt};

/// How long a test waits for a record before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn stargreyd(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stargreyd"))
        .args(args)
        .env_remove("LISTEN_FDS")
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_mistyped_option_names_the_nearest_right_one() {
    let output = stargreyd(&["--greylist-tetx=x", "--delya=3"]);
    assert_eq!(output.status.code(), Some(78));
    let text = stderr(&output);
    assert!(text.contains("did you mean '--greylist-text'?"), "{text}");
    assert!(text.contains("did you mean '--delay'?"), "{text}");
}

#[test]
fn of_the_lists_of_debians_postgrey_no_entry_is_dead() {
    let senders = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lists/whitelist_senders");
    let output = stargreyd(&[
        "--check",
        "--user=root",
        "--group=root",
        "--whitelist-clients=/etc/postgrey/whitelist_clients",
        "--whitelist-recipients=/etc/postgrey/whitelist_recipients",
        &format!("--whitelist-senders={senders}"),
    ]);
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new())
    );
}

#[test]
fn check_shows_every_complaint_with_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clients");
    let option = format!("--whitelist-clients={}", path.display());
    let empty = directory.path().join("empty");
    fs::write(&empty, "").unwrap();
    let others = ["recipients", "senders"].map(|l| format!("--whitelist-{l}={}", empty.display()));
    let args = [
        "--check",
        "--user=root",
        "--group=root",
        &option,
        &others[0],
        &others[1],
    ];

    fs::write(&path, "good.example\n\ntwo words\n/(/\n").unwrap();
    let output = stargreyd(&args);
    assert_eq!(output.status.code(), Some(78));
    for line in [3, 4] {
        let place = format!("{}:{line}: ", path.display());
        assert!(stderr(&output).contains(&place), "{}", stderr(&output));
    }

    fs::write(&path, "good.example\n").unwrap();
    let output = stargreyd(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");

    fs::write(&path, "good.example\n*.southwest.com\n").unwrap();
    let output = stargreyd(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let warning = format!("{}:2: \"*.southwest.com\" never matches: ", path.display());
    assert!(stderr(&output).contains(&warning), "{}", stderr(&output));

    fs::write(&path, "two words\n").unwrap();
    let output = stargreyd(&[
        "--check",
        "--delay=soon",
        "--sync=never",
        "--bogus",
        &option,
    ]);
    assert_eq!(output.status.code(), Some(78));
    let place = format!("{}:1: ", path.display());
    for complaint in ["--delay: ", "--sync: ", "'--bogus'", &place] {
        assert!(stderr(&output).contains(complaint), "{}", stderr(&output));
    }
}

#[test]
fn what_is_wrong_with_options_is_logged_under_the_name_of_the_daemon() {
    for (arguments, begin) in [
        (&["--bogus"][..], "stargrey: error: "),
        (&["--delay=soon"], "stargrey: error: --delay: "),
        (&["--syslog-name=postgrey", "--bogus"], "postgrey: error: "),
        (
            &["--syslog-name=postgrey", "--delay=soon"],
            "postgrey: error: --delay: ",
        ),
        (&["--syslog-name=postgrey", "--dbdir"], "postgrey: error: "),
        (&["--syslog-name=a b"], "stargrey: error: --syslog-name: "),
    ] {
        let output = stargreyd(arguments);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        let text = stderr(&output);
        assert!(
            text.lines().all(|line| line.starts_with(begin)),
            "{arguments:?}: {text}"
        );
        assert!(!text.is_empty(), "{arguments:?}");
    }
}

/// What `unshare` is asked for so that something can be mounted: as root, or as anybody whom the kernel lets be root in
/// a user namespace.
const NAMESPACES: [&[&str]; 2] = [&["--mount"], &["--mount", "--map-root-user"]];

/// stargreyd with a directory in the place of another, in a mount namespace.
fn with_directory(directory: &Path, place: &str, arguments: &[&str]) -> Command {
    let mount = "mount --bind \"$1\" \"$2\"";
    let unshare = |namespaces: &[&str], script: &str| {
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["sh", "-c", script, "sh"]);
        command.args([directory.as_os_str(), place.as_ref()]);
        command
    };
    let can_mount = |namespaces: &&&[&str]| {
        let tried = unshare(namespaces, mount).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let namespaces = NAMESPACES.iter().find(can_mount);
    let namespaces =
        namespaces.expect("root, or user namespaces for everybody, to mount something");
    let mut command = unshare(namespaces, &format!("{mount} && shift 2 && exec \"$@\""));
    command.arg(env!("CARGO_BIN_EXE_stargreyd")).args(arguments);
    command
        .env_remove("POSTGREY_TEXT")
        .env_remove("STATE_DIRECTORY");
    command
}

#[test]
fn what_is_wrong_with_options_is_in_the_journal_under_the_name_of_the_daemon() {
    let run = tempfile::tempdir().unwrap();
    let journal = run.path().join("systemd/journal");
    fs::create_dir_all(&journal).unwrap();
    let socket = UnixDatagram::bind(journal.join("socket")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let stderr = fs::File::options()
        .create(true)
        .append(true)
        .open(run.path().join("stderr"))
        .unwrap();
    let of_file = stderr.metadata().unwrap();
    for (arguments, want) in [
        (&["--delay=soon", "--syslog-name=postgrey"][..], "postgrey"),
        (
            &["--check", "--delay=soon", "--syslog-name=postgrey"],
            "postgrey",
        ),
        (&["--delay=soon"], ""),
        (&["--check", "--delay=soon"], ""),
    ] {
        let mut command = with_directory(run.path(), "/run", arguments);
        let stream = format!("{}:{}", of_file.dev(), of_file.ino());
        command.env("JOURNAL_STREAM", stream);
        command.stderr(stderr.try_clone().unwrap());
        assert_eq!(command.status().unwrap().code(), Some(78), "{arguments:?}");
        if want.is_empty() {
            // The stream of the unit, which has the identifier: an error of its priority.
            let told = fs::read_to_string(run.path().join("stderr")).unwrap();
            let is_error = |line: &str| line.starts_with("<3>--delay: ");
            assert!(told.lines().any(is_error), "{arguments:?}: {told}");
            fs::write(run.path().join("stderr"), "").unwrap();
            continue;
        }
        let identifier = format!("SYSLOG_IDENTIFIER={want}\n");
        loop {
            let mut record = [0; 4096];
            let length = socket.recv(&mut record).unwrap();
            let record = String::from_utf8_lossy(&record[..length]).into_owned();
            // An empty one is how the logger finds out that somebody is there.
            assert!(
                record.is_empty() || record.contains(&identifier),
                "{arguments:?}: {record}"
            );
            if record.contains("--delay: ") {
                break;
            }
        }
        assert_eq!(fs::read_to_string(run.path().join("stderr")).unwrap(), "");
    }
}

#[test]
fn check_without_options_checks_those_of_the_unit() {
    let etc = tempfile::tempdir().unwrap();
    let file = etc.path().join("stargrey");
    for (text, want) in [
        (&b"#OPTIONS=\"--bogus\"\n"[..], None),
        (
            b"OPTIONS=\"--bogus\"\nOPTIONS=\"--delay=120 --greylist-text='a b'\"\n",
            None,
        ),
        (
            b"# x\nOPTIONS=\"--delay=120 \\\n  --sync=never\"\n",
            Some(":2: --sync: "),
        ),
        (
            b"OPTIONS='--bogus'\n",
            Some(":1: unexpected argument '--bogus'"),
        ),
        (b"OPTIONS=--delay\n", Some(":1: ")),
        (
            b"export OPTIONS=--delay=1\n",
            Some(":1: \"export OPTIONS\" is not an assignment"),
        ),
        (b"OPTIONS=$MORE\n", Some(":1: unexpected argument '$MORE'")),
        (b"# x \\\n# y\nOPTIONS=--delay=1\n", None),
        (
            b"# x \\\nOPTIONS=--delay=1\n",
            Some(":2: systemd before version 254"),
        ),
        (b"# Gr\xf6\xdfe\nOPTIONS=--delay=1\n", None),
        (
            b"#\nOPTIONS=--delay=1 --greylist-text=gr\xf6\xdfer\n",
            Some(":2: this is not UTF-8: systemd ignores this file"),
        ),
        (
            b"OPTIONS=--bogus\nOTHER=\xf6\n",
            Some(":2: this is not UTF-8: systemd ignores this file"),
        ),
        (
            b"# \0\nOPTIONS=--bogus\n",
            Some(": there is a NUL byte in it"),
        ),
    ] {
        fs::write(&file, text).unwrap();
        let mut command = with_directory(etc.path(), "/etc/default", &["--check"]);
        let output = command.output().unwrap();
        let said = stderr(&output);
        let place = want.map(|want| format!("/etc/default/stargrey{want}"));
        match place {
            Some(place) => assert!(said.contains(&place), "{}: {said}", text.escape_ascii()),
            None => assert!(
                !said.contains("/etc/default/stargrey"),
                "{}: {said}",
                text.escape_ascii()
            ),
        }
        assert_eq!(
            output.status.code(),
            Some(if want.is_some() { 78 } else { 0 }),
            "{said}"
        );
    }
    fs::remove_file(&file).unwrap();
    let output = with_directory(etc.path(), "/etc/default", &["--check"]).output();
    let said = stderr(&output.unwrap());
    let warning = "warning: neither /etc/default/stargrey nor /etc/sysconfig/stargrey exists";
    assert!(said.starts_with(warning), "{said}");
}

#[test]
fn a_word_instead_of_options_is_refused() {
    let output = stargreyd(&["--check", "options"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("unexpected argument 'options'"));
}

#[test]
fn without_a_socket_it_does_not_start() {
    let output = stargreyd(&["--user=root", "--group=root"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("stargrey.socket"));
}

#[test]
fn what_the_system_refuses_has_codes_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let database = format!("--dbdir={}", directory.path().join("db").display());
    for (option, want) in [("--inet=192.0.2.1:10023", 71), ("--unix=/sys/stargrey", 77)] {
        let output = stargreyd(&[option, &database, "--user=root", "--group=root"]);
        assert_eq!(output.status.code(), Some(want), "{}", stderr(&output));
    }
}

#[test]
fn a_client_that_never_stops_asking_does_not_keep_the_daemon() {
    let mut daemon = Daemon::start(&["-q"]);
    let ask = b"request=smtpd_access_policy\nclient_address=unknown\nclient_name=x\nsender=a@b\nrecipient=c@d\n\n";
    let mut stream = UnixStream::connect(daemon.socket()).unwrap();
    let mut reading = stream.try_clone().unwrap();
    let asking = std::thread::spawn(move || while stream.write_all(ask).is_ok() {});
    let taking = std::thread::spawn(move || io::copy(&mut reading, &mut io::sink()));
    daemon.ask(&rcpt("x", "192.0.2.7", "a@b", "c@d"));
    assert!(daemon.stop().success());
    asking.join().unwrap();
    drop(taking.join().unwrap());
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (option, want) in [
        ("--help", "--greylist-text"),
        ("-h", "Usage:"),
        ("--version", "stargreyd "),
    ] {
        let output = stargreyd(&[option]);
        assert!(output.status.success(), "{option}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(want), "{option}: {text}");
    }
}

#[test]
fn a_user_that_does_not_exist_is_named() {
    let output = stargreyd(&["--unix=/nonexistent/s", "--user=nosuchuser"]);
    let text = stderr(&output);
    if geteuid().is_root() {
        assert_eq!(output.status.code(), Some(78));
        assert!(
            text.contains("--user: \"nosuchuser\" does not exist"),
            "{text}"
        );
    } else {
        assert!(text.contains("--user: only root"), "{text}");
    }
}

#[test]
fn started_as_root_it_becomes_another_user_for_good() {
    require_root("only root can become another user");
    let mut daemon = Daemon::prepare();
    fs::set_permissions(daemon.path(), fs::Permissions::from_mode(0o777)).unwrap();
    daemon.run(&["--user=nobody", "--group=nogroup"]);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace()
            .skip(1)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(field("Uid:"), ["65534"; 4]);
    assert_eq!(field("Gid:"), ["65534"; 4]);
    assert_eq!(field("Groups:"), ["65534"]);
    assert_eq!(field("CapEff:"), ["0000000000000000"]);
    let answer = daemon.ask(&rcpt("x", "192.0.2.7", "a@b", "c@d"));
    assert!(answer.starts_with("DEFER_IF_PERMIT"));
}

#[test]
fn the_status_shows_figures_that_change() {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), 1_800_000_000);
    daemon.run(&[clock.option().as_str()]);
    daemon.wait_for("STATUS=0 requests: 0 greylisted, 0 passed; 0 triplets waiting, 0 passed, 0 clients auto-whitelisted");
    let request = rcpt("x", "192.0.2.7", "a@b", "c@d");
    daemon.ask(&request);
    daemon.wait_for("STATUS=1 request: 1 greylisted, 0 passed; 1 triplet waiting, 0 passed");
    clock.advance(300);
    assert!(
        daemon
            .ask(&request)
            .starts_with("PREPEND X-Greylist: delayed 300 seconds")
    );
    daemon.wait_for("STATUS=2 requests: 1 greylisted, 1 passed; 0 triplets waiting, 1 passed");
}

#[test]
fn the_watchdog_is_fed_and_the_end_is_announced() {
    let mut daemon = Daemon::prepare();
    let mut command = daemon.command();
    command.env("WATCHDOG_USEC", "300000");
    daemon.start_command(command);
    for _ in 0..3 {
        daemon.wait_for("WATCHDOG=1");
    }
    daemon.signal("TERM");
    daemon.wait_for("STOPPING=1");
    assert!(daemon.stopped().success());
}

#[test]
fn what_is_accepted_without_effect_is_said_once() {
    let mut daemon = Daemon::start(&["-d", "--pidfile=/run/x.pid", "--lookup-by-subnet"]);
    daemon.stop();
    for option in ["--daemonize: ", "--pidfile: ", "--lookup-by-subnet: "] {
        assert_eq!(daemon.log().matches(option).count(), 1, "{option}");
    }
}

#[test]
fn the_log_line_is_postgreys() {
    let mut daemon = Daemon::prepare();
    fs::write(daemon.path().join("whitelist_clients"), "good.example\n").unwrap();
    let clock = TestClock::at(daemon.path(), 1_800_000_000);
    daemon.run(&[clock.option().as_str(), "--auto-whitelist-clients=1"]);
    let request = rcpt("x.example", "192.0.2.7", "a@b", "c@d");
    daemon.ask(&request);
    clock.advance(100);
    daemon.ask(&request);
    clock.advance(300);
    daemon.ask(&request);
    daemon.ask(&rcpt("x.example", "192.0.2.7", "", "other@d"));
    let mut queued = rcpt("mx.good.example", "192.0.2.8", "a@b", "c@d");
    queued.retain(|(name, _)| *name != "queue_id");
    queued.push(("queue_id", "4ABC"));
    daemon.ask(&queued);
    daemon.stop();
    let log = daemon.log();
    for line in [
        "action=greylist, reason=new, client_name=x.example, client_address=192.0.2.7, sender=a@b, recipient=c@d",
        "action=greylist, reason=early-retry (200s missing), client_name=x.example, client_address=192.0.2.7, sender=a@b, recipient=c@d",
        "action=pass, reason=triplet found, delay=400, client_name=x.example, client_address=192.0.2.7, sender=a@b, recipient=c@d",
        "whitelisted: x.example[192.0.2.7]",
        "action=pass, reason=client AWL, client_name=x.example, client_address=192.0.2.7, recipient=other@d",
        "4ABC: action=pass, reason=client whitelist, client_name=mx.good.example, client_address=192.0.2.8, sender=a@b, recipient=c@d",
    ] {
        let wanted = format!("stargrey: {line}");
        assert!(log.lines().any(|logged| logged == wanted), "{line}\n{log}");
    }
}

#[test]
fn an_address_cannot_look_like_another_field_of_the_line() {
    let mut daemon = Daemon::start(&[] as &[&str]);
    let sender = "a b,action=pass, reason=x\t\u{3000}";
    daemon.ask(&rcpt("x.example", "192.0.2.7", sender, "\"c d\"@e"));
    daemon.stop();
    daemon.expect_line(
        "stargrey: action=greylist, reason=new, client_name=x.example, client_address=192.0.2.7,",
        "7, sender=a\\x20b\\x2caction=pass\\x2c\\x20reason=x\\x09\\xe3\\x80\\x80, recipient=\"c\\x20d\"@e",
    );
}

#[test]
fn quiet_leaves_out_the_decisions_and_nothing_else() {
    let mut daemon = Daemon::prepare();
    daemon.run(&["-q", "-v"]);
    daemon.ask(&rcpt("x", "192.0.2.7", "a@b", "c@d"));
    daemon.stop();
    assert!(!daemon.log().contains("action="), "{}", daemon.log());
    assert!(daemon.log().contains("is ready"));
}
