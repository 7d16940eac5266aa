//! Runs programs in turn, and tells what they took.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// A program with its arguments.
pub(crate) struct Program {
    pub(crate) name: String,
    path: OsString,
    arguments: Vec<OsString>,
}

/// One run.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    wall: Duration,
    cpu: Duration,
    peak_kib: u64,
}

/// Several runs of one program, as a line of a table.
pub(crate) struct Timed<'t>(&'t [Turn]);

impl Program {
    pub(crate) fn new(name: &str, program: &str, arguments: &[&str], folder: &Path) -> Self {
        let mut arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        arguments.push(folder.into());
        Self { name: name.to_owned(), path: program.into(), arguments }
    }

    /// Runs it to its end. What it says is not looked at, and neither is its exit code: findings are expected.
    fn run(&self) -> Result<Turn> {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (cpu, start) = (children_cpu()?, Instant::now());
        let mut child = command.spawn().with_context(|| format!("{} does not start", self.name))?;
        let status = format!("/proc/{}/status", child.id());
        let mut peak_kib = 0;
        let code = loop {
            peak_kib = peak_kib.max(high_water(&status));
            if let Some(code) = child.try_wait()? {
                break code;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        ensure!(code.code().is_some(), "{} was killed", self.name);
        Ok(Turn { wall: start.elapsed(), cpu: children_cpu()?.saturating_sub(cpu), peak_kib })
    }
}

/// Each program once to warm up, then all of them in turn.
pub(crate) fn in_turn(programs: &[Program], rounds: usize) -> Result<Vec<Vec<Turn>>> {
    let mut turns = vec![Vec::new(); programs.len()];
    for program in programs {
        program.run()?;
    }
    for _ in 0..rounds {
        for (program, turns) in programs.iter().zip(&mut turns) {
            turns.push(program.run()?);
        }
    }
    Ok(turns)
}

/// How many times longer one takes than the other, run by run: median, least and most.
pub(crate) fn ratio(ours: &[Turn], other: &[Turn]) -> String {
    let ratios = ratios(ours, other);
    format!("{:.2} ({:.2} to {:.2})", ratios[ratios.len() / 2], ratios[0], ratios[ratios.len() - 1])
}

/// The median of that alone.
pub(crate) fn median_ratio(ours: &[Turn], other: &[Turn]) -> f64 {
    let ratios = ratios(ours, other);
    ratios[ratios.len() / 2]
}

/// From the least to the most.
fn ratios(ours: &[Turn], other: &[Turn]) -> Vec<f64> {
    let mut ratios: Vec<_> = ours
        .iter()
        .zip(other)
        .map(|(one, other)| one.wall.as_secs_f64() / other.wall.as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

/// The most memory that any of the runs took.
pub(crate) fn peak_bytes(turns: &[Turn]) -> u64 {
    turns.iter().map(|turn| turn.peak_kib * 1024).max().unwrap_or_default()
}

/// What all children together have taken so far, those that have ended; the kernel tells hundredths of a second.
fn children_cpu() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').context("it has a name")?.1.split_whitespace();
    let ticks: u64 = fields.skip(13).take(2).map(|field| field.parse::<u64>().unwrap_or_default()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// The most memory that a process had so far.
fn high_water(status: &str) -> u64 {
    let Ok(text) = fs::read_to_string(status) else { return 0 };
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

impl<'t> Timed<'t> {
    pub(crate) fn of(turns: &'t [Turn]) -> Self {
        Self(turns)
    }
}

impl fmt::Display for Timed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut walls: Vec<_> = self.0.iter().map(|turn| turn.wall.as_secs_f64()).collect();
        walls.sort_by(f64::total_cmp);
        let cpu: Duration = self.0.iter().map(|turn| turn.cpu).sum();
        let peak = self.0.iter().map(|turn| turn.peak_kib).max().unwrap_or_default();
        let turns = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        write!(
            f,
            "{:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>8}",
            walls[0],
            walls[walls.len() / 2],
            walls[walls.len() - 1],
            (cpu / turns).as_secs_f64(),
            peak / 1024
        )
    }
}
