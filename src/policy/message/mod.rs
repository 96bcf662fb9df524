//! A message, as far as a front end has kept it.

/// A field of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderField {
    /// Its name, as it came.
    pub name: Box<[u8]>,
    /// Its value, as it came: the folds are in it, the blank behind the colon is not.
    pub value: Box<[u8]>,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    fields: Vec<HeaderField>,
    body: Option<Vec<u8>>,
    size: u64,
}

impl Message {
    /// A message with this header and body, and this number of bytes in all. The body is `None` if it was not kept.
    #[must_use]
    pub const fn new(fields: Vec<HeaderField>, body: Option<Vec<u8>>, size: u64) -> Self {
        Self { fields, body, size }
    }

    /// The fields of the header, from the top.
    #[must_use]
    pub fn fields(&self) -> &[HeaderField] {
        &self.fields
    }

    /// The body as it came; `None` if it was not kept.
    #[must_use]
    pub fn body(&self) -> Option<&[u8]> {
        self.body.as_deref()
    }

    /// The size of header and body, in bytes, lines ending with CR LF.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }
}
