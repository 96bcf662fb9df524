//! DNS lists: the daemon and a real list server, rbldnsd.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::bus::OnBus;
use crate::support::network::Network;
use crate::support::{Daemon, TestClock, rcpt};

/// Where Debian's package puts it.
const RBLDNSD: &str = "/usr/sbin/rbldnsd";

const START: u64 = 1_800_000_000;
const GREYLISTED: &str = "DEFER_IF_PERMIT 4.2.0 Greylisted, please try again in 300 seconds";

/// How often it is queried, [`PAUSE`] apart, before the test fails.
const LOOKS: u32 = 3000;

/// How long a reply is waited for.
const PAUSE: Duration = Duration::from_millis(10);

/// The zones of the tests, each a data set of rbldnsd and its lines.
pub(crate) const ZONES: &[(&str, &str, &str)] = &[
    (
        "bad.example",
        "ip4set",
        ":127.0.0.2:Listed\n192.0.2.2\n192.0.2.3\n192.0.2.4 :127.0.0.10:\n",
    ),
    (
        "good.example",
        "ip4set",
        ":127.0.9.2:Known\n192.0.2.3\n192.0.2.50\n",
    ),
    (
        "ill.example",
        "ip4set",
        ":127.255.255.254:Public resolver\n192.0.2.0/24\n",
    ),
    (
        "six.example",
        "ip6trie",
        ":127.0.0.2:Listed\n2001:db8::/32\n",
    ),
    // SPF records: of a pool, and of one that lets anybody send.
    (
        "pool.example.com",
        "generic",
        "@ TXT \"v=spf1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 -all\"\n",
    ),
    (
        "anybody.example.com",
        "generic",
        "@ TXT \"v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all\"\n",
    ),
    // Mail servers.
    (
        "mail.example.com",
        "generic",
        "@ MX 10 mx.mail.example.com\nmx A 198.51.100.7\n",
    ),
];

/// A list server on a port of its own; killed when dropped.
pub(crate) struct ListServer {
    child: Child,
    pub(crate) address: SocketAddr,
    _directory: TempDir,
}

impl ListServer {
    /// Starts one with the zones of the tests.
    pub(crate) fn start() -> Self {
        Self::serving(ZONES)
    }

    /// Starts one with these zones.
    pub(crate) fn serving(zones: &[(&str, &str, &str)]) -> Self {
        let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let server = Self::run(Command::new(RBLDNSD), address, zones);
        server.await_reply();
        server
    }

    /// Starts one with these zones that is the name server of a network.
    pub(crate) fn within(network: &Network, zones: &[(&str, &str, &str)]) -> Self {
        let address = (Ipv4Addr::LOCALHOST, 53).into();
        let server = Self::run(network.command(RBLDNSD), address, zones);
        network.inside(|| server.await_reply());
        server
    }

    /// Runs one by this command, to listen there.
    fn run(mut command: Command, address: SocketAddr, zones: &[(&str, &str, &str)]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("stargrey-rbldnsd-")
            .tempdir()
            .unwrap();
        // It gives up root's privileges before it reads the files.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        command
            .arg("-n")
            .arg("-b")
            .arg(format!("{}/{}", address.ip(), address.port()));
        command
            .arg("-w")
            .arg(directory.path())
            .args(["-u", "nobody:nogroup"]);
        for (zone, kind, lines) in zones {
            let file = directory.path().join(zone);
            fs::write(&file, lines).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
            command.arg(format!("{zone}:{kind}:{zone}"));
        }
        let quiet = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = quiet
            .spawn()
            .expect("rbldnsd is installed (make check-deps)");
        Self {
            child,
            address,
            _directory: directory,
        }
    }

    /// Waits until it replies: a query that nobody has read yet is repeated when the socket's time is over.
    fn await_reply(&self) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(PAUSE)).unwrap();
        // A header with one question: "bad.example", A, IN.
        let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03bad\x07example\x00\x00\x01\x00\x01";
        let is_up = (0..LOOKS).any(|_| {
            socket.send_to(query, self.address).unwrap();
            socket.recv(&mut [0; 512]).is_ok()
        });
        assert!(is_up, "rbldnsd does not reply");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for ListServer {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A daemon that asks this server.
fn start(server: SocketAddr, sites: &str, options: &[&str]) -> (Daemon, TestClock) {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    let mut all = vec![
        clock.option(),
        format!("--dnsbl-sites={sites}"),
        format!("--resolver={server}"),
    ];
    all.extend(options.iter().map(ToString::to_string));
    daemon.run(&all);
    (daemon, clock)
}

fn ask(daemon: &Daemon, address: &str, recipient: &str) -> String {
    daemon.ask(&rcpt(
        "mx.example.net",
        address,
        "eve@sender.example",
        recipient,
    ))
}

/// The end of a line of the log where a list has replied with an error code.
const ILL: &str = ", dnsbl_silent=1";

#[test]
fn only_clients_whose_weights_reach_the_threshold_are_greylisted() {
    let server = ListServer::start();
    let sites = "bad.example=127.0.0.[2..3]*2, bad.example=127.0.0.10, good.example=127.0.[0..255].[1..3]*-2, \
                 six.example*2, ill.example*9";
    let (daemon, clock) = start(server.address, sites, &["--dnsbl-threshold=2"]);
    let cases = [
        ("192.0.2.1", "DUNNO", "not-suspicious", ILL),
        ("192.0.2.2", GREYLISTED, "new", ", dnsbl=2, dnsbl_silent=1"),
        ("192.0.2.3", "DUNNO", "not-suspicious", ILL),
        ("192.0.2.4", "DUNNO", "not-suspicious", ILL),
        ("2001:db8::7", GREYLISTED, "new", ", dnsbl=2"),
        ("2001:4860::7", "DUNNO", "not-suspicious", ""),
        ("10.1.2.3", "DUNNO", "not-suspicious", ""),
    ];
    for (address, want, _, _) in cases {
        assert_eq!(ask(&daemon, address, "joe@x.example"), want, "{address}");
    }
    // The reply does not wait for the log.
    daemon.log_until(|log| log.matches("action=").count() == cases.len());
    let log = daemon.log();
    for (address, _, reason, end) in cases {
        let line = log
            .lines()
            .find(|line| line.contains(&format!("client_address={address},")));
        let line = line.unwrap_or_else(|| panic!("{address}: {log}"));
        assert!(
            line.contains(&format!("reason={}", reason.replace('-', " "))),
            "{line}"
        );
        assert!(
            line.ends_with(&format!("recipient=joe@x.example{end}")),
            "{line}"
        );
    }
    clock.advance(300);
    let answer = ask(&daemon, "192.0.2.2", "joe@x.example");
    assert!(
        answer.starts_with("PREPEND X-Greylist: delayed 300 seconds"),
        "{answer}"
    );
}

#[test]
fn explain_and_statistics_say_what_each_list_has_said() {
    let server = ListServer::start();
    let resolver = format!("--resolver={}", server.address);
    let on = OnBus::start(&[
        "--dnsbl-sites=bad.example*3 good.example*-1 ill.example",
        &resolver,
    ]);
    let ask = |look: &[&str]| {
        let question = [
            "explain",
            "mx.example.net[192.0.2.2]",
            "a@b.example",
            "c@d.example",
        ];
        let (code, value) = on.ctl_json(&[&question, look].concat());
        assert_eq!(code, 0);
        let steps = value["steps"].as_array().unwrap();
        let lists = steps
            .iter()
            .filter(|step| step["step"].as_str().unwrap().starts_with("dns-"));
        let texts: Vec<String> = lists
            .map(|step| {
                format!(
                    "{}: {}",
                    step["result"].as_str().unwrap(),
                    step["text"].as_str().unwrap()
                )
            })
            .collect();
        texts
    };
    let asked = [
        "match: bad.example: 127.0.0.2, weight 3",
        "no-match: good.example: not listed",
        "unknown: ill.example: error code 127.255.255.254",
        "suspicious: the weights add up to 3; suspicious from 1; without a reply: 1 list",
    ];
    let not_asked = [
        "unknown: bad.example: no reply, or not queried",
        "unknown: good.example: no reply, or not queried",
        "unknown: ill.example: no reply, or not queried",
        "no-match: the weights add up to 0; suspicious from 1; without a reply: 3 lists",
    ];
    assert_eq!(ask(&["--no-lookup"]), not_asked);
    assert_eq!(ask(&["--name=mx.example.net"]), asked);
    assert_eq!(ask(&["--no-lookup"]), asked, "cached");

    let counted = || on.ctl_json(&["statistics"]).1["dns_lists"].clone();
    assert_eq!(counted(), serde_json::json!({}), "explain counts nothing");
    let attributes = rcpt("mx.example.net", "192.0.2.2", "a@b.example", "c@d.example");
    assert_eq!(on.daemon.ask(&attributes), GREYLISTED);
    let (code, status) = on.ctl_json(&["status"]);
    let replies =
        serde_json::json!({"bad.example": "ok", "good.example": "ok", "ill.example": "error"});
    assert_eq!((code, &status["dns_lists"]), (1, &replies));
    let want = serde_json::json!({
        "bad.example:alone": 1, "bad.example:asked": 1, "bad.example:decided": 1, "bad.example:listed": 1,
        "good.example:asked": 1, "ill.example:asked": 1, "ill.example:error": 1,
    });
    assert_eq!(counted(), want);
    // Explain has looked up three, and found them in the cache the second time.
    let lookups = on.ctl_json(&["statistics"]).1["lookups"].clone();
    let want = serde_json::json!({"cached": 3, "not_sent": 0, "sent": 3, "unanswered": 0});
    assert_eq!(lookups, want);
    let (_, text) = on.ctl(&["status"]);
    let line = "Lookups: 3 sent (0 unanswered), 3 found in the cache (3 entries)";
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(line), "{text}");
}

#[test]
fn while_the_lists_are_silent_mail_flows_within_the_deadline_and_afterwards_they_are_asked_again() {
    let server = ListServer::start();
    let sites = "bad.example";
    let (mut daemon, clock) = start(server.address, sites, &["--lookup-timeout=1"]);
    assert_eq!(ask(&daemon, "192.0.2.2", "joe@x.example"), GREYLISTED);

    server.signal("-STOP");
    clock.advance(300);
    // The cache is emptied.
    daemon.reload();
    let answer = ask(&daemon, "192.0.2.2", "joe@x.example");
    assert!(
        answer.starts_with("PREPEND"),
        "a retry needs no lookup: {answer}"
    );
    assert_eq!(ask(&daemon, "192.0.2.4", "jim@x.example"), "DUNNO");

    server.signal("-CONT");
    assert_eq!(ask(&daemon, "192.0.2.3", "jim@x.example"), GREYLISTED);
}

#[test]
fn allowlists_alone_exempt_from_plain_greylisting() {
    let server = ListServer::start();
    let options = ["--dnsbl-allowlist-threshold=-1"];
    let (daemon, _clock) = start(server.address, "good.example*-2", &options);
    assert_eq!(ask(&daemon, "192.0.2.50", "joe@x.example"), "DUNNO");
    assert_eq!(ask(&daemon, "192.0.2.2", "joe@x.example"), GREYLISTED);
    assert!(!daemon.log().contains("--dnsbl"), "{}", daemon.log());
}

#[test]
fn a_replay_queries_dns_only_if_it_is_asked_to_and_says_of_when_the_lists_are() {
    let server = ListServer::start();
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("mail.log");
    let mails = [
        ("A1", "192.0.2.1"),
        ("A2", "192.0.2.2"),
        ("A3", "192.0.2.3"),
    ];
    let lines = mails.map(|(id, address)| {
        let [smtpd, qmgr, local] = ["smtpd", "qmgr", "local"]
            .map(|program| format!("2026-11-01T10:00:00Z mx postfix/{program}[1]: {id}: "));
        format!(
            "{smtpd}client=mx.example.net[{address}]\n{qmgr}from=<eve@sender.example>, size=1, nrcpt=1 (queue active)\n\
             {local}to=<joe@x.example>, relay=local, delay=1, dsn=2.0.0, status=sent (delivered)\n{qmgr}removed\n"
        )
    });
    fs::write(&log, lines.concat()).unwrap();
    let replay = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_stargreyd"))
            .args(["--user=root", "--group=root"])
            .args(
                ["client", "recipient", "sender"]
                    .map(|kind| format!("--whitelist-{kind}s=/dev/null")),
            )
            .args(["--dnsbl-sites=bad.example", "--spf"])
            .arg(format!("--resolver={}", server.address))
            .arg(format!("--replay={}", log.display()))
            .args(more)
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let row = |report: &str, label: &str| {
        let line = report.lines().find_map(|line| line.strip_prefix(label));
        line.map(|rest| rest.trim().to_owned())
    };
    let today = "DNS was queried: lists and SPF records are as they are today.\n";
    let asked = replay(&["--replay-dns"]);
    assert!(
        asked.contains(today) && !asked.contains("not judged"),
        "{asked}"
    );
    assert_eq!(
        row(&asked, "Deferred by dns-lists").as_deref(),
        Some("2"),
        "{asked}"
    );
    assert_eq!(
        row(&asked, "Mails deferred").as_deref(),
        Some("2"),
        "{asked}"
    );
    let unasked = replay(&[]);
    let want = "2 rules were not judged:\n  --dnsbl-sites: DNS is not queried; --replay-dns does so, as it is today\n  \
                --spf: ";
    assert!(
        unasked.contains(want) && !unasked.contains(today),
        "{unasked}"
    );
    assert_eq!(
        row(&unasked, "Mails deferred").as_deref(),
        Some("0"),
        "{unasked}"
    );
}

#[test]
fn clients_that_reach_the_reject_threshold_are_refused_with_the_list_and_its_text() {
    let server = ListServer::start();
    let options = ["--dnsbl-threshold=2", "--dnsbl-reject-threshold=3"];
    let (daemon, _clock) = start(
        server.address,
        "bad.example=127.0.0.2*3 bad.example=127.0.0.10*2 six.example*3 good.example*-1",
        &options,
    );
    let refused = |address: &str, list: &str| {
        format!("550 5.7.1 Client host [{address}] blocked using {list}; Listed")
    };
    let cases = [
        ("192.0.2.2", refused("192.0.2.2", "bad.example")),
        ("2001:db8::7", refused("2001:db8::7", "six.example")),
        // Known to be good: a weight less.
        ("192.0.2.3", GREYLISTED.to_owned()),
        ("192.0.2.4", GREYLISTED.to_owned()),
        ("192.0.2.1", "DUNNO".to_owned()),
    ];
    for (address, want) in &cases {
        for recipient in ["joe@x.example", "jim@x.example", "joe@x.example"] {
            assert_eq!(ask(&daemon, address, recipient), *want, "{address}");
        }
    }
    let line = "action=reject, reason=DNS blocklist, client_name=mx.example.net, client_address=192.0.2.2,";
    daemon.log_until(|log| log.matches(line).count() == 3);
    assert!(daemon.log().contains("recipient=jim@x.example, dnsbl=3"));
}

#[test]
fn known_mail_is_not_refused() {
    let server = ListServer::start();
    let (mut daemon, clock) = start(server.address, "good.example", &[]);
    assert_eq!(ask(&daemon, "192.0.2.50", "joe@x.example"), GREYLISTED);
    clock.advance(300);
    assert!(ask(&daemon, "192.0.2.50", "joe@x.example").starts_with("PREPEND"));
    daemon.stop();
    daemon.run(&[
        clock.option(),
        "--dnsbl-sites=good.example".to_owned(),
        "--dnsbl-reject-threshold=1".to_owned(),
        format!("--resolver={}", server.address),
    ]);
    assert_eq!(ask(&daemon, "192.0.2.50", "joe@x.example"), "DUNNO");
    assert!(ask(&daemon, "192.0.2.50", "jim@x.example").starts_with("550"));
}

/// What a retry is told that comes five minutes after the first attempt, each of these by name and address.
fn retried(options: &[&str], sender: &str, [first, retry]: [(&str, &str); 2]) -> String {
    let server = ListServer::start();
    let (daemon, clock) = start(server.address, "empty.example", options);
    let ask =
        |(name, address): (&str, &str)| daemon.ask(&rcpt(name, address, sender, "joe@x.example"));
    assert_eq!(ask(first), GREYLISTED, "{first:?}");
    clock.advance(300);
    ask(retry)
}

#[test]
fn spf_of_a_bounce_is_explained_by_the_helo_name() {
    let server = ListServer::start();
    let resolver = format!("--resolver={}", server.address);
    let on = OnBus::start(&["--s25r", "--spf-excuses", &resolver]);
    let client = "1-2-3-4.example.net[198.51.100.7]";
    let asked = ["explain", client, "<>", "joe@x.example"];
    for (helo, want) in [
        (None, "deferred"),
        (Some("--helo=anybody.example.com"), "deferred"),
        (Some("--helo=pool.example.com"), "passes"),
    ] {
        let mut asked = asked.to_vec();
        asked.extend(helo);
        let (_, text) = on.ctl(&asked);
        let line = format!("Next attempt: {want}\n");
        assert!(text.contains(&line), "{helo:?}: {text}");
    }
}

#[test]
fn a_pool_passes_from_another_network_and_an_end_users_line_does_not() {
    let options = ["--lookup-by-domain", "--spf", "--unmatched=greylist"];
    let (pool, other) = ("a@pool.example.com", "a@anybody.example.com");
    let mail = |address| ("mx.sender.example.net", address);
    let (near, far) = ("198.51.100.7", "203.0.113.7");
    let cases = [
        (
            "the same domain",
            other,
            [
                ("mx1.big.example.co.jp", near),
                ("mx2.big.example.co.jp", far),
            ],
            true,
        ),
        (
            "another domain, and SPF passes",
            pool,
            [mail(near), ("out.white.example.org", far)],
            true,
        ),
        (
            "another domain, and anybody passes",
            other,
            [mail(near), ("out.white.example.org", far)],
            false,
        ),
        (
            "lines of one provider",
            other,
            [
                ("p1-2-3.dyn.isp.example.net", near),
                ("p9-8-7.dyn.isp.example.net", far),
            ],
            false,
        ),
        (
            "the name not found at first",
            other,
            [("unknown", near), mail("198.51.100.8")],
            true,
        ),
        (
            "the name not found the second time",
            other,
            [mail(near), ("unknown", "198.51.100.8")],
            true,
        ),
        (
            "no name, another network",
            other,
            [("unknown", near), ("unknown", far)],
            false,
        ),
    ];
    for (what, sender, attempts, passes) in cases {
        let reply = retried(&options, sender, attempts);
        assert_eq!(reply.starts_with("PREPEND"), passes, "{what}: {reply}");
    }
}

#[test]
fn a_bad_option_is_named() {
    let wrong = [
        (
            "--dnsbl-sites=a..b",
            "--dnsbl-sites: \"a..b\": not a domain name",
        ),
        (
            "--dnsbl-sites=a.example=127.0.0",
            "--dnsbl-sites: \"a.example=127.0.0\": the filter must be like",
        ),
        (
            "--dnsbl-sites=a.example*x",
            "--dnsbl-sites: \"a.example*x\": the weight must be an integer",
        ),
        (
            "--dnsbl-threshold=0",
            "--dnsbl-threshold: \"0\" is not an integer from 1",
        ),
        (
            "--dnsbl-reject-threshold=0",
            "--dnsbl-reject-threshold: \"0\" is not an integer from 1",
        ),
        (
            "--lookup-timeout=6",
            "--lookup-timeout: \"6\" is not an integer from 1 to 5",
        ),
        (
            "--resolver=localhost",
            "--resolver: \"localhost\" is not an IP address",
        ),
    ];
    for (option, want) in wrong {
        let daemon = Daemon::prepare();
        let mut command = daemon.command();
        let status = command.args([option, "--check"]).status().unwrap();
        assert_eq!(status.code(), Some(78), "{option}");
        assert!(
            daemon.log().contains(&format!("error: {want}")),
            "{option}: {}",
            daemon.log()
        );
    }
}

#[test]
fn an_option_without_effect_is_named() {
    let odd = [
        (
            ["--dnsbl-threshold=2", ""],
            "--dnsbl-threshold: has no effect without --dnsbl-sites",
        ),
        (
            ["--lookup-timeout=2", ""],
            "--lookup-timeout: has no effect without --dnsbl-sites",
        ),
        (
            ["--resolver=::1", ""],
            "--resolver: has no effect without --dnsbl-sites",
        ),
        (
            ["--spf", ""],
            "--spf: has no effect without --lookup-by-domain or --spf-excuses",
        ),
        (
            ["--spf-excuses", ""],
            "--spf-excuses: has no effect without --s25r",
        ),
        (
            ["--dnsbl-sites=a.example", "--dnsbl-threshold=2"],
            "no client will ever reach it",
        ),
        (
            ["--dnsbl-sites=a.example", "--dnsbl-reject-threshold=2"],
            "--dnsbl-reject-threshold: is more than the sum of the positive weights",
        ),
        (
            [
                "--dnsbl-sites=a.example*-2",
                "--dnsbl-allowlist-threshold=-3",
            ],
            "--dnsbl-allowlist-threshold: is below",
        ),
        (
            ["--dnsbl-sites=a.example", "--resolver=::1:53"],
            "warning: --resolver: ::1:53 is an address without a port",
        ),
        (
            ["--dnsbl-sites=a.example", "--unmatched=greylist"],
            "has no effect with --unmatched=greylist",
        ),
    ];
    for (options, want) in odd {
        let daemon = Daemon::prepare();
        let mut command = daemon.command();
        let given = options.into_iter().filter(|option| !option.is_empty());
        let status = command.args(given).arg("--check").status().unwrap();
        assert_eq!(status.code(), Some(0), "{options:?}");
        assert!(daemon.log().contains(want), "{options:?}: {}", daemon.log());
    }
}
