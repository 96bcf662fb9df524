//! File systems of a test's own: small ones, and one that can be stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::remark;

/// A mounted file system; gone with this, even while somebody uses it.
#[derive(Debug)]
pub(super) struct Mount {
    path: PathBuf,
    is_frozen: bool,
}

impl Mount {
    /// A file system in memory of so many bytes (`4m`) at `path`; `None` where there can be none.
    pub(super) fn in_memory(path: &Path, size: &str) -> Option<Self> {
        let size = format!("size={size}");
        Self::at(path, &["-t", "tmpfs", "-o", &size, "tmpfs"])
    }

    /// A file system in `file`, which is made for it, at `path`; `None` where there can be none.
    pub(super) fn in_file(path: &Path, file: &Path) -> Option<Self> {
        fs::File::create(file).unwrap().set_len(32 << 20).unwrap();
        let file = file.to_str().unwrap();
        let is_made = run("mkfs.ext4", &["-q", file]);
        is_made.then(|| Self::at(path, &["-o", "loop", file]))?
    }

    fn at(path: &Path, arguments: &[&str]) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let place = [path.to_str().unwrap()];
        if !run("mount", &[arguments, &place].concat()) {
            remark("not tested: nothing can be mounted here");
            return None;
        }
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
        assert!(run("mount", &["-o", option, self.name()]));
    }

    /// Has every writer wait.
    pub(super) fn freeze(&mut self) {
        assert!(run("fsfreeze", &["-f", self.name()]));
        self.is_frozen = true;
    }

    /// Ends that.
    pub(super) fn thaw(&mut self) {
        if std::mem::take(&mut self.is_frozen) {
            assert!(run("fsfreeze", &["-u", self.name()]));
        }
    }

    fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.thaw();
        run("umount", &["--lazy", self.name()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
