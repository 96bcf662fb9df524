//! `backup`: copies the database into a file that stargreyctl opens.

use std::path::Path;

use super::Answer;
use crate::ctl::failure::Failure;
use crate::ctl::output::NewFile;
use crate::ctl::session::Session;
use crate::types::Printable;

/// Lets the daemon write a temporary file, then renames it.
pub(super) async fn run(session: &Session, path: &Path, force: bool) -> Result<Answer, Failure> {
    let manager = session.manager().await?;
    let new = NewFile::create(path, force)?;
    let copy = manager.backup(zbus::Fd::from(new.file()));
    session.ask("Backup", copy).await?;
    new.finish()?;
    let name = path.as_os_str().as_encoded_bytes();
    let sentence = format!("The database is copied to {}.", Printable(name));
    Ok(Answer::done(&session.view, &sentence))
}
