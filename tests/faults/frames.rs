//! HTTP/2 by hand: frames as RFC 9113 has them, and as nobody should send them.

/// What a client begins with: the preface, and settings that change nothing.
pub(crate) fn hello() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat()
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// "You do this too often": what a server says before it leaves such a client.
pub(crate) const ENHANCE_YOUR_CALM: u8 = 11;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a POST, compressed with nothing but the static table of RFC 7541.
pub(crate) fn post_head(path: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // :method POST, :scheme https; then by index: :path, :authority, content-type.
    [
        &[0x83, 0x87, 0x04][..],
        &text(path),
        &[0x01],
        &text("webhook"),
        &[0x0f, 0x10],
        &text("application/json"),
    ]
    .concat()
}

/// Kind, stream and payload of all whole frames.
pub(crate) fn frames(mut said: &[u8]) -> Vec<(u8, u32, &[u8])> {
    let mut frames = Vec::new();
    while let [a, b, c, kind, _flags, s1, s2, s3, s4, rest @ ..] = said {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((payload, next)) = rest.split_at_checked(length) else { break };
        frames.push((*kind, u32::from_be_bytes([*s1, *s2, *s3, *s4]), payload));
        said = next;
    }
    frames
}
