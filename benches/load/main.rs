//! `chartgate serve` under load, side by side with the floor: a server of the same parts that always gives the same answer.
//!
//! Both are pinned to one core and take turns under `wrk`, which has another core to itself. A ratio is always of two turns that
//! followed each other, so a machine that is slow today is slow for both. Besides reviews per second it tells the CPU time of a review,
//! which stays true when something else wants the core. Run it with `cargo bench --bench load`; it needs `wrk` and `taskset`.

#![allow(clippy::print_stdout, reason = "a benchmark is run for what it prints")]

#[path = "../bodies/mod.rs"]
mod bodies;
#[path = "../figures/mod.rs"]
mod figures;
mod floor;
mod server;
#[path = "../stack/mod.rs"]
mod stack;
mod wrk;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use bodies::Bodies;
use figures::Spread;
use server::Server;
use wrk::Client;

/// The least and the hoped-for share of the floor's reviews per second, in the order of [`bodies::all`].
const TARGETS: [(f64, f64); 3] = [(0.6, 0.8), (0.45, 0.7), (0.35, 0.6)];

/// What the process may take in memory at its highest.
const MAX_MEMORY_KIB: u64 = 20 * 1024;

#[derive(Parser)]
struct Args {
    /// How often each server takes its turn with each body.
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// How many seconds a turn takes.
    #[arg(long, default_value_t = 2)]
    seconds: u32,

    /// What cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve as the floor.
    #[command(hide = true)]
    Floor { port: u16 },
}

/// One server's turn.
struct Turn {
    reviews_per_second: f64,
    cpu_micros: f64,
    /// The share of the turn's time that the server was running.
    busy: f64,
}

/// Two turns that followed each other.
struct Round {
    ours: Turn,
    floor: Turn,
}

fn main() -> Result<ExitCode> {
    let Args { rounds, seconds, bench: _, command } = Args::parse();
    match command {
        Some(Command::Floor { port }) => floor::serve(port).map(|()| ExitCode::SUCCESS),
        None => compare(rounds, seconds),
    }
}

fn compare(rounds: usize, seconds: u32) -> Result<ExitCode> {
    let directory = tempfile::tempdir()?;
    let ours = Server::chartgate(directory.path())?;
    let floor = Server::floor()?;
    println!("chartgate of floor = ratio (least to most of {rounds} rounds)");
    println!("chartgate at rest: {:.1} MiB", mib(ours.memory_kib()?.now));

    let mut reached = true;
    for (sized, (least, hoped)) in bodies::all().into_iter().zip(TARGETS) {
        let client = Client::new(directory.path(), &sized, seconds)?;
        let rounds =
            (0..rounds).map(|round| turns(&client, &ours, &floor, round)).collect::<Result<Vec<_>>>()?;
        reached &= print(&sized, &rounds, least, hoped);
    }
    let highest = ours.memory_kib()?.highest;
    println!("chartgate at its highest: {:.1} MiB of {:.0}", mib(highest), mib(MAX_MEMORY_KIB));
    reached &= highest < MAX_MEMORY_KIB;
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One round. Who goes first alternates, so that whatever goes on in the machine meets both alike.
fn turns(client: &Client, ours: &Server, floor: &Server, round: usize) -> Result<Round> {
    if round == 0 {
        // Connections, caches and the allocator settle; nobody counts this.
        turn(client, ours)?;
        turn(client, floor)?;
    }
    if round.is_multiple_of(2) {
        let ours = turn(client, ours)?;
        Ok(Round { ours, floor: turn(client, floor)? })
    } else {
        let floor = turn(client, floor)?;
        Ok(Round { ours: turn(client, ours)?, floor })
    }
}

fn turn(client: &Client, server: &Server) -> Result<Turn> {
    let before = server.cpu_seconds()?;
    let answered = client.run(server.port()).context("the load did not run")?;
    let cpu = server.cpu_seconds()? - before;
    let seconds = answered.time.as_secs_f64();
    Ok(Turn {
        reviews_per_second: answered.requests / seconds,
        cpu_micros: cpu * 1e6 / answered.requests,
        busy: cpu / seconds,
    })
}

/// Prints what came out for one size, and tells whether it is enough.
fn print(sized: &Bodies, rounds: &[Round], least: f64, hoped: f64) -> bool {
    println!("{}", sized.size);
    let rate = print_line("reviews/s", rounds, |turn| turn.reviews_per_second);
    let cpu = print_line("reviews per CPU second", rounds, |turn| 1e6 / turn.cpu_micros);
    print_line("CPU µs of a review", rounds, |turn| turn.cpu_micros);
    print_line("% of the core", rounds, |turn| turn.busy * 100.0);
    // Where the client is slower than the server, reviews/s flatter us; CPU time never does.
    let share = rate.min(cpu);
    let verdict = match share {
        _ if share >= hoped => "as hoped",
        _ if share >= least => "enough",
        _ => "TOO LITTLE",
    };
    println!("  {verdict}: {share:.2}, where {least} is needed and {hoped} hoped for");
    share >= least
}

/// Prints one measure of both servers, and gives our share of the floor's.
fn print_line(name: &str, rounds: &[Round], of: fn(&Turn) -> f64) -> f64 {
    let ours = Spread::new(rounds.iter().map(|round| of(&round.ours)));
    let floor = Spread::new(rounds.iter().map(|round| of(&round.floor)));
    let share = Spread::new(rounds.iter().map(|round| of(&round.ours) / of(&round.floor)));
    println!(
        "  {name:22} {:>9.1} of {:>9.1} = {:.2} ({:.2} to {:.2})",
        ours.median, floor.median, share.median, share.least, share.most
    );
    share.median
}

#[allow(clippy::cast_precision_loss, reason = "nobody has that much memory")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
