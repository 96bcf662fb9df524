//! Exit codes: 0, 1, sysexits, and those of signals.

/// Success.
pub const OK: u8 = 0;
/// Nothing was found, or a check has failed.
pub const NO: u8 = 1;
/// `EX_USAGE`: the command line is wrong.
pub const USAGE: u8 = 64;
/// `EX_DATAERR`: a pattern, an address, a record or a file to import is refused.
pub const DATAERR: u8 = 65;
/// `EX_UNAVAILABLE`: there is no bus, no daemon, or no usable database.
pub const UNAVAILABLE: u8 = 69;
/// `EX_SOFTWARE`: unexpected reply from the daemon.
pub const SOFTWARE: u8 = 70;
/// `EX_CANTCREAT`: the file cannot be created.
pub const CANTCREAT: u8 = 73;
/// `EX_IOERR`: reading or writing failed.
pub const IOERR: u8 = 74;
/// `EX_NOPERM`: not permitted.
pub const NOPERM: u8 = 77;
/// `EX_CONFIG`: the lists have errors and were not reloaded.
pub const CONFIG: u8 = 78;

/// 128 and `SIGINT`: interrupted from the keyboard.
pub const INTERRUPTED: u8 = 130;
/// 128 and `SIGTERM`.
pub const TERMINATED: u8 = 143;

/// All exit codes, with their names, mostly those of sysexits.h.
pub const ALL: &[(u8, &str)] = &[
    (OK, "EX_OK"),
    (NO, ""),
    (USAGE, "EX_USAGE"),
    (DATAERR, "EX_DATAERR"),
    (UNAVAILABLE, "EX_UNAVAILABLE"),
    (SOFTWARE, "EX_SOFTWARE"),
    (CANTCREAT, "EX_CANTCREAT"),
    (IOERR, "EX_IOERR"),
    (NOPERM, "EX_NOPERM"),
    (CONFIG, "EX_CONFIG"),
    (INTERRUPTED, ""),
    (TERMINATED, ""),
];
