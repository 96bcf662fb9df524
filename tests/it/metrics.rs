//! Metrics: as promtool reads them, as Prometheus scrapes them, and as the examples use them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use stargrey::ctl::{clock, verbs};

use crate::bus::OnBus;
use crate::bus::harness::Bus;
use crate::ctl::said;
use crate::manual::source;
use crate::support::{Daemon, rcpt};

/// How long Prometheus may take to start and to scrape.
const PATIENCE: Duration = Duration::from_secs(30);

/// What strangers could send to be seen where they should not be.
const HOSTILE: &str = "evil\"} 1\\nstargrey_up";

/// A daemon with all that has metrics, and some requests. Nobody is there to answer what it asks.
fn daemon() -> OnBus {
    let daemon = Daemon::prepare();
    let at = |name: &str| daemon.path().join(name).display().to_string();
    let key = verbs::shared_key().unwrap().text;
    fs::write(at("secret"), key).unwrap();
    fs::set_permissions(at("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let milter = format!("--milter=unix:{}", at("milter"));
    let spamd = format!("--spamd=unix:{}", at("nobody"));
    let shared = format!("--shared=unix:{}", at("nobody"));
    let secret = format!("--shared-secret={}", at("secret"));
    let options = [
        &*milter,
        &*spamd,
        &*shared,
        &*secret,
        "--s25r",
        "--targrey",
        "--dnsbl-sites=list.example*2",
        "--resolver=127.0.0.1:9",
        "--lookup-timeout=1",
    ];
    let on = OnBus::start_prepared(daemon, &options);
    for (name, sender) in [
        ("220-139-165-188.dynamic.example.net", "a@b.example"),
        (HOSTILE, "evil\"}@b.example"),
        ("unknown", "{evil=\"1\"}"),
    ] {
        on.daemon.ask(&rcpt(name, "192.0.2.7", sender, "c@evil"));
    }
    on
}

/// The metrics as this format.
fn metrics(on: &OnBus, format: &str) -> String {
    let (code, text) = on.ctl(&["metrics", "--format", format]);
    assert_eq!(code, 0);
    text
}

/// The names of all samples, without their labels.
fn names(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect()
}

/// Runs promtool, which says nothing but what it found.
fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("promtool is there (package prometheus)");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let (_, stdout, stderr) = said(&output);
    (output.status.success(), stdout + &stderr)
}

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    let on = daemon();
    let text = metrics(&on, "prometheus");
    assert!(names(&text).len() > 15, "{text}");
    assert_eq!(
        promtool(&["check", "metrics"], &text),
        (true, String::new())
    );
    let untyped = text.replace("# HELP stargrey_up", "# nothing");
    assert!(!promtool(&["check", "metrics"], &untyped).0);
}

#[test]
fn nothing_that_a_client_sends_is_a_metric() {
    let on = daemon();
    for format in ["openmetrics", "prometheus"] {
        let text = metrics(&on, format);
        for foreign in ["evil", "b.example", "192.0.2", "dynamic"] {
            assert!(!text.contains(foreign), "{foreign}: {text}");
        }
        let total: u64 = text
            .lines()
            .filter_map(|line| line.strip_prefix("stargrey_requests_total{verdict="))
            .filter_map(|line| line.split(' ').nth(1)?.parse::<u64>().ok())
            .sum();
        assert_eq!(total, 3, "{text}");
    }
}

#[test]
fn a_daemon_that_does_not_run_is_down_and_is_not_started() {
    let directory = tempfile::tempdir().unwrap();
    // It would have systemd start the daemon for any call, and there is none to do so.
    let bus = Bus::start_activating(directory.path());
    let output = bus.ctl(&["metrics"]).output().unwrap();
    let down = "# TYPE stargrey_up gauge\n# HELP stargrey_up Whether stargreyd replies on the system bus.\nstargrey_up 0\n# EOF\n";
    assert_eq!(said(&output), (0, down.to_owned(), String::new()));
}

#[test]
fn without_a_bus_the_daemon_is_down_and_the_reason_is_said() {
    let output = Command::new(env!("CARGO_BIN_EXE_stargreyctl"))
        .arg("metrics")
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus")
        .output()
        .unwrap();
    let (code, text, reason) = said(&output);
    assert_eq!(code, 0);
    assert!(text.ends_with("stargrey_up 0\n# EOF\n"), "{text}");
    assert!(
        reason.starts_with("stargreyctl: cannot connect to the system bus"),
        "{reason}"
    );
}

/// A program that ends with its test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A port that nothing uses.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until there is a value.
pub(crate) fn until<T>(what: &str, mut value: impl FnMut() -> Option<T>) -> T {
    let begun = clock::steady();
    loop {
        if let Some(value) = value() {
            return value;
        }
        let waited = clock::steady().saturating_sub(begun);
        assert!(waited < PATIENCE, "{what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// The metrics behind a port, a process for each connection as the unit has it.
fn serve(on: &OnBus) -> (Ending, u16) {
    let port = free_port();
    let unit = source("systemd/stargrey-metrics@.service");
    let command = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=-/usr/bin/stargreyctl "))
        .expect("a command line");
    let child = Command::new("systemd-socket-activate")
        .args(["--accept", "--inetd", "-l", &format!("127.0.0.1:{port}")])
        .arg(format!(
            "--setenv=DBUS_SYSTEM_BUS_ADDRESS={}",
            on.bus.address()
        ))
        .arg(env!("CARGO_BIN_EXE_stargreyctl"))
        .args(command.split(' '))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("systemd-socket-activate is there (package systemd)");
    let child = Ending(child);
    until("the port opens", || {
        // A connection is a process: this one asks for what is not there.
        let reply = http(port, "GET / HTTP/1.1\r\n\r\n")?;
        reply.starts_with("HTTP/1.1 404 ").then_some(())
    });
    (child, port)
}

/// What is replied to these bytes, up to the end of the connection.
fn http(port: u16, request: &str) -> Option<String> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).ok()?;
    connection.write_all(request.as_bytes()).ok()?;
    let mut reply = String::new();
    connection.read_to_string(&mut reply).ok()?;
    Some(reply)
}

#[test]
fn prometheus_scrapes_the_socket() {
    let on = daemon();
    let (_served, port) = serve(&on);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let rules = format!(
        "{}/doc/examples/stargrey.rules.yml",
        env!("CARGO_MANIFEST_DIR")
    );
    let configuration = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{rules}']\n\
         scrape_configs: [{{job_name: stargrey, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    );
    fs::write(at("prometheus.yml"), configuration).unwrap();
    let own = free_port();
    let prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", at("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", at("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{own}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(at("log")).unwrap())
        .spawn();
    let _prometheus = Ending(prometheus.expect("prometheus is there (package prometheus)"));
    let query = |query: &str| -> Option<Value> {
        let request =
            format!("GET /api/v1/query?query={query} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        let reply = http(own, &request)?;
        let (_, body) = reply.split_once("\r\n\r\n")?;
        let result = &serde_json::from_str::<Value>(body).ok()?["data"]["result"];
        result.get(0).cloned()
    };
    let value = |name: &str| query(name).map(|sample| sample["value"][1].clone());
    let up = until("Prometheus has scraped", || value("stargrey_up"));
    assert_eq!(up, "1");
    assert_eq!(value("sum(stargrey_requests_total)").unwrap(), "3");
    assert_eq!(value("up").unwrap(), "1");
    let type_of = |name: &str| {
        let request = format!("GET /api/v1/metadata?metric={name} HTTP/1.0\r\n\r\n");
        http(own, &request).unwrap()
    };
    // In OpenMetrics the name of a counter has no suffix: that format was scraped.
    let counter = type_of("stargrey_requests");
    assert!(counter.contains("\"type\":\"counter\""), "{counter}");
    // The rules are read, and their metrics are those that are scraped.
    assert_eq!(on.ctl(&["pause"]).0, 0);
    let alert = "ALERTS{alertname=%22StargreyPaused%22}";
    let alert = until("an alert is pending", || query(alert));
    assert_eq!(alert["metric"]["alertstate"], "pending");
}

#[test]
fn the_port_replies_to_what_is_not_its_request() {
    let on = daemon();
    let (_served, port) = serve(&on);
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(8192));
    for (request, want) in [
        (
            "GET /metrics HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain;",
        ),
        ("POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "),
        ("\u{16}\u{3}\u{1}\n\n", "HTTP/1.1 400 "),
        (&*long, "HTTP/1.1 400 "),
    ] {
        let reply = http(port, request).unwrap();
        assert!(reply.starts_with(want), "{request}: {reply}");
    }
}

#[test]
fn the_example_rules_and_dashboard_name_metrics_that_exist() {
    let path = format!(
        "{}/doc/examples/stargrey.rules.yml",
        env!("CARGO_MANIFEST_DIR")
    );
    let (is_good, report) = promtool(&["check", "rules", &path], "");
    assert!(is_good && report.contains("SUCCESS: "), "{report}");

    let on = daemon();
    let text = metrics(&on, "openmetrics");
    let known = names(&text);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for file in ["stargrey.rules.yml", "stargrey-dashboard.json"] {
        let example = source(&format!("doc/examples/{file}"));
        let mut count = 0;
        for rest in example.split("stargrey_").skip(1) {
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let name = format!("stargrey_{}", &rest[..end]);
            assert!(known.contains(&*name), "{file}: {name}");
            count += 1;
        }
        assert!(count > 6, "{file}: {count}");
    }
    let dashboard: Value =
        serde_json::from_str(&source("doc/examples/stargrey-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 10, "{}", panels.len());
}
