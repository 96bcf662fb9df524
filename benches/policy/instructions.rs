//! The instructions of a request with and without `--shared`: `make bench PART=shared-instructions`.
//!
//! They are counted by callgrind, which runs the program on a processor that it simulates, so that it does not matter how
//! busy the machine is. One connection asks; all threads count, that of the shared records too. Mail that passes must
//! cost what it costs without. An early retry asks the server.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::cells::Peer;
use crate::server::{Place, Server, Start, program};
use crate::shared::Redis;
use crate::spread::float;
use crate::targets::SHARED_CPU;
use crate::verdict::Bound;

/// How long each work is done.
const SPELL: Duration = Duration::from_secs(4);

/// How long a host may take to share, and to publish what the preparations have made.
const REST: Duration = Duration::from_secs(3);

const WORKS: [(&str, Bound); 4] = [
    ("listed by name", SHARED_CPU),
    ("auto-whitelisted", SHARED_CPU),
    ("known", SHARED_CPU),
    ("early retry", Bound::None),
];

/// Measures and prints.
pub(crate) async fn measure(place: &Place) -> io::Result<()> {
    let mut out = io::stdout();
    let redis = Redis::start(place, "redis")?;
    let shared = redis.options(place, true)?;
    let shared = shared.each_ref().map(String::as_str);
    let alone = counts(place, "alone", &[]).await?;
    let together = counts(place, "together", &shared).await?;
    for (((work, bound), alone), together) in WORKS.into_iter().zip(alone).zip(together) {
        let name = format!("{work}, with --shared, instructions of those without");
        writeln!(out, "{}", bound.of_figure(&name, together / alone))?;
        writeln!(out, "      {alone:>8.0} without, {together:>8.0} with")?;
    }
    Ok(())
}

/// The instructions of a request of each work.
async fn counts(place: &Place, name: &str, options: &[&str]) -> io::Result<Vec<f64>> {
    let files = place.directory(&format!("{name}-calls"))?;
    let wrapper = wrapper(&files)?;
    let start = Start {
        name,
        options: &[&["--policy-test-time"], options].concat(),
        program: Some(&wrapper),
        ..Start::default()
    };
    let peer = Peer::prepared(Server::stargreyd(place, &start)?).await?;
    thread::sleep(REST);
    let mut counts = Vec::new();
    for (work, _) in WORKS {
        control(&peer.server, "--instr=on")?;
        control(&peer.server, "--zero")?;
        let before = dumps(&files)?;
        let sample = peer.spell(work, 1, SPELL).await?;
        control(&peer.server, "--dump")?;
        control(&peer.server, "--instr=off")?;
        let mut instructions = 0;
        for dump in dumps(&files)? {
            if !before.contains(&dump) {
                instructions += total(&dump)?;
            }
        }
        counts.push(float(instructions) / float(sample.answers as u64));
    }
    Ok(counts)
}

/// A program that runs stargreyd under callgrind.
fn wrapper(files: &Path) -> io::Result<PathBuf> {
    let script = files.join("stargreyd");
    let text = format!(
        "#!/bin/sh\nexec valgrind --quiet --tool=callgrind --instr-atstart=no --separate-threads=yes \
         --callgrind-out-file='{}/calls' '{}' \"$@\"\n",
        files.display(),
        Path::new(&program()).display()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

/// Tells callgrind what to do.
fn control(server: &Server, what: &str) -> io::Result<()> {
    let mut command = Command::new("callgrind_control");
    command.args([what, &server.id()]).stdout(Stdio::null());
    if command.stderr(Stdio::null()).status()?.success() {
        return Ok(());
    }
    Err(io::Error::other("callgrind_control fails"))
}

/// What has been counted so far, in files.
fn dumps(files: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(files)? {
        let path = entry?.path();
        let is_dump = |name: &OsStr| name.to_string_lossy().starts_with("calls");
        if path.file_name().is_some_and(is_dump) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The instructions of a thread.
fn total(dump: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(dump)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(total
        .and_then(|total| total.trim().parse().ok())
        .unwrap_or(0))
}
