//! All of the corpus in one go, by the program itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::corpus;

#[test]
fn the_whole_corpus_is_told_in_the_same_bytes_each_time() {
    let Some(corpus) = corpus() else { return };
    let begun = Instant::now();
    let (first, highest) = run(&corpus);
    let took = begun.elapsed();
    let (second, _) = run(&corpus);
    // The oddities hold what nobody could read.
    assert_eq!(first.status.code(), Some(2));
    assert!(first.stderr.is_empty(), "{}", String::from_utf8_lossy(&first.stderr));
    assert_eq!(first, second, "the second time it says something else");
    let out = String::from_utf8(first.stdout).expect("we write UTF-8");
    let summary = out.lines().last().expect("there is a summary");
    println!("{summary}\nin {took:.1?}, at most {highest} KiB of memory");
    assert!(summary.contains(" HelmReleases judged"), "{summary}");
}

/// Runs `chartgate check` in a folder; also the most memory that it had, in KiB.
fn run(folder: &Path) -> (Output, u64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chartgate"));
    command.args(["check", "."]).env_clear().current_dir(folder);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("it starts");
    let status = format!("/proc/{}/status", child.id());
    let memory = thread::spawn(move || {
        let mut highest = 0;
        // What ended has no memory any more, so the last look but one counts.
        while let Some(now) = fs::read_to_string(&status).ok().and_then(|status| high_water(&status)) {
            highest = now;
            thread::sleep(Duration::from_millis(5));
        }
        highest
    });
    let output = child.wait_with_output().expect("it ends");
    (output, memory.join().expect("looking does not panic"))
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
