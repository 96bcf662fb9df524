//! The file that `--greylist-conf` names: read as a whole or not at all.

use std::path::{Path, PathBuf};

use super::super::diagnostic::Diagnostics;
use super::super::endpoint::Endpoint;
use super::super::file;
use super::super::options::Options;
use super::statements::{self, OfOptions};
use super::{compile, parse};
use crate::policy::Params;
use crate::policy::chain::Chain;

/// The option of the file.
const OPTION: &str = "--greylist-conf";

/// The file, and what its statements depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfFile {
    path: PathBuf,
    options: OfOptions,
}

/// What a file says besides its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedConf {
    /// The numbers: what an option sets, else what the file says, else the defaults.
    pub params: Params,
    /// Where spamd listens, if the file says so.
    pub spamd: Option<Endpoint>,
    /// The defaults in force that milter-greylist has otherwise, in words; empty if there are none.
    pub defaults: String,
}

impl ConfFile {
    /// The file of these options, if there is one.
    pub(in crate::config) fn new(
        options: &Options,
        has_milter_socket: bool,
        found: &mut Diagnostics,
    ) -> Option<Self> {
        let path = PathBuf::from(options.greylist_conf.as_ref()?);
        let path = found.absolute(OPTION, path)?;
        Some(Self {
            path,
            options: OfOptions::new(options, has_milter_socket),
        })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file; `None` after an error.
    pub(in crate::config) fn load(&self, found: &mut Diagnostics) -> Option<(Chain, LoadedConf)> {
        let loaded = self.read(found);
        loaded.filter(|_| found.errors.is_empty())
    }

    fn read(&self, found: &mut Diagnostics) -> Option<(Chain, LoadedConf)> {
        let path: &Path = &self.path;
        let bytes = match file::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                found.errors.push(file::unreadable(OPTION, path, &error));
                return None;
            }
        };
        let (conf, mut findings) = parse(path, &bytes);
        let params = statements::read(path, &conf, &self.options, &mut findings);
        let spamd = statements::spamd(path, &conf.globals, &mut findings);
        let (chain, more) = compile(path, &conf, self.options.purpose());
        let chain = chain.filter(|_| findings.errors.is_empty());
        for (all, new) in [
            (&mut found.errors, [findings.errors, more.errors]),
            (&mut found.warnings, [findings.warnings, more.warnings]),
        ] {
            all.extend(new.into_iter().flatten());
        }
        let chain = chain?;
        let defaults = statements::defaults(&conf.globals, self.options.given, &params);
        Some((
            chain,
            LoadedConf {
                params,
                spamd,
                defaults,
            },
        ))
    }
}
