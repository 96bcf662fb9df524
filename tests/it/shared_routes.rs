//! Ways to the server of shared records: TLS, with certificates that are made here, and sentinels with a failover.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use stargrey::service::clock::monotonic;
use tempfile::TempDir;

use crate::shared_records::{
    GREYLISTED, Redis, Site, free_port, is_sharing, last_state, options, wait_for,
};
use crate::support::{Daemon, rcpt, remark};

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .output()
        .expect("openssl is installed (make check-deps)");
    assert!(output.status.success(), "{arguments}: {output:?}");
}

/// Makes an authority, and a certificate of it for 127.0.0.1.
fn make_certificates(directory: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        directory,
        &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"),
    );
    openssl(
        directory,
        &format!("req {key} -keyout server.key -out server.csr -subj /CN=redis"),
    );
    fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        directory,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
    );
}

#[test]
fn a_server_with_tls_is_used_if_its_certificate_is_of_the_authority_and_not_otherwise() {
    let port = free_port();
    let redis = Redis::with(&|directory| {
        make_certificates(directory);
        let options = format!(
            "--tls-port {port} --tls-cert-file server.pem --tls-key-file server.key \
             --tls-ca-cert-file ca.pem --tls-auth-clients no"
        );
        options.split_whitespace().map(str::to_owned).collect()
    });
    let url = format!("rediss://127.0.0.1:{port}/0");
    let ca = redis.directory.path().join("ca.pem");
    let ca = format!("--shared-ca={}", ca.display());
    let site = Site::of(redis, &url, "", &[&ca]);
    assert!(site.ask(0, "ann@sender.example").starts_with(GREYLISTED));
    site.wait_for_keys(4);
    site.clock.advance(300);
    assert!(site.ask(1, "ann@sender.example").starts_with("PREPEND"));

    // Another authority, the system's, a name that the certificate does not have, and a file without a certificate.
    let other = tempfile::tempdir().unwrap();
    make_certificates(other.path());
    let other_ca = format!("--shared-ca={}", other.path().join("ca.pem").display());
    let none = format!("--shared-ca={}", other.path().join("names").display());
    let by_name = format!("rediss://localhost:{port}/0");
    let refused = "its certificate is refused";
    for (what, url, more, want) in [
        ("another authority", &url, vec![other_ca.as_str()], refused),
        ("the system's", &url, vec![], refused),
        ("another name", &by_name, vec![ca.as_str()], refused),
        (
            "no certificate",
            &url,
            vec![none.as_str()],
            "has no certificate (PEM)",
        ),
    ] {
        let host = Daemon::start(&options(url, &site.secret, &more));
        host.log_until(|log| last_state(log).is_some_and(|line| line.contains(want)));
        let mail = rcpt(
            "mx.sender.example",
            "203.0.113.7",
            "a@b.example",
            "joe@x.example",
        );
        assert!(host.ask(&mail).starts_with(GREYLISTED), "{what}");
    }
}

/// A sentinel; killed when dropped.
struct Sentinel {
    _directory: TempDir,
    port: u16,
    child: Child,
}

impl Sentinel {
    /// A sentinel of the primary on this port.
    fn of(primary: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let file = directory.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor mail 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds mail 500\nsentinel failover-timeout mail 3000\n"
        );
        fs::write(&file, text).unwrap();
        let child = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed (make check-deps)");
        let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        wait_for("the sentinel", listens);
        Self {
            _directory: directory,
            port,
            child,
        }
    }

    /// The output of redis-cli.
    fn cli(&self, arguments: &str) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(arguments.split_whitespace())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // It may have ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A replica of a server, and the sentinels that let it take over.
pub(crate) struct Failover {
    pub(crate) replica: Redis,
    sentinels: Vec<Sentinel>,
}

impl Failover {
    /// The URL of the site.
    pub(crate) fn url(&self) -> String {
        let places = self.sentinels.iter();
        let places = places.map(|sentinel| format!("127.0.0.1:{}", sentinel.port));
        let places: Vec<String> = places.collect();
        format!("redis+sentinel://{}/mail/0", places.join(","))
    }
}

/// Starts a replica and three sentinels of a server; returns when they know each other.
pub(crate) fn failover(primary: &Redis) -> Failover {
    let of_primary = primary.port.to_string();
    let replica =
        Redis::with(&|_| vec!["--replicaof".to_owned(), format!("127.0.0.1 {of_primary}")]);
    wait_for("the replica", || {
        replica
            .cli(&["info", "replication"])
            .contains("master_link_status:up")
    });
    let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::of(primary.port)).collect();
    wait_for("the sentinels know each other and the replica", || {
        sentinels.iter().all(|sentinel| {
            let known = sentinel.cli("sentinel master mail");
            let value = |name: &str| {
                let mut lines = known.lines().skip_while(|line| *line != name);
                lines.nth(1).map(str::to_owned)
            };
            value("num-other-sentinels").as_deref() == Some("2")
                && value("num-slaves").as_deref() == Some("1")
        })
    });
    Failover { replica, sentinels }
}

#[test]
fn after_a_failover_under_load_the_new_primary_has_all_records() {
    let primary = Redis::with(&|_| Vec::new());
    let failover = failover(&primary);
    let url = failover.url();
    let replica = &failover.replica;
    let mut site = Site::of(primary, &url, "", &[]);

    let sender = |n: usize| format!("n{n}x@sender.example");
    let mut attempts = 0;
    let mut longest = Duration::ZERO;
    let mut attempt = |site: &Site| {
        let begun = monotonic();
        let answer = site.ask(0, &sender(attempts));
        longest = longest.max(monotonic().saturating_sub(begun));
        assert!(answer.starts_with(GREYLISTED), "{answer}");
        attempts += 1;
        attempts
    };
    while attempt(&site) < 500 {}
    site.redis.kill();
    let is_primary = || replica.cli(&["role"]).starts_with("master");
    let begun = monotonic();
    while !is_primary() {
        attempt(&site);
        assert!(monotonic().saturating_sub(begun) < Duration::from_secs(30));
    }
    let failover = monotonic().saturating_sub(begun);
    // It may have come back already.
    site.hosts[0].log_until(|log| log.contains("are not shared with"));
    site.hosts.iter().for_each(is_sharing);
    while attempt(&site) % 100 != 0 {}
    let records = || -> usize { replica.cli(&["dbsize"]).trim().parse().unwrap() };
    let at_first = records();
    wait_for("all records", || records() >= attempts + 3);
    site.clock.advance(300);
    let lost = (0..attempts).filter(|n| !site.ask(1, &sender(*n)).starts_with("PREPEND"));
    assert_eq!(lost.count(), 0);
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    remark(&format!(
        "failover: a new primary after {failover:.1?}; {attempts} records, {} of them sent after it; \
         the longest request {longest:.0?}",
        (attempts + 3).saturating_sub(at_first)
    ));
}
