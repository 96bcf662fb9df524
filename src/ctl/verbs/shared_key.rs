//! `shared-key`: a new secret for the hosts of a site.

use std::fmt::Write;

use super::Answer;
use crate::ctl::failure::Failure;

/// Length of the key, in bytes.
const KEY_LENGTH: usize = 32;

/// A file for `--shared-secret`, with a new key.
///
/// # Errors
///
/// When the system has no random numbers.
pub fn run() -> Result<Answer, Failure> {
    let mut key = [0; KEY_LENGTH];
    getrandom::fill(&mut key).map_err(|error| Failure::System(error.into()))?;
    Ok(Answer::yes(text(&key)))
}

fn text(key: &[u8; KEY_LENGTH]) -> String {
    let digits = key.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a string does not fail.
        write!(digits, "{byte:02x}").ok();
        digits
    });
    format!(
        "# The secret of this site, for --shared-secret of stargreyd: the same file on each host, mode 0640, group\n\
         # stargrey. See stargrey-shared(7).\n\
         key = {digits}\n\
         # What the server asks for, if it does:\n\
         # user = stargrey\n\
         # password = \n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_has_a_key_of_64_digits() {
        let text = text(&[0x0a; KEY_LENGTH]);
        let keys: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("key"))
            .collect();
        assert_eq!(keys, [format!("key = {}", "0a".repeat(32))]);
        assert_ne!(run().unwrap(), run().unwrap());
    }
}
