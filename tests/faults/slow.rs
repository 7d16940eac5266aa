//! Clients that send a byte a second, or take none.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::scene::Scene;
use crate::support::both_set;

/// More than any limit that a slow client meets: a handshake has 5 s, a head 10 s, a body 3 s.
const PATIENCE: Duration = Duration::from_secs(45);

/// Sends a byte a second until the server closes, and returns what it said.
async fn trickle(stream: impl AsyncRead + AsyncWrite, bytes: &[u8]) -> String {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut said = Vec::new();
    let write = async {
        for byte in bytes.iter().cycle() {
            // This is the slowness, not a wait for anything.
            sleep(Duration::from_secs(1)).await;
            if writer.write_all(&[*byte]).await.is_err() || writer.flush().await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let closed = timeout(PATIENCE, async {
        tokio::select! {
            _ = reader.read_to_end(&mut said) => {}
            () = write => {}
        }
    });
    closed.await.expect("the server gives up");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_byte_a_second_is_given_up_at_every_stage() {
    let scene = Scene::start().await;
    let review = both_set();
    let head = format!(
        "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        review.len()
    );
    let hello = [&[0x16, 3, 1, 2, 0][..], &[1; 512]].concat();
    let raw = TcpStream::connect(scene.process.webhook).await.unwrap();
    let in_head = scene.tls("http/1.1").await;
    let mut in_body = scene.tls("http/1.1").await;
    in_body.write_all(head.as_bytes()).await.unwrap();
    let mut in_chunks = scene.tls("http/1.1").await;
    let chunked = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                   Transfer-Encoding: chunked\r\n\r\n";
    in_chunks.write_all(chunked.as_bytes()).await.unwrap();
    // The server ends all of them; they do not wait for each other.
    let (in_handshake, in_head, in_body, in_chunks) = tokio::join!(
        trickle(raw, &hello),
        trickle(in_head, head.as_bytes()),
        trickle(in_body, review.as_bytes()),
        trickle(in_chunks, b"1\r\n{\r\n"),
    );
    assert_eq!((in_handshake.as_str(), in_head.as_str()), ("", ""));
    assert!(in_body.starts_with("HTTP/1.1 504 "), "{in_body}");
    assert!(in_chunks.starts_with("HTTP/1.1 504 "), "{in_chunks}");
    scene.proves_unharmed_and_refused_nobody("a byte a second", 5).await;
}

#[tokio::test]
async fn who_takes_no_answers_is_asked_for_no_more_requests() {
    let scene = Scene::start().await;
    let mut stream = scene.tls("http/1.1").await;
    let review = both_set();
    let request = format!(
        "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{review}",
        review.len()
    );
    // Far more than all buffers of both sides hold.
    let stalls = async {
        for _ in 0..200_000 {
            if timeout(Duration::from_secs(3), stream.write_all(request.as_bytes())).await.is_err() {
                return true;
            }
        }
        false
    };
    assert!(stalls.await, "the server stops reading");
    scene.goes_on().await;
    drop(stream);
    scene.proves_unharmed_and_refused_nobody("a client that takes no answers", 2).await;
}
