//! What is kept of a message until its end: nothing that no rule asks for, and not more than its share.

use crate::policy::message::{Body, HeaderField, MAX_BODY, MAX_FIELDS, MAX_HEADER, Message};
use crate::service::{MemoryShare, MessageNeeds};
use crate::types::Timestamp;

/// Bytes that a field takes besides its name and value: their places, and what the allocator adds to each.
const FIELD: usize = size_of::<HeaderField>() + 2 * 16;

/// What is kept of a message.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is about another part")]
pub(super) struct Content {
    share: MemoryShare,
    keeps_header: bool,
    fields: Vec<HeaderField>,
    header_bytes: usize,
    /// `None`: it is not asked for, or there was no room.
    body: Option<Body>,
    /// Whether header or body were too long.
    is_cut: bool,
    is_header_cut: bool,
    /// Whether the size is asked for.
    counts_size: bool,
    /// Whether the mail server sends the body.
    gets_body: bool,
    size: u64,
}

impl Content {
    /// Nothing yet; parts that are not needed are not kept. `gets_body` says whether the mail server sends the body.
    pub(super) fn new(share: MemoryShare, needs: MessageNeeds, gets_body: bool) -> Self {
        Self {
            share,
            keeps_header: needs.header,
            counts_size: needs.size,
            gets_body,
            body: (needs.body && gets_body).then(Body::default),
            ..Self::default()
        }
    }

    /// A field of the header.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        let bytes = name.len().saturating_add(value.len());
        // Colon, blank, CR, LF.
        self.add(bytes.saturating_add(4));
        let total = self.header_bytes.saturating_add(bytes);
        let has_room = self.fields.len() < MAX_FIELDS && total <= MAX_HEADER;
        if !self.keeps_header || self.is_header_cut {
            return;
        }
        if has_room && self.share.take(bytes.saturating_add(FIELD)) {
            self.header_bytes = total;
            self.fields.push(HeaderField {
                name: name.into(),
                value: value.into(),
            });
        } else {
            (self.is_header_cut, self.is_cut) = (true, true);
        }
    }

    /// A part of the body. Returns whether more of it is wanted.
    pub(super) fn body(&mut self, bytes: Vec<u8>) -> bool {
        self.add(bytes.len());
        let Some(body) = &mut self.body else {
            return self.counts_size;
        };
        let total = body.length().saturating_add(bytes.len());
        if total <= MAX_BODY && self.share.take(bytes.len()) {
            body.push(bytes);
            return true;
        }
        self.share.give_back(body.length());
        self.body = None;
        self.is_cut = true;
        self.counts_size
    }

    fn add(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.size = self.size.saturating_add(bytes);
    }

    /// Logs that the body was asked for and could not be kept, at most once a minute.
    pub(super) fn complain(&self, now: Timestamp) {
        if self.is_cut && self.share.may_warn(now) {
            log::warn!(
                "a header of more than {MAX_FIELDS} fields or {MAX_HEADER} bytes, a body of more than {MAX_BODY}, or too many \
                 messages at once: rules about it do not match"
            );
        }
    }

    /// The message.
    pub(super) fn message(&mut self) -> Message {
        let fields = std::mem::take(&mut self.fields);
        // The empty line between header and body.
        let size = self.size.saturating_add(2);
        let message = Message::new(fields, self.body.take(), size);
        let message = if self.gets_body {
            message
        } else {
            message.with_unknown_size()
        };
        if self.is_header_cut {
            message.with_unknown_header()
        } else {
            message
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(header: bool, body: bool, size: bool) -> Content {
        let needs = MessageNeeds {
            header,
            body,
            size,
            ..MessageNeeds::default()
        };
        Content::new(MemoryShare::default(), needs, true)
    }

    #[test]
    fn nothing_is_kept_that_nobody_asks_for() {
        let mut content = kept(false, false, false);
        content.field(b"Subject", b"x");
        assert!(!content.body(b"hello\r\n".to_vec()));
        let message = content.message();
        assert!(message.fields().is_empty());
        assert_eq!(message.body(), None);
        assert_eq!(message.size(), Some(21));
    }

    #[test]
    fn the_size_of_a_message_whose_body_is_not_sent_is_not_known() {
        let needs = MessageNeeds {
            body: true,
            size: true,
            ..MessageNeeds::default()
        };
        for (gets_body, want) in [(true, Some(14)), (false, None)] {
            let mut content = Content::new(MemoryShare::default(), needs, gets_body);
            content.field(b"Subject", b"x");
            content.body(Vec::new());
            let message = content.message();
            assert_eq!(message.size(), want, "{gets_body}");
        }
    }

    #[test]
    fn a_body_is_kept_whole() {
        let mut content = kept(true, true, false);
        assert!(content.body(Vec::new()));
        let parts = [vec![b'x'; 65_535], b"\r\n".to_vec(), vec![b'y'; 65_535]];
        for part in &parts {
            assert!(content.body(part.clone()));
        }
        let message = content.message();
        assert!(*message.body().unwrap().bytes() == *parts.concat());
    }

    #[test]
    fn a_header_or_body_beyond_its_limit_is_not_kept() {
        let mut content = kept(true, true, true);
        for _ in 0..MAX_FIELDS + 10 {
            content.field(b"X", b"y");
        }
        let part = vec![b'x'; 60_000];
        for _ in 0..20 {
            content.body(part.clone());
        }
        assert!(content.is_cut);
        let message = content.message();
        assert!(message.fields().is_empty() && message.is_header_unknown());
        assert_eq!(message.body(), None);

        let mut content = kept(true, true, true);
        content.field(b"X", &vec![b'y'; MAX_HEADER]);
        content.field(b"X", b"y");
        assert!(content.body(b"hello".to_vec()));
        let message = content.message();
        // What comes behind a field that has no room would have another number.
        assert!(message.fields().is_empty() && message.is_header_unknown());
        assert_eq!(message.body(), None, "without its header it cannot be read");
    }
}
