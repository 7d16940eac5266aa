//! Simulates a machine that was suspended past the end of the certificate: the date jumps, and the monotonic clock does
//! not.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Cluster, Installation, Trust, Write, eventually, release};

const NEWEST: &str = "2.9";

/// The date is compared every second; the machine may be busy.
const AT_ONCE: Duration = Duration::from_secs(15);

/// Puts the seconds in the file `$DATE_AHEAD` on the date that a process is given, and leaves the other clocks alone.
const DATE_AHEAD: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    long failed = syscall(SYS_clock_gettime, clock, now);
    const char *path = getenv("DATE_AHEAD");
    char text[32] = {0};
    if (failed || clock != CLOCK_REALTIME || !path) return failed;
    int file = open(path, O_RDONLY);
    if (file >= 0) {
        if (read(file, text, sizeof text - 1) > 0) now->tv_sec += atoll(text);
        close(file);
    }
    return 0;
}
"#;

fn bad() -> Value {
    release("v2", "bad", &json!({"chartRef": {"kind": "OCIRepository", "name": "Podinfo"}}))
}

#[test]
fn a_date_that_jumps_past_the_end_of_the_certificate_renews_it_at_once() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let place = tempfile::tempdir().unwrap();
    let (library, ahead) = (shim(&place), place.path().join("ahead"));
    fs::write(&ahead, "0").unwrap();
    let mut installation = Installation::apply(&cluster, "enforce");
    installation.add_environment("LD_PRELOAD", &library);
    installation.add_environment("DATE_AHEAD", &ahead.display().to_string());
    installation.start_one();
    let trust = Trust::of(&cluster);
    let before = trust.secret()["data"]["tls.crt"].clone();

    // A certificate lives for ninety days.
    fs::write(&ahead, (100 * 24 * 3600).to_string()).unwrap();
    eventually("another certificate is made and served", AT_ONCE, || {
        let (after, (status, report)) =
            (trust.secret()["data"]["tls.crt"].clone(), installation.reports().remove(0));
        if after != before && status == 200 {
            Ok(())
        } else {
            Err(format!("{report}; {}", installation.logs()))
        }
    });
    // The clock of the API server has not moved, and it still trusts the serving certificate.
    let releases = cluster.namespace("clock").releases("v2");
    eventually("it is called", AT_ONCE, || {
        let answer = releases.create(&bad(), Write::by("me").dry_run());
        if answer.message().contains("denied the request") {
            Ok(())
        } else {
            Err(answer.message().to_owned())
        }
    });
}

/// The library, built.
fn shim(place: &TempDir) -> String {
    let (source, library) = (place.path().join("ahead.c"), place.path().join("ahead.so"));
    fs::write(&source, DATE_AHEAD).expect("the folder is ours");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(built.expect("who builds this has a C compiler, which links it").success());
    library.display().to_string()
}
