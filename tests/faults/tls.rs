//! Before HTTP: nothing, half a handshake, and what is none.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::scene::{Scene, until_closed};

/// A TLS record that says it holds a `ClientHello` of 508 bytes, and its first four bytes.
const HALF_HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc];

#[tokio::test]
async fn half_open_handshakes_are_given_up() {
    let scene = Scene::start().await;
    let mut attackers = Vec::new();
    for kind in 0..300 {
        let mut stream = TcpStream::connect(scene.process.webhook).await.unwrap();
        let sent: &[u8] = [&[][..], &HALF_HELLO[..3], HALF_HELLO][kind % 3];
        stream.write_all(sent).await.unwrap();
        attackers.push(stream);
    }
    scene.goes_on().await;
    for mut attacker in attackers {
        assert!(until_closed(&mut attacker).await.is_some(), "the server gives up");
    }
    let failures = scene.process.metric("chartgate_tls_handshake_failures_total").await;
    assert_eq!(failures.as_deref(), Some("300"));
    scene.proves_unharmed_and_refused_nobody("300 half-open handshakes", 301).await;
}

#[tokio::test]
async fn garbage_before_tls_is_refused() {
    let scene = Scene::start().await;
    let zeros = vec![0; 100_000];
    let noise: Vec<u8> = (0..100_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    // A record that claims to be longer than any may be, and an alert that nobody asked for.
    let long = [&[0x16, 3, 1, 0xff, 0xff][..], &zeros].concat();
    let shapes: [&[u8]; 6] = [
        b"POST /mutate HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        &zeros,
        &noise,
        &long,
        &[0x15, 3, 3, 0, 2, 2, 40],
    ];
    for shape in shapes {
        let mut stream = TcpStream::connect(scene.process.webhook).await.unwrap();
        // It may be closed before all of it is written.
        let _ = stream.write_all(shape).await;
        assert!(until_closed(&mut stream).await.is_some(), "{:?} …", &shape[..6]);
    }
    let failures = scene.process.metric("chartgate_tls_handshake_failures_total").await;
    assert_eq!(failures.as_deref(), Some("6"));
    scene.proves_unharmed_and_refused_nobody("garbage before TLS", 2).await;
}

#[tokio::test]
async fn garbage_inside_of_tls_is_refused() {
    let scene = Scene::start().await;
    let zeros = vec![0; 100_000];
    let noise: Vec<u8> = (0..100_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    for alpn in ["http/1.1", "h2"] {
        let shapes: [&[u8]; 4] = [&zeros, &noise, b"\x16\x03\x01\x02\x00", b"SSH-2.0-OpenSSH_9.9\r\n\r\n"];
        for shape in shapes {
            let mut stream = scene.tls(alpn).await;
            let _ = stream.write_all(shape).await;
            let _ = stream.shutdown().await;
            let said = until_closed(&mut stream).await.expect("the server closes");
            let said = String::from_utf8_lossy(&said);
            assert!(!said.contains(" 200 "), "{alpn}, {:?} …: {said}", &shape[..5]);
        }
        // A record that is no TLS, inside of a connection that is.
        let mut stream = scene.tls(alpn).await;
        stream.get_mut().0.write_all(&[0x17, 3, 3, 0, 32]).await.unwrap();
        stream.get_mut().0.write_all(&[0; 32]).await.unwrap();
        assert!(until_closed(&mut stream.into_inner().0).await.is_some(), "{alpn}: the server closes");
    }
    scene.proves_unharmed_and_refused_nobody("garbage inside of TLS", 2).await;
}

#[tokio::test]
async fn idle_connections_cost_their_place_alone() {
    let scene = Scene::start().await;
    let before = scene.process.memory_kib("VmRSS");
    let mut idle = Vec::new();
    for kind in 0..500 {
        idle.push(scene.tls(["http/1.1", "h2"][kind % 2]).await);
    }
    scene.goes_on().await;
    let open = scene.process.metric("chartgate_connections").await;
    assert_eq!(open.as_deref(), Some("501"));
    let each = scene.process.memory_kib("VmRSS").saturating_sub(before) / 500;
    println!("an idle connection takes {each} KiB");
    drop(idle);
    scene.proves_unharmed_and_refused_nobody("500 idle connections", 501).await;
}
