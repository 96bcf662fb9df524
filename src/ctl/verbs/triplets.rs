//! The records of triplets, page after page.

use std::ops::ControlFlow;

use crate::api::{Dict, MOST_ROWS};
use crate::ctl::failure::Failure;
use crate::ctl::session::Session;

/// Shows all rows of this filter to `look`, until it breaks off; returns what it broke off with.
pub(super) async fn each<T>(
    session: &Session,
    filter: &Dict,
    mut look: impl FnMut(Dict) -> ControlFlow<T>,
) -> Result<Option<T>, Failure> {
    let manager = session.manager().await?;
    let mut after = Vec::new();
    loop {
        let page = manager.list_triplets(filter, &after, MOST_ROWS);
        let (page, next) = session.ask("ListTriplets", page).await?;
        if let ControlFlow::Break(found) = page.into_iter().try_for_each(&mut look) {
            return Ok(Some(found));
        }
        if next.is_empty() {
            return Ok(None);
        }
        after = next;
    }
}
