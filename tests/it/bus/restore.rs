//! A backup put in place of the database while mail comes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::OnBus;
use super::harness::NOBODY;
use super::records::started;
use crate::ctl::said;
use crate::support::{Daemon, TestClock, nth_request, rcpt};

/// What `stargreyctl` ends with and says to standard error.
fn refused(on: &OnBus, file: &Path) -> (i32, String) {
    let output = on.bus.ctl(&["restore", file.to_str().unwrap()]).output();
    let (code, stdout, stderr) = said(&output.unwrap());
    assert_eq!(stdout, "");
    (code, stderr)
}

/// The path of a file in the directory of the database.
fn database(on: &OnBus, name: &str) -> PathBuf {
    on.daemon.path().join("db").join(name)
}

/// Takes a backup into a file of this name.
fn backup(on: &OnBus, name: &str) -> PathBuf {
    let file = on.daemon.path().join(name);
    let (code, said) = on.ctl(&["backup", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    file
}

/// The senders of all triplets.
fn senders(on: &OnBus) -> Vec<String> {
    let (_, listed) = on.ctl_json(&["pending"]);
    let all = listed.as_array().unwrap().iter();
    let mut all: Vec<_> = all
        .map(|row| row["sender"].as_str().unwrap().to_owned())
        .collect();
    all.sort_unstable();
    all
}

/// A stranger's request with this sender.
fn from(sender: &str) -> Vec<(&'static str, &str)> {
    rcpt("x", "192.0.2.7", sender, "joe@example.net")
}

#[test]
fn a_restored_backup_is_in_force_at_once_while_mail_goes_on() {
    let (on, clock) = started(&["--auto-whitelist-clients=1"]);
    on.daemon.ask(&from("a@a.example"));
    assert_eq!(on.ctl(&["allow", "client", "kept.example"]).0, 0);
    let file = backup(&on, "copy");

    // From here on all is lost: a passed triplet, its client, an entry, a pause, an answer to a message.
    clock.advance(300);
    let known = from("a@a.example");
    assert!(on.daemon.ask(&known).starts_with("PREPEND X-Greylist"));
    on.daemon.ask(&from("b@b.example"));
    let told_before = [from("c@c.example"), vec![("instance", "1a2b.3")]].concat();
    on.daemon.ask(&told_before);
    let other = nth_request(7);
    assert_eq!(on.ctl(&["remove", "client", "kept.example"]).0, 0);
    assert_eq!(on.ctl(&["allow", "client", "lost.example"]).0, 0);
    assert_eq!(on.ctl_json(&["status"]).1["auto_whitelisted"], 1);
    assert_eq!(on.ctl(&["pause"]).0, 0);

    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut client = on.daemon.connect();
            let mut count = 0_u64;
            while !is_over.load(Ordering::Relaxed) || count == 0 {
                assert_ne!(client.ask(&other), "", "every request has an answer");
                count += 1;
            }
        });
        let (code, told) = on.ctl(&["restore", file.to_str().unwrap()]);
        let want = format!(
            "The database was restored from {}. The old one is data.mdb.before-restore in the same directory.\n",
            file.display()
        );
        assert_eq!((code, told), (0, want));
        is_over.store(true, Ordering::Relaxed);
        asking.join().unwrap();
    });

    let mut kept = senders(&on);
    kept.retain(|sender| sender.contains(".example") && sender.len() == "a@a.example".len());
    assert_eq!(kept, ["a@a.example"]);
    // What the message was told is forgotten, so that the record is made again.
    on.daemon.ask(&told_before);
    assert!(senders(&on).contains(&"c@c.example".to_owned()));
    let (_, status) = on.ctl_json(&["status"]);
    for (key, want) in [
        ("auto_whitelisted", 0.into()),
        ("paused", false.into()),
        ("passed", 0.into()),
        ("store_state", serde_json::Value::from("ok")),
    ] {
        assert_eq!(status[key], want, "{key}: {status}");
    }
    let (_, listed) = on.ctl_json(&["list", "client"]);
    let added: Vec<_> = listed.as_array().unwrap().iter().collect();
    let added = added.iter().filter(|entry| entry["source"] == "bus");
    let added: Vec<_> = added.map(|entry| &entry["pattern"]).collect();
    assert_eq!(added, ["kept.example"]);
    assert!(database(&on, "data.mdb.before-restore").exists());
    assert!(!database(&on, "restore.new").exists());
    on.expect_restored();

    // The daemon goes on with it, and has it after a restart.
    assert!(on.daemon.ask(&known).starts_with("PREPEND X-Greylist"));
    let mut on = on;
    on.kill_and_start_again();
    assert_eq!(on.ctl_json(&["status"]).1["auto_whitelisted"], 1);
    assert!(!senders(&on).contains(&"b@b.example".to_owned()));
}

impl OnBus {
    /// The log names who has restored a backup.
    fn expect_restored(&self) {
        let line = "uid 0 has restored a backup: ";
        self.daemon.log_until(|log| log.contains(line));
    }
}

/// A backup of a daemon with these options that has seen one request.
fn backup_of(options: &[&str]) -> (OnBus, PathBuf) {
    let (on, _clock) = started(options);
    on.daemon.ask(&from("a@a.example"));
    let file = backup(&on, "copy");
    (on, file)
}

/// How a file of something else is refused.
const FOREIGN: &str = "it is not a database of stargrey";

#[test]
fn what_is_no_backup_of_this_database_is_refused_and_changes_nothing() {
    let (on, clock) = started(&["--privacy"]);
    let request = from("a@a.example");
    on.daemon.ask(&request);
    let good = fs::read(backup(&on, "copy")).unwrap();
    let later = {
        let mut bytes = good.clone();
        let format = [&b"format"[..], &3_u32.to_be_bytes()].concat();
        let at: Vec<_> = (0..bytes.len() - format.len())
            .filter(|at| bytes[*at..].starts_with(&format))
            .collect();
        assert!(!at.is_empty(), "the format is in the file");
        for at in at {
            bytes[at + format.len() - 1] = 9;
        }
        bytes
    };
    let damaged = [&good[..8192], &vec![0; good.len() - 8192]].concat();
    let read = |(_on, file): (OnBus, PathBuf)| fs::read(file).unwrap();
    for (name, bytes, want) in [
        ("empty", Vec::new(), "it is empty"),
        ("foreign", vec![7; 50_000], FOREIGN),
        ("a text", b"{}\n".to_vec(), FOREIGN),
        (
            "cut off",
            good[..good.len() - 4096].to_vec(),
            "it is incomplete: it has ",
        ),
        (
            "later",
            later,
            "it has format 9, this stargrey supports up to 3",
        ),
        ("damaged", damaged, "it is damaged"),
        (
            "without hashes",
            read(backup_of(&[])),
            "it was filled without --privacy and the daemon runs with it",
        ),
        (
            "another key",
            read(backup_of(&["--privacy"])),
            "it belongs to another privacy.key",
        ),
    ] {
        let file = on.daemon.path().join("other");
        fs::write(&file, &bytes).unwrap();
        let (code, told) = refused(&on, &file);
        let begin = format!("stargreyctl: This backup cannot be restored: {want}");
        assert_eq!(code, 65, "{name}: {told}");
        assert!(told.starts_with(&begin), "{name}: {told}");
        assert_eq!(fs::read(&file).unwrap(), bytes, "{name}: it is as it was");
        for left in ["restore.new", "data.mdb.before-restore"] {
            assert!(!database(&on, left).exists(), "{name}: {left}");
        }
        assert_eq!(on.ctl_json(&["status"]).1["waiting"], 1, "{name}");
    }
    let (code, told) = refused(&on, Path::new("/dev/null"));
    assert_eq!(code, 65);
    assert!(told.contains("cannot be a backup"), "{told}");
    let (code, told) = refused(&on, Path::new("/nowhere"));
    assert_eq!(
        (code, &*told),
        (
            74,
            "stargreyctl: /nowhere: No such file or directory (os error 2)\n"
        )
    );

    clock.advance(300);
    assert!(on.daemon.ask(&request).starts_with("PREPEND X-Greylist"));
    let file = on.daemon.path().join("copy");
    assert_eq!(on.ctl(&["restore", file.to_str().unwrap()]).0, 0);
    assert_eq!(
        on.ctl_json(&["status"]).1["waiting"],
        1,
        "the key is the same"
    );
}

#[test]
fn a_backup_takes_the_place_of_a_database_that_cannot_be_used() {
    let (_other, file) = backup_of(&[]);
    let daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), 1_800_000_300);
    fs::create_dir(daemon.path().join("db")).unwrap();
    fs::write(daemon.path().join("db/data.mdb"), vec![7; 50_000]).unwrap();
    let on = OnBus::start_prepared(daemon, &[&clock.option()]);
    assert_eq!(on.ctl(&["restore", file.to_str().unwrap()]).0, 0);
    assert_eq!(on.ctl_json(&["status"]).1["store_state"], "ok");
    let answer = on.daemon.ask(&from("a@a.example"));
    assert!(answer.starts_with("PREPEND X-Greylist"), "{answer}");
}

#[test]
fn only_root_restores_where_no_polkit_is() {
    let (on, file) = backup_of(&[]);
    let readable = tempfile::NamedTempFile::new().unwrap();
    fs::copy(&file, readable.path()).unwrap();
    fs::set_permissions(readable.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let output = Command::new("setpriv")
        .arg(format!("--reuid={NOBODY}"))
        .args([
            "--clear-groups",
            env!("CARGO_BIN_EXE_stargreyctl"),
            "restore",
        ])
        .arg(readable.path())
        .env("DBUS_SYSTEM_BUS_ADDRESS", on.bus.address())
        .output()
        .unwrap();
    let (code, _, told) = said(&output);
    assert_eq!(code, 77, "{told}");
    assert!(told.contains("org.stargrey.Greylist1.restore"), "{told}");
    assert!(!database(&on, "data.mdb.before-restore").exists());
}

#[test]
fn a_kill_in_the_middle_leaves_the_old_database_or_the_new_one() {
    let (mut on, _clock) = started(&[]);
    on.daemon.ask(&from("a@a.example"));
    let file = backup(&on, "copy");
    on.daemon.ask(&from("b@b.example"));
    let before = database(&on, "data.mdb.before-restore");
    for (name, seen, is_old) in [
        (
            "while it is copied",
            database(&on, "restore.new"),
            Some(true),
        ),
        (
            "while it is checked",
            database(&on, "restore.new/data.mdb"),
            None,
        ),
        ("while it takes the place", before.clone(), None),
    ] {
        let mut restoring = on
            .bus
            .ctl(&["restore", file.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !seen.exists() && restoring.try_wait().unwrap().is_none() {
            thread::yield_now();
        }
        on.kill_and_start_again();
        on.daemon.excuse_kills();
        restoring.wait().unwrap();
        let found = senders(&on);
        let (old, new) = (["a@a.example", "b@b.example"], ["a@a.example"]);
        assert!(found == old || found == new, "{name}: {found:?}");
        if is_old == Some(true) && found == new {
            assert!(before.exists(), "{name}: it was through already");
        }
        assert!(!database(&on, "restore.new").exists(), "{name}");
        on.daemon.ask(&from("b@b.example"));
        drop(fs::remove_file(&before));
    }
}
