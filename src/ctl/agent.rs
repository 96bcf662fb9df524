//! The agent that asks for a password on the terminal, for where polkit finds no other.
//!
//! It is started as systemctl does it: by somebody who is not root, on a terminal, where pkttyagent(1) is installed;
//! and it is waited for until polkit knows it.

use std::io::{self, IsTerminal, Read};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

/// The program; it writes to standard output, and closes it, when polkit knows it.
const PROGRAM: &str = "pkttyagent";

/// An agent, which ends with this value.
#[derive(Debug)]
pub struct Agent(Child);

impl Agent {
    /// Starts one where it is of use. Without it polkit answers as it does without a terminal.
    #[must_use]
    pub fn start() -> Option<Self> {
        if geteuid().is_root() || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        // `--fallback`: the agent of a desktop is asked first.
        Self::run(Command::new(PROGRAM).args(["--notify-fd=1", "--fallback"]))
    }

    /// Runs a program as an agent, and waits until it closes its standard output.
    fn run(program: &mut Command) -> Option<Self> {
        let mut child = program
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let ready = child.stdout.take();
        let agent = Self(child);
        // A program that ends closes it, too.
        drop(ready?.read_to_end(&mut Vec::new()));
        Some(agent)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It puts the terminal back as it was. One that has ended already is waited for alone.
        if let Ok(id) = i32::try_from(self.0.id()) {
            for signal in [Signal::SIGTERM, Signal::SIGCONT] {
                if kill(Pid::from_raw(id), signal).is_err() {
                    break;
                }
            }
        }
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_there_when_it_is_ready_and_ends_with_its_value() {
        let directory = tempfile::tempdir().unwrap();
        let ready = directory.path().join("ready");
        let script = "touch \"$0\"; exec >&-; exec sleep 600";
        let agent = Agent::run(Command::new("sh").arg("-c").arg(script).arg(&ready));
        assert!(ready.exists());
        let id = Pid::from_raw(agent.as_ref().unwrap().0.id().try_into().unwrap());
        drop(agent);
        assert!(kill(id, None).is_err());
    }

    #[test]
    fn where_there_is_no_program_there_is_no_agent() {
        assert!(Agent::run(&mut Command::new("/nowhere/pkttyagent")).is_none());
    }
}
