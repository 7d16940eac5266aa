//! Floods and half requests over HTTP/2.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING, RST_STREAM, frame,
    frames, hello, post_head,
};
use crate::scene::{Scene, until_closed};
use crate::support::process::PATIENCE;

/// Sends a flood over one connection until the server has had enough, and returns the code of its goodbye. What it
/// answers is read all the while, so that it is never the answers that hold the flood up.
async fn flood(
    stream: TlsStream<TcpStream>,
    most: u32,
    mut attack: impl FnMut(u32) -> Vec<u8>,
) -> Option<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut said = Vec::new();
    let write = async {
        writer.write_all(&hello()).await.unwrap();
        for turn in 0..most {
            if writer.write_all(&attack(turn)).await.is_err() {
                break;
            }
        }
        let _ = writer.flush().await;
    };
    let ((), closed) = tokio::join!(write, timeout(PATIENCE, reader.read_to_end(&mut said)));
    let _ = closed.expect("the server ends it");
    frames(&said).iter().find(|(kind, ..)| *kind == GOAWAY).map(|(_, _, payload)| payload[7])
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_end_their_connection() {
    let scene = Scene::start().await;
    let head = post_head("/mutate");
    let reason = flood(scene.tls("h2").await, 100_000, |turn| {
        let stream = 2 * turn + 1;
        [frame(HEADERS, END_HEADERS, stream, &head), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    })
    .await;
    assert_eq!(reason, Some(ENHANCE_YOUR_CALM));
    scene.proves_unharmed_and_refused_nobody("HTTP/2 rapid reset", 2).await;
}

#[tokio::test]
async fn a_head_that_goes_on_for_ever_ends_its_connection() {
    let scene = Scene::start().await;
    // A header of 8,000 bytes, without an index: "x" and its value.
    let value = [&[0x00, 1, b'x', 0x7f, 0xc1, 0x3d][..], &[b'x'; 8000]].concat();
    let reason = flood(scene.tls("h2").await, 100_000, |turn| match turn {
        0 => frame(HEADERS, 0, 1, &post_head("/mutate")),
        _ => frame(CONTINUATION, 0, 1, &value),
    })
    .await;
    assert!(reason.is_some(), "the server says goodbye");
    scene.proves_unharmed_and_refused_nobody("HTTP/2 CONTINUATION flood", 2).await;
}

#[tokio::test]
async fn empty_continuations_end_their_connection_too() {
    let scene = Scene::start().await;
    let reason = flood(scene.tls("h2").await, 1_000_000, |turn| match turn {
        0 => frame(HEADERS, 0, 1, &post_head("/mutate")),
        _ => frame(CONTINUATION, 0, 1, &[]),
    })
    .await;
    assert!(reason.is_some(), "the server says goodbye");
    scene.proves_unharmed_and_refused_nobody("HTTP/2 flood of empty CONTINUATIONs", 2).await;
}

/// Whoever sends pings and takes no answer fills nothing but one answer.
#[tokio::test]
async fn pings_that_nobody_reads_the_answers_of_fill_no_memory() {
    let scene = Scene::start().await;
    let mut stream = scene.tls("h2").await;
    stream.write_all(&hello()).await.unwrap();
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(1000);
    for _ in 0..1000 {
        if !matches!(timeout(PATIENCE / 10, stream.write_all(&pings)).await, Ok(Ok(()))) {
            break;
        }
    }
    scene.goes_on().await;
    drop(stream);
    scene.proves_unharmed_and_refused_nobody("HTTP/2 ping flood", 2).await;
}

#[tokio::test]
async fn requests_that_never_end_are_answered_at_their_deadline() {
    let scene = Scene::start().await;
    let mut stream = scene.tls("h2").await;
    let head = post_head("/mutate?timeout=1s");
    let mut sent = hello();
    for stream in (1..200).step_by(2) {
        sent.extend(frame(HEADERS, END_HEADERS, stream, &head));
        sent.extend(frame(DATA, 0, stream, b"{\"kind\":"));
    }
    stream.write_all(&sent).await.unwrap();
    let mut said = Vec::new();
    let answers = async {
        let mut piece = [0; 4096];
        while answered(&said) < 100 {
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "the connection stays");
            said.extend_from_slice(&piece[..read]);
        }
    };
    timeout(PATIENCE, answers).await.expect("each gets its answer");
    assert_eq!(
        scene.process.metric(r#"chartgate_rejected_requests_total{reason="timeout"}"#).await.as_deref(),
        Some("100")
    );
    // The connection serves the next.
    let whole = [
        frame(HEADERS, END_HEADERS, 201, &head),
        frame(DATA, END_STREAM, 201, crate::support::both_set().as_bytes()),
    ];
    stream.write_all(&whole.concat()).await.unwrap();
    timeout(PATIENCE, async {
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&said).contains("try-me") {
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "the connection stays");
            said.extend_from_slice(&piece[..read]);
        }
    })
    .await
    .expect("the last one is whole");
    drop(stream);
    scene.proves_unharmed_and_refused_nobody("100 HTTP/2 requests that never end", 2).await;
}

fn answered(said: &[u8]) -> usize {
    frames(said).iter().filter(|(kind, ..)| *kind == HEADERS).count()
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_their_connection() {
    let scene = Scene::start().await;
    let head = post_head("/mutate");
    for (what, sent) in [
        ("data on a stream that is not open", frame(DATA, 0, 1, b"x")),
        ("a head on stream 0", frame(HEADERS, END_HEADERS, 0, &head)),
        ("a frame that is too long", frame(DATA, 0, 1, &vec![0; 20_000])),
        ("a head that cannot be decompressed", frame(HEADERS, END_HEADERS, 1, &[0xff; 20])),
    ] {
        let mut stream = scene.tls("h2").await;
        stream.write_all(&[hello(), sent].concat()).await.unwrap();
        let said = until_closed(&mut stream).await.unwrap_or_else(|| panic!("{what}: not closed"));
        assert!(frames(&said).iter().any(|(kind, ..)| *kind == GOAWAY), "{what}");
    }
    scene.proves_unharmed_and_refused_nobody("HTTP/2 frames out of order", 2).await;
}
