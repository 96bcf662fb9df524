//! Exit codes: 0, 1, sysexits, and those of signals, each with one meaning.

/// It is done.
pub const OK: u8 = 0;
/// The answer is no: nothing was found, or all is not well.
pub const NO: u8 = 1;
/// `EX_USAGE`: the command line is wrong.
pub const USAGE: u8 = 64;
/// `EX_DATAERR`: a pattern, an address, a record or a file to import is refused.
pub const DATAERR: u8 = 65;
/// `EX_UNAVAILABLE`: there is no bus, no daemon, or no usable database.
pub const UNAVAILABLE: u8 = 69;
/// `EX_SOFTWARE`: the daemon said something that cannot be understood.
pub const SOFTWARE: u8 = 70;
/// `EX_CANTCREAT`: the file cannot be created.
pub const CANTCREAT: u8 = 73;
/// `EX_IOERR`: reading or writing failed.
pub const IOERR: u8 = 74;
/// `EX_NOPERM`: not permitted.
pub const NOPERM: u8 = 77;
/// `EX_CONFIG`: the lists have errors and were not read again.
pub const CONFIG: u8 = 78;

/// 128 and `SIGINT`: interrupted from the keyboard.
pub const INTERRUPTED: u8 = 130;
/// 128 and `SIGTERM`.
pub const TERMINATED: u8 = 143;

/// All of them, with the names that sysexits.h gives them, or nearly.
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
