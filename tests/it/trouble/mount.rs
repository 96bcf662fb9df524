//! File systems of a test's own: small ones, and one that can be stopped.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{fs, io};

use crate::support::machine::{may_mount, not_proven, require_program, require_root};

/// A mounted file system; gone with this, even while somebody uses it.
#[derive(Debug)]
pub(super) struct Mount {
    path: PathBuf,
    is_frozen: bool,
}

impl Mount {
    /// A file system in memory of so many bytes (`4m`) at `path`; `None`, after saying so, where nothing can be mounted.
    pub(super) fn in_memory(path: &Path, size: &str) -> Option<Self> {
        let size = format!("size={size}");
        Self::at(path, &["-t", "tmpfs", "-o", &size, "tmpfs"])
    }

    /// A file system in `file`, which is made for it, at `path`; `None`, after saying so, where nothing can be mounted.
    pub(super) fn in_file(path: &Path, file: &Path) -> Option<Self> {
        fs::File::create(file).unwrap().set_len(32 << 20).unwrap();
        let file = file.to_str().unwrap();
        require_program("/usr/sbin/mkfs.ext4", "e2fsprogs");
        must("mkfs.ext4", &["-q", file]);
        if !Path::new("/dev/loop-control").exists() {
            not_proven("disks", "this machine has no loop devices");
            return None;
        }
        Self::at(path, &["-o", "loop", file])
    }

    fn at(path: &Path, arguments: &[&str]) -> Option<Self> {
        require_root("only root can mount a file system");
        if !may_mount() {
            not_proven("disks", "this machine does not let root mount file systems");
            return None;
        }
        fs::create_dir_all(path).unwrap();
        let place = [path.to_str().unwrap()];
        must("mount", &[arguments, &place].concat());
        Some(Self {
            path: path.to_owned(),
            is_frozen: false,
        })
    }

    /// Lets nobody write to it any more, or everybody again.
    pub(super) fn set_read_only(&self, is_read_only: bool) {
        let option = if is_read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        must("mount", &["-o", option, self.name()]);
    }

    /// Has every writer wait.
    pub(super) fn freeze(&mut self) {
        must("fsfreeze", &["-f", self.name()]);
        self.is_frozen = true;
    }

    /// Ends that.
    pub(super) fn thaw(&mut self) {
        if std::mem::take(&mut self.is_frozen) {
            must("fsfreeze", &["-u", self.name()]);
        }
    }

    fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.thaw();
        drop(run("umount", &["--lazy", self.name()]));
    }
}

/// Runs a program that must succeed.
fn must(program: &str, arguments: &[&str]) {
    let output = run(program, arguments).unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

fn run(program: &str, arguments: &[&str]) -> io::Result<Output> {
    Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
}
