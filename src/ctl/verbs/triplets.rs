//! The records of triplets, read page by page.

use std::ops::ControlFlow;

use crate::api::{Dict, MOST_ROWS};
use crate::ctl::failure::Failure;
use crate::ctl::session::Session;

/// Calls `look` for each row that matches the filter until it breaks; returns the value that it broke with.
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
