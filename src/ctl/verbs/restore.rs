//! `restore`: replaces the database by a backup, from a file that stargreyctl opens.

use std::fs::File;
use std::path::Path;

use super::Answer;
use crate::ctl::failure::Failure;
use crate::ctl::session::Session;
use crate::types::Printable;

/// Lets the daemon copy the file, check the copy and use it.
pub(super) async fn run(session: &Session, path: &Path) -> Result<Answer, Failure> {
    let manager = session.manager().await?;
    let file = File::open(path).map_err(|source| Failure::Open {
        path: path.to_owned(),
        source,
    })?;
    let restoring = manager.restore(zbus::Fd::from(&file));
    session.ask("Restore", restoring).await?;
    let name = path.as_os_str().as_encoded_bytes();
    let sentence = format!(
        "The database was restored from {}. The old one is data.mdb.before-restore in the same directory.",
        Printable(name)
    );
    Ok(Answer::done(&session.view, &sentence))
}
