//! `lists`: fetches the lists of list-watch, tells what is new about them, and installs them.

use std::fs;
use std::path::Path;

use zbus::connection;

use super::Answer;
use crate::ctl::args::{InstalledLists, Lists, WatchedLists};
use crate::ctl::failure::{ArgumentError, Failure};
use crate::ctl::json;
use crate::ctl::lists::fetch::{self, Fetched};
use crate::ctl::lists::install::{self, By};
use crate::ctl::lists::news::{Installed, News, Places};
use crate::ctl::lists::watch::{self, Watched};
use crate::ctl::output::host_name;
use crate::ctl::report::mail;
use crate::ctl::session::{Session, Timeouts};
use crate::ctl::view::View;
use serde_json::{Value, json};

/// Runs the verb. The bus is for a reload alone, and nothing starts the daemon.
///
/// # Errors
///
/// [`Failure`] has a sentence.
pub async fn run(
    bus: connection::Builder<'_>,
    options: &Lists,
    view: View,
) -> Result<Answer, Failure> {
    match options {
        Lists::Fetch { watched } => fetch(watched, &view),
        Lists::Notify {
            mail,
            sendmail,
            installed,
        } => notify(bus, installed, mail.as_deref(), sendmail, view).await,
        Lists::Install { name, installed } => install(bus, installed, name, view).await,
    }
}

/// The lists of list-watch.
fn watched(options: &WatchedLists) -> Result<Vec<Watched>, Failure> {
    let path = &options.config;
    let text = fs::read_to_string(path).map_err(|source| Failure::Open {
        path: path.clone(),
        source,
    })?;
    watch::parse(&text).map_err(|errors| {
        let errors = errors.iter();
        let lines = errors.map(|(line, error)| format!("{}:{line}: {error}", path.display()));
        Failure::Watch(lines.collect::<Vec<_>>().join("\n"))
    })
}

fn fetch(options: &WatchedLists, view: &View) -> Result<Answer, Failure> {
    let (mut text, mut rows, mut is_good) = (String::new(), Vec::new(), true);
    for list in watched(options)? {
        // One whose files cannot be written does not keep the others from being fetched.
        let problem = match fetch::fetch(&list, &options.cache, view.time()) {
            Ok(Fetched { problem, .. }) => problem,
            Err(failure) => Some(failure.to_string()),
        };
        let result = problem.as_deref().map_or_else(
            || "fetched".to_owned(),
            |problem| format!("not fetched: {problem}"),
        );
        text.extend([&list.name, ": ", &result, "\n"]);
        is_good &= problem.is_none();
        rows.push(json!({ "name": list.name, "url": list.url, "problem": problem }));
    }
    if view.json {
        text = json::shown(&Value::from(rows));
    }
    Ok(if is_good {
        Answer::yes(text)
    } else {
        Answer::no(text)
    })
}

async fn notify(
    bus: connection::Builder<'_>,
    options: &InstalledLists,
    mail: Option<&str>,
    sendmail: &Path,
    view: View,
) -> Result<Answer, Failure> {
    if let Some(address) = mail.filter(|address| !mail::is_address(address)) {
        return Err(ArgumentError::NoMailAddress(address.to_owned()).into());
    }
    let places = Places {
        cache: &options.watched.cache,
        state: &options.state,
    };
    let lists = watched(&options.watched)?.into_iter();
    let all: Vec<News> = lists
        .map(|list| News::of(&list, places, view.time()))
        .collect();
    let news: Vec<&News> = all.iter().filter(|news| news.is_new()).collect();
    let is_json = view.json;
    let is_installed = news.iter().any(|news| news.installed == Installed::Now);
    let reloaded = if is_installed {
        reload(bus, view).await
    } else {
        Ok(())
    };
    let texts = news.iter().map(|news| news.text(places.state));
    let mut text = texts.collect::<Vec<_>>().join("\n");
    if let Err(failure) = &reloaded {
        text.extend(["\nThe lists are not reloaded: ", &failure.to_string(), "\n"]);
    }
    if let (Some(address), false) = (mail, news.is_empty()) {
        let names: Vec<&str> = news.iter().map(|news| news.list.name.as_str()).collect();
        let subject = format!("new about the lists {}", names.join(", "));
        let message = mail::letter(address, &subject, &host_name(), &text);
        mail::send(sendmail, address, message, mail::PATIENCE)?;
        text.clear();
    }
    let remembered = all.iter().map(|list| list.remember(places.state));
    // All of them, and then the first failure.
    let remembered = remembered.fold(Ok(()), Result::and);
    if is_json {
        text = json::shown(&news.iter().map(|news| news.json()).collect::<Value>());
    }
    reloaded?;
    remembered?;
    Ok(Answer::yes(text))
}

async fn install(
    bus: connection::Builder<'_>,
    options: &InstalledLists,
    name: &str,
    view: View,
) -> Result<Answer, Failure> {
    let lists = watched(&options.watched)?;
    let list = lists.into_iter().find(|list| list.name == name);
    let list = list.ok_or_else(|| ArgumentError::NoWatchedList(name.to_owned()))?;
    let cache = &options.watched.cache;
    // What came from another address, which list-watch had before, is not this list.
    let is_of_address = Fetched::read(cache, name)?.is_some_and(|last| last.url == list.url);
    let content = Fetched::list(cache, name)?.filter(|_| is_of_address);
    let content = content.ok_or_else(|| Failure::NotFetched(name.to_owned()))?;
    let warnings = match install::install(&list, &content, &options.state, By::Hand)? {
        Ok(warnings) => warnings,
        Err(refusal) => {
            return Err(Failure::NotInstalled {
                name: name.to_owned(),
                why: refusal.to_string(),
            });
        }
    };
    let path = options.state.join(name);
    let warnings: String = warnings.into_iter().map(|line| line + "\n").collect();
    let is_json = view.json;
    let done = Answer::done(&view, &format!("Installed as {}.", path.display()));
    reload(bus, view).await?;
    Ok(if is_json {
        done
    } else {
        Answer::yes(warnings + &done.text)
    })
}

/// Has a running daemon reload its lists.
async fn reload(bus: connection::Builder<'_>, view: View) -> Result<(), Failure> {
    let session = Session::begin(bus, Timeouts::USUAL, view).await?;
    if !session.has_daemon().await {
        return Ok(());
    }
    let manager = session.manager().await?;
    session.ask("Reload", manager.reload()).await
}
