//! The polkit agent that asks for a password on the terminal, used if the user has no other agent.
//!
//! It is started in the same cases as by systemctl: the user is not root, there is a terminal, and pkttyagent(1) is
//! installed. The program waits until the agent has registered with polkit.

use std::io::{self, IsTerminal, Read};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

/// The program; it writes to standard output, and closes it, when it has registered with polkit.
const PROGRAM: &str = "pkttyagent";

/// A running agent; killed when this value is dropped.
#[derive(Debug)]
pub struct Agent(Child);

impl Agent {
    /// Starts an agent where it can be used. Without one polkit answers as without a terminal.
    #[must_use]
    pub fn start() -> Option<Self> {
        if geteuid().is_root() || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        // `--fallback`: the agent of a desktop takes precedence.
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
        // A program that exits closes it, too.
        drop(ready?.read_to_end(&mut Vec::new()));
        Some(agent)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It restores the terminal. If it has exited already, only the wait is needed.
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
