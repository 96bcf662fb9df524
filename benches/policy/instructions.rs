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
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::cells::Peer;
use crate::server::{Place, Server, Start, program};
use crate::shared::Redis;
use crate::spread::float;
use crate::targets::SHARED_CPU;
use crate::verdict::Bound;
use crate::work::{self, Work};

/// How long each work is done: twice the time between two flushes of the write-behind buffer, so that each work has as many.
const SPELL: Duration = Duration::from_secs(10);

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
    let alone = with_options(place, "alone", &[]).await?;
    let together = with_options(place, "together", &shared).await?;
    for (((work, bound), alone), together) in WORKS.into_iter().zip(alone).zip(together) {
        let name = format!("{work}, with --shared, instructions of those without");
        writeln!(out, "{}", bound.of_figure(&name, together / alone))?;
        writeln!(out, "      {alone:>8.0} without, {together:>8.0} with")?;
    }
    Ok(())
}

/// The instructions of a request of each work, with more options.
async fn with_options(place: &Place, name: &str, more: &[&str]) -> io::Result<Vec<f64>> {
    let options = [&["--policy-test-time"], more].concat();
    let start = Start {
        name,
        options: &options,
        ..Start::default()
    };
    let works = WORKS.map(|(work, _)| work);
    counts(place, &start, work::preparations(), &works).await
}

/// The instructions of a request of each work, at a server that is started so and has seen these others.
pub(crate) async fn counts(
    place: &Place,
    start: &Start<'_>,
    preparations: Vec<Arc<Work>>,
    works: &[&str],
) -> io::Result<Vec<f64>> {
    let files = place.directory(&format!("{}-calls", start.name))?;
    let counted = start.program.map_or_else(program, Into::into);
    let wrapper = wrapper(&files, Path::new(&counted))?;
    let start = Start {
        program: Some(&wrapper),
        ..*start
    };
    let server = Server::stargreyd(place, &start)?;
    let peer = Peer::prepared_by(server, preparations).await?;
    thread::sleep(REST);
    let mut counts = Vec::new();
    for work in works {
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

/// A program that runs this one, a stargreyd, under callgrind.
fn wrapper(files: &Path, program: &Path) -> io::Result<PathBuf> {
    let script = files.join("stargreyd");
    let text = format!(
        "#!/bin/sh\nexec valgrind --quiet --tool=callgrind --instr-atstart=no --separate-threads=yes \
         --callgrind-out-file='{}/calls' '{}' \"$@\"\n",
        files.display(),
        program.display()
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
