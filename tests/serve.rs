//! `chartgate serve` as a process: what it does to files, sockets and signals.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use axum::body::Body;
use axum::http::Request;
use chartgate::webhook::body::MAX_REVIEW_BYTES;
use rustls::ProtocolVersion;
use support::process::{
    Authority, Process, ask_http2, chartgate, connect, eventually, http1_over, post, presented, try_connect,
};
use support::{both_set, review_of_size};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

fn place() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A place whose `certs` hold a user's pair.
fn place_with_users_pair() -> (TempDir, Authority) {
    let (place, authority) = (place(), Authority::new());
    authority.put(&place.path().join("certs"));
    (place, authority)
}

fn set(directory: &Path) -> [Vec<u8>; 3] {
    ["ca.crt", "tls.crt", "tls.key"].map(|file| fs::read(directory.join(file)).unwrap())
}

/// The one line and the exit code with which the program does not start.
fn refusal(place: &Path, args: &[&str]) -> (String, Option<i32>) {
    let output = chartgate(place).arg("serve").args(args).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

#[tokio::test]
async fn a_first_start_makes_certificates_and_prints_a_curl_line_that_works() {
    let place = place();
    let process = Process::start(place.path(), &[]);
    let mode = fs::metadata(place.path().join("certs/tls.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let line = process.stdout.last().unwrap();
    assert!(line.starts_with("curl "), "{line}");
    let curl = Command::new("sh").args(["-c", line]).current_dir(place.path()).output().unwrap();
    assert!(curl.status.success(), "{}", String::from_utf8_lossy(&curl.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&curl.stdout).unwrap();
    assert_eq!(answer["response"]["allowed"], false);
    let message = answer["response"]["status"]["message"].as_str().unwrap();
    assert!(message.contains("[chart-and-chart-ref]"), "{message}");
}

#[tokio::test]
async fn a_second_start_serves_the_same_certificate() {
    let place = place();
    drop(Process::start(place.path(), &[]));
    let before = set(&place.path().join("certs"));
    let process = Process::start(place.path(), &[]);
    assert_eq!(process.http1().await.post(both_set()).await.0, 200);
    assert_eq!(set(&place.path().join("certs")), before);
}

#[tokio::test]
async fn a_users_pair_is_served_and_never_overwritten() {
    let (place, _) = place_with_users_pair();
    let before = set(&place.path().join("certs"));
    let process = Process::start(place.path(), &[]);
    assert_eq!(process.http1().await.post(both_set()).await.0, 200);
    drop(process);
    assert_eq!(set(&place.path().join("certs")), before);
}

#[test]
fn half_a_pair_stops_the_start_with_a_line_that_names_the_file() {
    let (place, _) = place_with_users_pair();
    fs::remove_file(place.path().join("certs/tls.key")).unwrap();
    let ports = ["--listen", "127.0.0.1:0", "--observe", "127.0.0.1:0"];
    assert_eq!(
        refusal(place.path(), &ports),
        (
            "error: certs/tls.crt is there, but certs/tls.key is not: put it there, or remove the first and a new \
             pair is made\n"
                .into(),
            Some(2)
        )
    );
}

#[test]
fn an_address_in_use_is_named_with_its_flag() {
    let place = place();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, other) in [("--listen", "--observe"), ("--observe", "--listen")] {
        let (text, code) = refusal(place.path(), &[flag, &address, other, "127.0.0.1:0"]);
        assert_eq!(
            text.replace(&address, "ADDRESS"),
            format!(
                "error: cannot listen on ADDRESS ({flag}): something listens there already; stop it, or choose \
                 another port (0 takes a free one): Address already in use (os error 98)\n"
            )
        );
        assert_eq!(code, Some(2));
    }
    assert!(!place.path().join("certs").exists(), "who cannot listen makes no files");
}

#[test]
fn a_bad_flag_is_named() {
    let place = place();
    for (args, expected) in [
        (
            ["--listen", "localhost"],
            "invalid value 'localhost' for '--listen <ADDRESS>': write IP:PORT, such as 127.0.0.1:8443",
        ),
        (["--log-level", "loud"], "--log-level (or RUST_LOG): \"loud\" is no log filter: write a level"),
        (["--flux", "3.1"], "invalid value '3.1' for '--flux <2.x>': \"3.1\" is no Flux minor"),
        (
            ["--config", "nowhere.yaml"],
            "--config: cannot read the configuration nowhere.yaml: No such file or directory (os error 2)\n",
        ),
        (["--log-format", "xml"], "invalid value 'xml' for '--log-format <FORMAT>'"),
    ] {
        let (text, code) = refusal(place.path(), &args);
        assert!(text.starts_with("error: ") && text.contains(expected), "{text}");
        assert_eq!(code, Some(2));
    }
}

#[test]
fn a_bad_configuration_is_one_line_with_its_place() {
    let place = place();
    fs::write(place.path().join("chartgate.yaml"), "heal: never\nmode: warm\n").unwrap();
    assert_eq!(
        refusal(place.path(), &["--config", "chartgate.yaml"]),
        (
            "error: --config: chartgate.yaml:2:7: \"warm\" is none of off, audit, warn, enforce\n".into(),
            Some(2)
        )
    );
}

#[test]
fn a_certificate_in_a_secret_without_a_cluster_is_refused_with_what_to_do() {
    let place = place();
    for access in ["auto", "off"] {
        assert_eq!(
            refusal(place.path(), &["--certs=self", "--cluster", access, "--listen=127.0.0.1:0", "--observe=127.0.0.1:0"]),
            (
                "error: --certs=self keeps the certificate in a Secret, and there is no API server to ask: run in a pod, \
                 or add --cluster=required to use a kubeconfig (a directory of that name is written ./self)\n"
                    .into(),
                Some(2)
            )
        );
    }
    assert!(!place.path().join("self").exists());
}

#[tokio::test]
async fn a_directory_called_self_is_served_from() {
    let (place, authority) = (place(), Authority::new());
    authority.put(&place.path().join("self"));
    let process = Process::start(place.path(), &["--certs=./self"]);
    let authority = place.path().join("self/ca.crt");
    let stream = connect(process.webhook, &authority, rustls::ALL_VERSIONS, "http/1.1").await;
    assert_eq!(http1_over(stream).await.post(both_set()).await.0, 200);
}

#[tokio::test]
async fn configuration_and_flux_minor_reach_the_judge() {
    let place = place();
    fs::write(place.path().join("chartgate.yaml"), "mode: warn\n").unwrap();
    // Flux 2.7 brought this kind.
    let review = both_set().replace("OCIRepository", "ExternalArtifact");
    for (flux, is_known) in [("2.6", false), ("2.7", true)] {
        let process = Process::start(place.path(), &["--config", "chartgate.yaml", "--flux", flux]);
        let (_, answer) = process.http1().await.post(review.clone()).await;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["response"]["allowed"], true);
        let warnings = answer["response"]["warnings"].to_string();
        assert!(warnings.contains("[chart-and-chart-ref]"), "{warnings}");
        assert_eq!(warnings.contains("[chart-ref-kind]"), !is_known, "{warnings}");
    }
}

/// Waits until a new connection gets another certificate than before `change`, while an open one goes on.
async fn serves_anew_without_closing_an_open_connection(process: &Process, change: impl FnOnce()) {
    let stream = process.tls().await;
    let before = presented(&stream).0;
    let mut open = http1_over(stream).await;
    assert_eq!(open.post(both_set()).await.0, 200);

    change();
    eventually("the new certificate", async || (presented(&process.tls().await).0 != before).then_some(()))
        .await;
    assert_eq!(open.post(both_set()).await.0, 200, "the old connection goes on");
    let shown = process.metric("chartgate_certificate_reload_failures_total").await;
    assert_eq!(shown.as_deref(), Some("0"));
}

#[tokio::test]
async fn a_changed_pair_is_served_without_closing_an_open_connection() {
    let (place, authority) = place_with_users_pair();
    let process = Process::start(place.path(), &[]);
    serves_anew_without_closing_an_open_connection(&process, || {
        authority.put(&place.path().join("certs"));
    })
    .await;
}

#[tokio::test]
async fn a_mounted_secret_that_is_swapped_is_served_without_closing_an_open_connection() {
    let (place, authority) = (place(), Authority::new());
    let mount = place.path().join("certs");
    authority.put(&mount.join("..1"));
    symlink("..1", mount.join("..data")).unwrap();
    for file in ["ca.crt", "tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(file), mount.join(file)).unwrap();
    }
    let process = Process::start(place.path(), &[]);
    serves_anew_without_closing_an_open_connection(&process, || {
        // As the kubelet does it.
        authority.put(&mount.join("..2"));
        symlink("..2", mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        fs::remove_dir_all(mount.join("..1")).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_bad_pair_keeps_the_old_one_and_is_logged_and_counted() {
    let (place, authority) = place_with_users_pair();
    let process = Process::start(place.path(), &[]);
    let before = presented(&process.tls().await).0;
    let good_key = fs::read(place.path().join("certs/tls.key")).unwrap();
    fs::write(place.path().join("certs/tls.key"), authority.pair().1).unwrap();
    eventually("the failure in the metrics", async || {
        process.metric("chartgate_certificate_reload_failures_total").await.filter(|value| value == "1")
    })
    .await;
    assert!(presented(&process.tls().await).0 == before);
    assert_eq!(process.observe("/readyz").await.0, 200);
    eventually("the failure in the log", async || {
        process.log().contains("certs/tls.key is not the key of the first certificate").then_some(())
    })
    .await;
    fs::write(place.path().join("certs/tls.key"), good_key).unwrap();
    assert_eq!(process.http1().await.post(both_set()).await.0, 200);
}

#[tokio::test]
async fn both_versions_of_tls_and_of_http_are_spoken() {
    let place = place();
    let process = Process::start(place.path(), &[]);
    let authority = place.path().join("certs/ca.crt");
    for (version, expected) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let stream = connect(process.webhook, &authority, &[version], "http/1.1").await;
        assert_eq!(presented(&stream).1, expected);
        assert_eq!(http1_over(stream).await.post(both_set()).await.0, 200);

        let stream = connect(process.webhook, &authority, &[version], "h2").await;
        assert_eq!(presented(&stream).1, expected);
        assert_eq!(ask_http2(stream, both_set()).await.0, 200);
    }
}

#[tokio::test]
async fn the_longest_review_is_judged_and_a_byte_more_is_refused_in_a_readable_way() {
    let place = place();
    let process = Process::start(place.path(), &[]);
    let authority = place.path().join("certs/ca.crt");
    for (bytes, expected) in [(MAX_REVIEW_BYTES, 200), (MAX_REVIEW_BYTES + 1, 413)] {
        let review = review_of_size(bytes);
        let mut open = process.http1().await;
        assert_eq!(open.post(review.clone()).await.0, expected, "HTTP/1.1, {bytes} bytes");
        // What was refused was read over: the same connection serves the next.
        assert_eq!(open.post(both_set()).await.0, 200);
        let chunked = Request::post("/mutate").header("content-type", "application/json");
        let chunked = chunked.header("host", "webhook").header("transfer-encoding", "chunked");
        let chunked = chunked.body(Body::from(review.clone())).unwrap();
        assert_eq!(open.ask(chunked).await.0, expected, "chunked, {bytes} bytes");
        let stream = connect(process.webhook, &authority, rustls::ALL_VERSIONS, "h2").await;
        assert_eq!(ask_http2(stream, review).await.0, expected, "HTTP/2, {bytes} bytes");
    }
}

#[tokio::test]
async fn requests_that_are_no_reviews_are_told_so() {
    let place = place();
    let process = Process::start(place.path(), &[]);
    let mut open = process.http1().await;
    let yaml = Request::post("/mutate").header("host", "webhook").header("content-type", "application/yaml");
    let get = Request::get("/validate").header("host", "webhook").body(Body::empty()).unwrap();
    for (request, expected) in [
        (yaml.body(Body::from("a: 1")).unwrap(), 415),
        (get, 405),
        (post("/", "{}"), 404),
        (post("/mutate", "{}"), 400),
    ] {
        let (status, text) = open.ask(request).await;
        assert_eq!(status, expected);
        assert!(text.ends_with('\n'), "{text:?}");
    }
}

#[tokio::test]
async fn the_plain_port_tells_life_readiness_and_metrics() {
    let place = place();
    let process = Process::start(place.path(), &[]);
    assert_eq!(process.observe("/livez").await, (200, "ok\n".into()));
    assert_eq!(process.observe("/readyz").await, (200, "ok\n".into()));
    assert_eq!(
        process.observe("/readyz?verbose").await,
        (200, "[+]listener ok\n[+]certificate ok\n[+]serving ok\nreadyz check passed\n".into())
    );
    assert_eq!(
        process.observe("/").await,
        (404, "there is nothing here: GET /livez, /readyz or /metrics\n".into())
    );
    let not_after = process.metric("chartgate_certificate_not_after_seconds").await.unwrap();
    let in_a_year = time::OffsetDateTime::now_utc().unix_timestamp() + 365 * 24 * 3600;
    assert!((not_after.parse::<i64>().unwrap() - in_a_year).abs() < 3600);
    let build = format!("chartgate_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(process.metric(&build).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_termination_turns_readiness_off_and_finishes_what_is_under_way() {
    let place = place();
    let mut process = Process::start(place.path(), &["--shutdown-delay", "1"]);
    let review = both_set();
    let mut stream = process.tls().await;
    let head = format!(
        "POST /mutate HTTP/1.1\r\nHost: webhook\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        review.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 25]).await.unwrap();

    process.signal("TERM");
    eventually("the end of readiness", async || (process.observe("/readyz").await.0 == 503).then_some(()))
        .await;
    let (_, report) = process.observe("/readyz").await;
    assert!(report.contains("[-]serving failed: shutting down\n"), "{report}");
    assert_eq!(process.observe("/livez").await.0, 200);
    eventually("the end of accepting", async || {
        tokio::net::TcpStream::connect(process.webhook).await.is_err().then_some(())
    })
    .await;

    stream.write_all(review.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // The connection may be closed with or without TLS's goodbye; what counts is the answer before.
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"uid\":\"try-me\""), "{answer}");
    assert_eq!(process.ended().await.code(), Some(0));
}

/// Asks again and again, over new connections where the old one was closed politely, until nobody listens any more.
async fn ask_to_the_end(webhook: SocketAddr, authority: PathBuf) -> u64 {
    let mut answered = 0;
    while let Ok(stream) = try_connect(webhook, &authority, rustls::ALL_VERSIONS, "http/1.1").await {
        let mut open = http1_over(stream).await;
        while open.is_open().await {
            assert_eq!(open.post(both_set()).await.0, 200);
            answered += 1;
        }
    }
    answered
}

#[tokio::test]
async fn no_request_fails_while_a_busy_server_ends() {
    let place = place();
    let mut process = Process::start(place.path(), &["--shutdown-delay", "1"]);
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        clients.spawn(ask_to_the_end(process.webhook, place.path().join("certs/ca.crt")));
    }
    eventually("some work", async || {
        let reviews = process.metric("chartgate_review_duration_seconds_count").await?;
        (reviews.parse::<u64>().unwrap() > 100).then_some(())
    })
    .await;
    process.signal("TERM");
    let answered: u64 = clients.join_all().await.into_iter().sum();
    assert!(answered > 100);
    assert_eq!(process.ended().await.code(), Some(0));
    assert!(!process.log().contains("were cut"), "nothing was left to cut");
}

#[tokio::test]
async fn a_leaving_server_answers_http2_too() {
    let place = place();
    let process = Process::start(place.path(), &["--shutdown-delay", "3600"]);
    process.signal("TERM");
    eventually("the end of readiness", async || (process.observe("/readyz").await.0 == 503).then_some(()))
        .await;
    let authority = place.path().join("certs/ca.crt");
    let stream = connect(process.webhook, &authority, rustls::ALL_VERSIONS, "h2").await;
    assert_eq!(ask_http2(stream, both_set()).await.0, 200);
}

#[tokio::test]
async fn a_lack_of_file_descriptors_passes() {
    let place = place();
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n 32 && exec "$0" "$@""#, env!("CARGO_BIN_EXE_chartgate")]);
    command.current_dir(place.path()).env_remove("RUST_LOG");
    command.stderr(fs::File::create(place.path().join("log")).unwrap());
    let process = Process::spawn(place.path(), command, &[]);
    let mut crowd = Vec::new();
    eventually("the lack", async || {
        crowd.push(tokio::net::TcpStream::connect(process.webhook).await.unwrap());
        process.log().contains("cannot accept connections").then_some(())
    })
    .await;
    drop(crowd);
    assert_eq!(process.http1().await.post(both_set()).await.0, 200);
}

#[tokio::test]
async fn an_interrupt_ends_without_delay() {
    let place = place();
    let mut process = Process::start(place.path(), &["--shutdown-delay", "3600"]);
    process.signal("INT");
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let place = place();
    for (second, code) in [("TERM", 143), ("INT", 130)] {
        let mut process = Process::start(place.path(), &["--shutdown-delay", "3600"]);
        process.signal("TERM");
        eventually("the end of readiness", async || {
            (process.observe("/readyz").await.0 == 503).then_some(())
        })
        .await;
        process.signal(second);
        assert_eq!(process.ended().await.code(), Some(code));
        assert!(process.log().contains("ended at once by a second signal"), "the log is written out");
    }
}

#[tokio::test]
async fn every_decision_leaves_one_line_of_json() {
    let place = place();
    let mut process = Process::start(place.path(), &[]);
    process.http1().await.post(both_set()).await;
    process.signal("INT");
    process.ended().await;
    let log = process.log();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut decision = lines.into_iter().find(|line| line["target"] == "chartgate::decision").unwrap();
    for (key, is_right) in [
        (
            "time",
            decision["time"].as_str().is_some_and(|time| time.len() == "2026-11-22T12:00:00.000000Z".len()),
        ),
        ("microseconds", decision["microseconds"].is_u64()),
    ] {
        assert!(is_right, "{key}: {decision}");
        decision.as_object_mut().unwrap().remove(key);
    }
    let expected = serde_json::json!({
        "uid": "try-me", "level": "INFO", "target": "chartgate::decision", "decision": "denied",
        "operation": "CREATE", "namespace": "default", "name": "podinfo", "user": "you",
        "rules": "chart-and-chart-ref,chart-ref-namespace,version-annotation", "patched": "",
        "dry_run": false, "mode": "enforce",
    });
    assert_eq!(decision, expected);
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_no_review() {
    let place = place();
    let mut command = chartgate(place.path());
    command.stderr(Stdio::piped());
    let process = Process::spawn(place.path(), command, &[]);
    let mut open = process.http1().await;
    // The pipe takes 64 KiB, then 2 MiB of memory; a line is some 300 bytes.
    eventually("the first lost line", async || {
        for _ in 0..1000 {
            assert_eq!(open.post(both_set()).await.0, 200);
        }
        process.metric("chartgate_lost_log_lines_total").await.filter(|lost| lost != "0")
    })
    .await;
    assert_eq!(open.post(both_set()).await.0, 200);
}

#[tokio::test]
async fn the_log_can_be_filtered_from_the_environment() {
    let place = place();
    let mut command = chartgate(place.path());
    command.env("RUST_LOG", "off").stderr(fs::File::create(place.path().join("log")).unwrap());
    let mut process = Process::spawn(place.path(), command, &[]);
    process.http1().await.post(both_set()).await;
    process.signal("INT");
    process.ended().await;
    assert_eq!(process.log(), "");
}
