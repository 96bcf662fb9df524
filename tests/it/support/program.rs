//! Other programs that a test runs beside the daemon.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::thread;

/// Waits until a program has said this on standard error, which is a pipe.
pub(crate) fn wait_until_said(child: &mut Child, said: &str) {
    let log = child.stderr.take().expect("standard error is a pipe");
    let mut lines = BufReader::new(log).lines();
    let has_said = lines.any(|line| line.is_ok_and(|line| line.contains(said)));
    assert!(has_said, "it ends without {said:?}");
    // A full pipe would stop it. The thread ends with the program.
    thread::spawn(move || lines.for_each(drop));
}
