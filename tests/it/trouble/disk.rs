//! Disks that are full, read-only, or mute.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::thread;

use super::mount::Mount;
use super::{DEFERRED, START};
use crate::bus::OnBus;
use crate::ctl::said;
use crate::support::machine::require_root;
use crate::support::{Daemon, TestClock, nth_request};

const AGAIN: &str = "the database is available again";

/// A daemon that defers in trouble, with a database on a file system of its own; `None` where there can be none.
fn prepare(mount: impl Fn(&Daemon) -> Option<Mount>) -> Option<(Daemon, TestClock, Mount)> {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    let mount = mount(&daemon)?;
    fs::write(daemon.path().join("whitelist_clients"), "good.example\n").unwrap();
    daemon.set_options(&[clock.option().as_str(), "-q", "--on-store-failure=defer"]);
    Some((daemon, clock, mount))
}

fn in_memory(size: &'static str) -> impl Fn(&Daemon) -> Option<Mount> {
    move |daemon| Mount::in_memory(&daemon.path().join("db"), size)
}

/// Mail that needs no database is served whatever it is like.
fn assert_serves_the_listed(daemon: &Daemon) {
    let mut listed = nth_request(0);
    "mx.good.example".clone_into(&mut listed[3].1);
    assert_eq!(daemon.connect().ask(&listed), "DUNNO");
}

#[test]
fn a_full_file_system_degrades_and_is_well_again_when_there_is_room() {
    let Some((mut daemon, clock, _mount)) = prepare(in_memory("4m")) else {
        return;
    };
    daemon.start_again();
    let mut client = daemon.connect();
    assert!(client.ask(&nth_request(0)).contains("Greylisted"));
    let filler = daemon.path().join("db/filler");
    let mut file = File::create(&filler).unwrap();
    for size in [1 << 16, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    drop(file);
    let full = (1..100_000).find(|n| !client.ask(&nth_request(*n)).contains("Greylisted"));
    let full = full.expect("it fills up");
    assert!(client.ask(&nth_request(full)).starts_with(DEFERRED));
    daemon.wait_for("STATUS=DEGRADED: ");
    assert_serves_the_listed(&daemon);

    fs::remove_file(filler).unwrap();
    daemon.log_until(|log| log.contains(AGAIN));
    daemon.wait_until_told(|status| !status.contains("DEGRADED"));
    assert!(client.ask(&nth_request(full)).contains("Greylisted"));
    assert_eq!(daemon.log().matches("database unavailable").count(), 1);
    daemon.kill();
    daemon.start_again();
    clock.advance(300);
    let mut client = daemon.connect();
    for n in 0..=full {
        assert!(client.ask(&nth_request(n)).starts_with("PREPEND"), "{n}");
    }
}

#[test]
fn a_read_only_file_system_degrades_and_is_well_again_when_it_can_be_written_to() {
    let Some((mut daemon, clock, mount)) = prepare(in_memory("4m")) else {
        return;
    };
    daemon.start_again();
    assert!(daemon.connect().ask(&nth_request(0)).contains("Greylisted"));
    assert!(daemon.stop().success());
    mount.set_read_only(true);
    daemon.start_again();
    let status = daemon.wait_for("STATUS=DEGRADED: ");
    assert!(status.contains("Read-only file system"), "{status}");
    assert!(daemon.connect().ask(&nth_request(0)).starts_with(DEFERRED));
    assert_serves_the_listed(&daemon);

    mount.set_read_only(false);
    daemon.log_until(|log| log.contains(AGAIN));
    clock.advance(300);
    assert!(daemon.connect().ask(&nth_request(0)).starts_with("PREPEND"));
    let second = daemon.command().status().unwrap();
    assert_eq!(second.code(), Some(75), "the lock is held");
}

#[test]
fn a_directory_that_cannot_be_written_to_degrades_and_is_well_again_when_it_can() {
    require_root("only root can become another user");
    let mut daemon = Daemon::prepare();
    fs::set_permissions(daemon.path(), Permissions::from_mode(0o777)).unwrap();
    let database = daemon.path().join("db");
    fs::create_dir(&database).unwrap();
    chown(&database, Some(65534), Some(65534)).unwrap();
    fs::set_permissions(&database, Permissions::from_mode(0o500)).unwrap();
    daemon.run(&["-q", "--user=nobody", "--group=nogroup"]);
    let status = daemon.wait_for("STATUS=DEGRADED: ");
    assert!(status.contains("Permission denied"), "{status}");
    assert_eq!(daemon.connect().ask(&nth_request(0)), "DUNNO");

    fs::set_permissions(&database, Permissions::from_mode(0o700)).unwrap();
    daemon.log_until(|log| log.contains(AGAIN));
    assert!(daemon.connect().ask(&nth_request(0)).contains("Greylisted"));
}

#[test]
fn a_disk_that_hangs_holds_up_nobody_for_long_and_is_well_again_when_it_answers() {
    let in_file = |daemon: &Daemon| {
        let path = daemon.path();
        Mount::in_file(&path.join("db"), &path.join("disk"))
    };
    let Some((mut daemon, clock, mut mount)) = prepare(in_file) else {
        return;
    };
    daemon.start_again();
    assert!(daemon.connect().ask(&nth_request(0)).contains("Greylisted"));
    mount.freeze();
    thread::scope(|scope| {
        for n in 1..20 {
            let daemon = &daemon;
            scope.spawn(move || {
                assert!(daemon.connect().ask(&nth_request(n)).starts_with(DEFERRED));
            });
        }
        assert_serves_the_listed(&daemon);
    });
    daemon.wait_for("STATUS=DEGRADED: no commit within 20 seconds");
    assert_serves_the_listed(&daemon);
    for n in 20..40 {
        assert!(daemon.connect().ask(&nth_request(n)).starts_with(DEFERRED));
    }
    mount.thaw();
    daemon.log_until(|log| log.contains(AGAIN));
    clock.advance(300);
    assert!(daemon.connect().ask(&nth_request(0)).starts_with("PREPEND"));
    assert!(
        daemon
            .connect()
            .ask(&nth_request(50))
            .contains("Greylisted")
    );
    assert!(daemon.stop().success());
}

#[test]
fn a_backup_that_there_is_no_room_for_is_refused_before_it_is_copied() {
    let daemon = Daemon::prepare();
    let Some(_mount) = in_memory("8m")(&daemon) else {
        return;
    };
    let on = OnBus::start_prepared(daemon, &[]);
    assert!(
        on.daemon
            .connect()
            .ask(&nth_request(0))
            .contains("Greylisted")
    );
    let file = on.daemon.path().join("large");
    fs::File::create(&file).unwrap().set_len(20 << 20).unwrap();
    let output = on.bus.ctl(&["restore", file.to_str().unwrap()]).output();
    let (code, _, stderr) = said(&output.unwrap());
    let db = on.daemon.path().join("db");
    let begin = format!(
        "stargreyctl: The backup is not restored: {} bytes are needed in {}, and ",
        21 << 20,
        db.display()
    );
    assert!(stderr.starts_with(&begin), "{stderr}");
    assert!(
        stderr.contains(" are free. The database is as it was."),
        "{stderr}"
    );
    assert_eq!(code, 73);
    assert!(!db.join("restore.new").exists());
    assert!(
        on.daemon
            .connect()
            .ask(&nth_request(0))
            .contains("Greylisted")
    );
}
