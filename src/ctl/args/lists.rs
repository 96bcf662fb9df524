//! The options of `lists`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What `lists` does.
#[derive(Debug, Clone, Subcommand)]
pub enum Lists {
    /// Fetch the lists that list-watch names; nothing is installed
    Fetch {
        /// Where they are.
        #[command(flatten)]
        watched: WatchedLists,
    },
    /// Install new versions where list-watch says so, and tell once what changed
    Notify {
        /// Send it to ADDRESS instead of writing it to standard output
        #[arg(long, value_name = "ADDRESS", conflicts_with = "json")]
        mail: Option<String>,

        /// The program that sends mail
        #[arg(long, value_name = "FILE", default_value = "/usr/sbin/sendmail")]
        sendmail: PathBuf,

        /// Where they are.
        #[command(flatten)]
        installed: InstalledLists,
    },
    /// Install the version of a list that was fetched last
    Install {
        /// Its name in list-watch
        name: String,

        /// Where they are.
        #[command(flatten)]
        installed: InstalledLists,
    },
}

/// Where the fetched lists are.
#[derive(Debug, Clone, Args)]
pub struct WatchedLists {
    /// The file that names the lists
    #[arg(long, value_name = "FILE", default_value = "/etc/stargrey/list-watch")]
    pub config: PathBuf,

    /// Directory of the fetched lists
    #[arg(long, value_name = "DIR", default_value = "/var/cache/stargrey-lists")]
    pub cache: PathBuf,
}

/// Where the installed lists are, too.
#[derive(Debug, Clone, Args)]
pub struct InstalledLists {
    /// The fetched ones.
    #[command(flatten)]
    pub watched: WatchedLists,

    /// Directory of the installed lists
    #[arg(long, value_name = "DIR", default_value = "/var/lib/stargrey-lists")]
    pub state: PathBuf,
}
