//! Clocks and certificates that do not go together, while serving.

use std::path::Path;

use time::{Duration, OffsetDateTime};

use crate::support::both_set;
use crate::support::process::{Authority, Process, eventually, presented};

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Valid from `from` to `to` seconds from now.
fn put(authority: &Authority, certs: &Path, from: i64, to: i64) {
    authority.put_with(certs, |params| {
        params.not_before = now() + Duration::seconds(from);
        params.not_after = now() + Duration::seconds(to);
    });
}

#[tokio::test]
async fn a_certificate_that_expires_while_it_is_served_ends_readiness_until_a_new_one_comes() {
    let place = tempfile::tempdir().unwrap();
    let (certs, authority) = (place.path().join("certs"), Authority::new());
    put(&authority, &certs, -60, 8);
    let mut process = Process::start(place.path(), &[]);
    let mut open = process.http1().await;
    let why = eventually("the end of readiness", async || {
        let (status, report) = process.observe("/readyz").await;
        (status == 503).then_some(report)
    })
    .await;
    assert!(why.contains("[-]certificate failed: it has expired on "), "{why}");
    assert_eq!(process.observe("/livez").await.0, 200);
    assert!(process.child.try_wait().unwrap().is_none(), "the process lives");
    // Whoever has shaken hands before does not ask again.
    assert_eq!(open.post(both_set()).await.0, 200);

    put(&authority, &certs, -60, 3600);
    eventually("readiness", async || (process.observe("/readyz").await.0 == 200).then_some(())).await;
    assert_eq!(process.http1().await.post(both_set()).await.0, 200);
    assert_eq!(process.metric("chartgate_panics_total").await.as_deref(), Some("0"));
}

#[tokio::test]
async fn a_certificate_that_is_not_yet_valid_waits_for_its_time() {
    let place = tempfile::tempdir().unwrap();
    let (certs, authority) = (place.path().join("certs"), Authority::new());
    put(&authority, &certs, -60, 3600);
    let process = Process::start(place.path(), &[]);
    let before = presented(&process.tls().await).0;
    put(&authority, &certs, 10, 3600);
    eventually("the failure in the metrics", async || {
        process.metric("chartgate_certificate_reload_failures_total").await.filter(|value| value == "1")
    })
    .await;
    assert!(presented(&process.tls().await).0 == before, "the old one is served");
    assert_eq!(process.observe("/readyz").await.0, 200);
    eventually("the reason in the log", async || process.log().contains("is not valid before").then_some(()))
        .await;
    eventually("the new certificate", async || (presented(&process.tls().await).0 != before).then_some(()))
        .await;
    assert_eq!(process.observe("/readyz").await.0, 200);
}
