//! Exit codes: sysexits, each with one meaning.

/// Success.
pub const OK: u8 = 0;
/// `EX_UNAVAILABLE`: another server answers on the socket.
pub const UNAVAILABLE: u8 = 69;
/// `EX_SOFTWARE`: a defect of stargrey.
pub const SOFTWARE: u8 = 70;
/// `EX_OSERR`: the system refuses a thread, a socket or a directory.
pub const OSERR: u8 = 71;
/// `EX_TEMPFAIL`: another stargreyd holds the database.
pub const TEMPFAIL: u8 = 75;
/// `EX_NOPERM`: not permitted.
pub const NOPERM: u8 = 77;
/// `EX_CONFIG`: an option or a list is wrong; the options are the configuration.
pub const CONFIG: u8 = 78;

/// All of them, with the names that sysexits.h gives them.
pub const ALL: &[(u8, &str)] = &[
    (OK, "EX_OK"),
    (UNAVAILABLE, "EX_UNAVAILABLE"),
    (SOFTWARE, "EX_SOFTWARE"),
    (OSERR, "EX_OSERR"),
    (TEMPFAIL, "EX_TEMPFAIL"),
    (NOPERM, "EX_NOPERM"),
    (CONFIG, "EX_CONFIG"),
];
