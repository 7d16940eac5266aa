//! `chartgate check` of a corpus, side by side with the least that can be done with the same files, and with other tools.
//!
//! The programs take turns, so a machine that is slow today is slow for all of them, and a ratio is always of two runs that followed each
//! other. Run it with `cargo bench --bench check`. `--corpus DIR` names the files; the default is a corpus beside the checkout.

#![allow(clippy::print_stdout, reason = "a benchmark is run for what it prints")]
#![allow(clippy::cast_precision_loss, reason = "bytes are told with one digit behind the point")]

mod floor;
mod run;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use run::{Program, Timed};

/// The most that a check may take, as a multiple of the parser's events of the same documents.
const TARGET: f64 = 1.5;

/// The most memory that a check may take, in bytes.
const MEMORY: u64 = 60_000_000;

/// How often the corpus is there beside itself, to see whether cost grows as the files do.
const COPIES: [usize; 3] = [1, 4, 16];

#[derive(Parser)]
struct Args {
    /// The files.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus"))]
    corpus: PathBuf,

    /// How often each program takes its turn.
    #[arg(long, default_value_t = 10)]
    rounds: usize,

    /// Leave out the other tools, which need Go.
    #[arg(long)]
    alone: bool,

    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Walk, read and search every file.
    #[command(hide = true)]
    Search { folder: PathBuf },
    /// The same, and the parser's events of every file that names what a check is about.
    #[command(hide = true)]
    Events { folder: PathBuf },
    /// Build the folders in a list with the library of kustomize.
    #[command(hide = true)]
    Kustomize { program: PathBuf, list: PathBuf },
}

fn main() -> Result<()> {
    let Args { corpus, rounds, alone, bench: _, command } = Args::parse();
    match command {
        Some(Command::Search { folder }) => floor::run(&folder, floor::Depth::Search),
        Some(Command::Events { folder }) => floor::run(&folder, floor::Depth::Events),
        Some(Command::Kustomize { program, list }) => tools::build(&program, &list)?,
        None if !corpus.is_dir() => {
            println!("skipped: no corpus at {}", corpus.display());
            return Ok(());
        }
        None => return compare(&corpus, rounds, alone),
    }
    Ok(())
}

fn compare(corpus: &Path, rounds: usize, alone: bool) -> Result<()> {
    let corpus = corpus.canonicalize().context("the corpus cannot be found")?;
    let mut programs = vec![check(&corpus), floor("search", &corpus)?, floor("events", &corpus)?];
    let lists = tempfile::tempdir()?;
    if !alone {
        programs.extend(tools::all(&corpus, lists.path())?);
    }
    let turns = run::in_turn(&programs, rounds)?;
    println!("{:<42} {:>9} {:>9} {:>9} {:>9} {:>8}", "", "min s", "median s", "max s", "CPU s", "peak MiB");
    for (program, turns) in programs.iter().zip(&turns) {
        println!("{:<42} {}", program.name, Timed::of(turns));
    }
    println!();
    for (program, turns_of_other) in programs.iter().zip(&turns).skip(1) {
        let ratio = run::ratio(&turns[0], turns_of_other);
        println!("check / {:<34} {ratio}", program.name);
    }
    let (times, peak) = (run::median_ratio(&turns[0], &turns[2]), run::peak_bytes(&turns[0]));
    let verdict = |holds: bool| if holds { "reached" } else { "NOT REACHED" };
    println!("at most {TARGET} x events: {}", verdict(times <= TARGET));
    println!("below {} MB: {}, at {:.1}\n", MEMORY / 1_000_000, verdict(peak < MEMORY), peak as f64 / 1e6);
    growth(&corpus, rounds.min(5))
}

/// Whether cost grows as the files do.
fn growth(corpus: &Path, rounds: usize) -> Result<()> {
    for copies in COPIES {
        let folder = tempfile::tempdir()?;
        for copy in 0..copies {
            link(corpus, &folder.path().join(copy.to_string()))?;
        }
        let programs = [check(folder.path()), floor("events", folder.path())?];
        let turns = run::in_turn(&programs, rounds)?;
        let [ours, events] = &turns[..] else { unreachable!("two programs ran") };
        println!(
            "{copies:>2} x the corpus: {}; check / events {}",
            Timed::of(ours),
            run::ratio(ours, events)
        );
    }
    Ok(())
}

/// The same folder once more, without copying what is in the files.
fn link(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link(&entry.path(), &target)?;
        } else if fs::hard_link(entry.path(), &target).is_err() {
            // Another file system, or one that is read-only.
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn check(folder: &Path) -> Program {
    let program = env!("CARGO_BIN_EXE_chartgate");
    Program::new("chartgate check", program, &["check", "--quiet"], folder)
}

fn floor(what: &str, folder: &Path) -> Result<Program> {
    let program = std::env::current_exe()?;
    let name = format!("floor: {what}");
    Ok(Program::new(&name, program.to_str().context("our own path is text")?, &[what], folder))
}
