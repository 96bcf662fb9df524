//! A mail as a mail program reads it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Prints header fields and parts as JSON.
const READ: &str = r"
import email, email.policy, json, sys
mail = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
parts = list(mail.iter_parts()) if mail.is_multipart() else [mail]
defects = [str(defect) for part in mail.walk() for defect in part.defects]
print(json.dumps(dict(fields={name.lower(): str(text) for name, text in mail.items()}, kind=mail.get_content_type(),
    parts=[[part.get_content_type(), part.get_content()] for part in parts],
    longest=max(map(len, mail.as_bytes().split(b'\n'))), defects=defects)))
";

/// The mail: `fields`, `kind`, `parts` (kind, text), `longest` line, `defects`.
pub(crate) fn read(mail: &str) -> Value {
    let child = Command::new("python3")
        .args(["-c", READ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.expect("python3 is there (package python3)");
    let mut input = child.stdin.take().unwrap();
    input.write_all(mail.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}
