//! Requests that two readers may read differently, and requests that are too large.

use std::fmt::Write as _;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::scene::{Scene, until_closed};
use crate::support::both_set;
use crate::support::process::PATIENCE;

/// What a smuggler hides behind a body: whoever takes it for a request of its own answers it with 404.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";

const LENGTH: &str = "Content-Length: LENGTH\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// Header lines and a body with a fault, and the status with which the server refuses it and closes. In both, `BODY`
/// stands for a review, `LENGTH` for its length, and `HEX` for that as a chunk has it.
const REFUSED: &[(&str, &str, &str, u16)] = &[
    ("two lengths that differ", "Content-Length: 5\r\nContent-Length: LENGTH\r\n", "BODY", 400),
    ("two lengths in one line", "Content-Length: LENGTH, LENGTH\r\n", "BODY", 400),
    ("a length with a sign", "Content-Length: +LENGTH\r\n", "BODY", 400),
    ("a negative length", "Content-Length: -1\r\n", "BODY", 400),
    ("a length in hexadecimal", "Content-Length: 0xHEX\r\n", "BODY", 400),
    ("a length past 64 bits", "Content-Length: 99999999999999999999\r\n", "BODY", 400),
    ("an encoding that is none", "Transfer-Encoding: identity\r\n", "BODY", 400),
    ("an unknown encoding", "Transfer-Encoding: xchunked\r\n", "HEX\r\nBODY\r\n0\r\n\r\n", 400),
    (
        "chunks that are encoded again",
        "Transfer-Encoding: chunked, gzip\r\n",
        "HEX\r\nBODY\r\n0\r\n\r\n",
        400,
    ),
    ("chunks in chunks", "Transfer-Encoding: chunked, chunked\r\n", "HEX\r\nBODY\r\n0\r\n\r\n", 400),
    (
        "chunks in chunks, in two lines",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "HEX\r\nBODY\r\n0\r\n\r\n",
        400,
    ),
    ("compressed chunks", "Transfer-Encoding: gzip, chunked\r\n", "HEX\r\nBODY\r\n0\r\n\r\n", 400),
    ("a space before the colon", "Transfer-Encoding : chunked\r\n", "HEX\r\nBODY\r\n0\r\n\r\n", 400),
    ("a folded line", "X: a\r\n b\r\nContent-Length: LENGTH\r\n", "BODY", 400),
    ("a folded encoding", "Content-Length: LENGTH\r\nTransfer-Encoding:\r\n chunked\r\n", "BODY", 400),
    ("a bare CR", "X: a\rContent-Length: 5\r\nContent-Length: LENGTH\r\n", "BODY", 400),
    ("a NUL", "X: a\0b\r\nContent-Length: LENGTH\r\n", "BODY", 400),
    ("a chunk with a sign", CHUNKED, "+HEX\r\nBODY\r\n0\r\n\r\n", 400),
    ("a negative chunk", CHUNKED, "-1\r\nBODY\r\n0\r\n\r\n", 400),
    ("a chunk size that is none", CHUNKED, "zz\r\nBODY\r\n0\r\n\r\n", 400),
    ("a chunk size with a prefix", CHUNKED, "0xHEX\r\nBODY\r\n0\r\n\r\n", 400),
    ("a chunk size past 64 bits", CHUNKED, "fffffffffffffffff\r\nBODY\r\n0\r\n\r\n", 400),
    ("a chunk that is longer than it says", CHUNKED, "5\r\nBODY\r\n0\r\n\r\n", 400),
    ("a chunk without a line end", CHUNKED, "HEX\r\nBODY0\r\n\r\n", 400),
    ("a chunk size that ends in a bare LF", CHUNKED, "HEX\nBODY\r\n0\r\n\r\n", 400),
    ("a chunk extension that ends in a bare LF", CHUNKED, "HEX;a\nBODY\r\n0\r\n\r\n", 400),
    ("a space in the path", "X: /validate HTTP/1.1", "BODY", 400),
];

fn filled(text: &str) -> String {
    let body = both_set();
    let text = text.replace("LENGTH", &body.len().to_string()).replace("HEX", &format!("{:x}", body.len()));
    text.replace("BODY", &body)
}

fn request(headers: &str, body: &str) -> String {
    let start = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    filled(&format!("{start}{headers}\r\n{body}"))
}

/// The statuses of all answers in a stream.
fn statuses(said: &str) -> Vec<u16> {
    said.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

#[tokio::test]
async fn an_ambiguous_request_is_refused_and_ends_its_connection() {
    let scene = Scene::start().await;
    for (what, headers, body, status) in REFUSED {
        let mut stream = scene.tls("http/1.1").await;
        stream.write_all((request(headers, body) + HIDDEN).as_bytes()).await.unwrap();
        let said = until_closed(&mut stream).await.unwrap_or_else(|| panic!("{what}: not closed"));
        assert_eq!(statuses(&String::from_utf8_lossy(&said)), [*status], "{what}");
    }
    scene.proves_unharmed_and_refused_nobody("ambiguous requests", 2).await;
}

/// RFC 9112, section 6.3: the chunks count, and the connection ends, whatever comes behind them.
#[tokio::test]
async fn a_length_beside_chunks_counts_for_nothing_and_ends_the_connection() {
    let scene = Scene::start().await;
    for headers in [[LENGTH, CHUNKED].concat(), [CHUNKED, "Content-Length: 5\r\n"].concat()] {
        let mut stream = scene.tls("http/1.1").await;
        let sent = request(&headers, "HEX\r\nBODY\r\n0\r\n\r\n") + HIDDEN;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let said = until_closed(&mut stream).await.expect("the server closes");
        let said = String::from_utf8_lossy(&said);
        assert_eq!(statuses(&said), [200]);
        assert!(said.contains(r#""uid":"try-me""#), "the chunks were read");
    }
    scene.proves_unharmed_and_refused_nobody("lengths beside chunks", 2).await;
}

/// What has one meaning only is taken, and the next request on the connection is read where it begins.
#[tokio::test]
async fn an_unusual_request_with_one_meaning_is_answered_and_the_next_one_too() {
    let scene = Scene::start().await;
    for (what, sent) in [
        ("the same length twice", request(&[LENGTH, LENGTH].concat(), "BODY")),
        // RFC 9112, section 2.2: a recipient may take a bare LF for a line end.
        ("bare LFs", request(LENGTH, "BODY").replace("\r\n", "\n")),
        ("empty lines before it", format!("\r\n\r\n{}", request(LENGTH, "BODY"))),
        ("a chunk extension", request(CHUNKED, "HEX;a=b\r\nBODY\r\n0\r\n\r\n")),
        ("trailers", request(CHUNKED, "HEX\r\nBODY\r\n0\r\nContent-Length: 5\r\n\r\n")),
        ("an upgrade", request(&format!("Connection: Upgrade\r\nUpgrade: h2c\r\n{LENGTH}"), "BODY")),
    ] {
        let mut stream = scene.tls("http/1.1").await;
        stream.write_all((sent + HIDDEN).as_bytes()).await.unwrap();
        let said = until_hidden_is_answered(&mut stream).await;
        assert_eq!(statuses(&said), [200, 404], "{what}");
    }
    scene.proves_unharmed_and_refused_nobody("unusual requests", 2).await;
}

async fn until_hidden_is_answered(stream: &mut TlsStream<TcpStream>) -> String {
    let mut said = String::new();
    let mut piece = [0; 4096];
    let reading = async {
        while !said.contains("there is nothing here") {
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "closed after {said}");
            write!(said, "{}", String::from_utf8_lossy(&piece[..read])).unwrap();
        }
    };
    timeout(PATIENCE, reading).await.expect("both requests are answered");
    said
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let scene = Scene::start().await;
    let long = format!("X: {}\r\n{LENGTH}", "x".repeat(20_000));
    let many = format!("{}{LENGTH}", "X: x\r\n".repeat(200));
    let extension = format!("HEX;{}\r\nBODY\r\n0\r\n\r\n", "x".repeat(100_000));
    let trailers = format!("HEX\r\nBODY\r\n0\r\n{}\r\n", "X: x\r\n".repeat(20_000));
    for (what, sent, status) in [
        ("a header", request(&long, "BODY"), 431),
        ("many headers", request(&many, "BODY"), 431),
        ("a chunk extension", request(CHUNKED, &extension), 400),
        ("trailers", request(CHUNKED, &trailers), 400),
    ] {
        let mut stream = scene.tls("http/1.1").await;
        // It may be refused before all of it is written, and a closed connection may lose the refusal.
        let written = stream.write_all(sent.as_bytes()).await;
        let said = until_closed(&mut stream).await.unwrap_or_else(|| panic!("{what}: not closed"));
        let said = statuses(&String::from_utf8_lossy(&said));
        assert!(said == [status] || (said.is_empty() && written.is_err()), "{what}: {said:?}");
    }
    scene.proves_unharmed_and_refused_nobody("oversized heads", 2).await;
}
