//! What being asked costs at a real API server: applies per second, as dry runs, the way Flux looks at every release at each interval.
//!
//! Seven scenarios take turns, in one order and then in the other, so that a machine that is slow for a while is slow for all. Each
//! ratio is of two turns of the same round. Beside the rate stands the CPU time that an apply costs the API server and the webhook,
//! which stays true when something else wants the cores. Run it with `cargo bench --bench cluster`; it needs Go, and root for port 443 on
//! loopback (see CONTRIBUTING.md).

#![allow(clippy::print_stdout, reason = "a benchmark is run for what it prints")]

#[allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "shared with tests, which use more of it")]
#[path = "../../tests/support/process.rs"]
mod client;
#[path = "../figures/mod.rs"]
mod figures;
mod floor;
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../../tests/support/go_tools.rs"]
mod go_tools;
#[allow(dead_code, unused_imports, reason = "shared with the tests, which use more of it")]
#[path = "../../tests/cluster/harness/mod.rs"]
mod harness;
mod load;
mod scene;
#[path = "../stack/mod.rs"]
mod stack;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

use figures::{Spread, cpu_seconds};
use harness::Cluster;
use load::{Load, WORKERS};
use scene::{Scenario, Scene};

/// The newest Flux whose CRDs the harness knows.
const FLUX: &str = "2.9";

#[derive(Parser)]
struct Args {
    /// How often each scenario takes its turn.
    #[arg(long, default_value_t = 20)]
    rounds: usize,

    /// How many milliseconds a turn takes.
    #[arg(long, default_value_t = 1500)]
    milliseconds: u64,

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
    Floor { address: SocketAddr },
}

/// One scenario's turn.
struct Turn {
    applies: u32,
    applies_per_second: f64,
    /// CPU milliseconds of an apply.
    api_server: f64,
    webhook: f64,
}

/// One turn of each scenario, in the order of [`Scene::scenarios`].
type Round = [Turn; 7];

const CLEAN_ALONE: usize = 0;
const CLEAN_CHARTGATE: usize = 1;
const CLEAN_NEVER: usize = 2;
const ALLOWED_FLOOR: usize = 3;
const ALLOWED_CHARTGATE: usize = 4;
const PATCHED_FLOOR: usize = 5;
const PATCHED_CHARTGATE: usize = 6;

/// Who is compared with whom, and the least share that is enough, where there is one.
const COMPARISONS: [(usize, usize, Option<f64>); 5] = [
    (CLEAN_CHARTGATE, CLEAN_ALONE, Some(0.97)),
    // What any two webhooks cost that are not called, and what is left for the prefilter to cost.
    (CLEAN_NEVER, CLEAN_ALONE, None),
    (CLEAN_CHARTGATE, CLEAN_NEVER, None),
    (ALLOWED_CHARTGATE, ALLOWED_FLOOR, Some(0.95)),
    (PATCHED_CHARTGATE, PATCHED_FLOOR, Some(0.95)),
];

fn main() -> Result<ExitCode> {
    let Args { rounds, milliseconds, bench: _, command } = Args::parse();
    match command {
        Some(Command::Floor { address }) => floor::serve(address).map(|()| ExitCode::SUCCESS),
        None => compare(rounds, Duration::from_millis(milliseconds)),
    }
}

fn compare(rounds: usize, lasting: Duration) -> Result<ExitCode> {
    let cluster = Cluster::start(FLUX).context("this benchmark needs a real API server")?;
    let scene = Scene::set(&cluster)?;
    let mut load = Load::connect(&cluster)?;
    let scenarios = scene.scenarios();
    let before = scene.calls();
    let mut all = Vec::new();
    for index in 0..=rounds {
        all.push(round(&cluster, &mut load, &scenarios, index, lasting)?);
    }
    let after = scene.calls();
    // What was not called, or answered by an error, would be the fastest of all. Every apply meets both of somebody's webhooks.
    let expected = |scenarios: &[usize]| -> u64 {
        let applies = all.iter().flat_map(|round| scenarios.iter().map(|one| u64::from(round[*one].applies)));
        2 * applies.sum::<u64>()
    };
    for (what, seen, scenarios) in [
        ("calls of the floor", after.floor - before.floor, &[ALLOWED_FLOOR, PATCHED_FLOOR][..]),
        ("calls of chartgate", after.chartgate - before.chartgate, &[ALLOWED_CHARTGATE, PATCHED_CHARTGATE]),
        ("calls left out", after.left_out - before.left_out, &[CLEAN_CHARTGATE]),
        ("calls left out by `false`", after.never - before.never, &[CLEAN_NEVER]),
    ] {
        ensure!(seen == expected(scenarios), "{seen} {what}, and not {}", expected(scenarios));
    }
    // Connections, caches and both allocators settle in the first; nobody counts it.
    let counted = &all[1..];
    println!("{WORKERS} workers, {rounds} rounds, {} ms a turn: median (least to most)", lasting.as_millis());
    for (index, scenario) in scenarios.iter().enumerate() {
        print_scenario(scenario.name, counted, index);
    }
    let reached = COMPARISONS.map(|comparison| print_share(&scenarios, counted, comparison));
    Ok(if reached.iter().all(|reached| *reached) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One turn of each, every other round in the opposite order.
fn round(
    cluster: &Cluster,
    load: &mut Load,
    scenarios: &[Scenario; 7],
    index: usize,
    lasting: Duration,
) -> Result<Round> {
    let mut turns = [const { None }; 7];
    for place in 0..scenarios.len() {
        let place = if index.is_multiple_of(2) { place } else { scenarios.len() - 1 - place };
        turns[place] = Some(turn(cluster, load, &scenarios[place], lasting)?);
    }
    Ok(turns.map(|turn| turn.expect("each had its turn")))
}

fn turn(cluster: &Cluster, load: &mut Load, scenario: &Scenario, lasting: Duration) -> Result<Turn> {
    let used = || -> Result<_> {
        let webhook = scenario.webhook.map_or(Ok(0.0), cpu_seconds)?;
        Ok((cpu_seconds(cluster.process_id())?, webhook))
    };
    let before = used()?;
    let applied = load.run(&scenario.applies, lasting)?;
    let after = used()?;
    let count = f64::from(applied.count);
    Ok(Turn {
        applies: applied.count,
        applies_per_second: count / applied.time.as_secs_f64(),
        api_server: (after.0 - before.0) * 1e3 / count,
        webhook: (after.1 - before.1) * 1e3 / count,
    })
}

fn print_scenario(name: &str, rounds: &[Round], scenario: usize) {
    println!("{name}");
    let line = |what: &str, of: fn(&Turn) -> f64| {
        let Spread { least, median, most } = Spread::new(rounds.iter().map(|round| of(&round[scenario])));
        println!("  {what:34} {median:8.3} ({least:.3} to {most:.3})");
    };
    line("applies/s", |turn| turn.applies_per_second);
    line("API server's CPU ms of an apply", |turn| turn.api_server);
    line("webhook's CPU ms of an apply", |turn| turn.webhook);
}

/// Prints how two scenarios compare, and tells whether it is enough.
fn print_share(
    scenarios: &[Scenario; 7],
    rounds: &[Round],
    (ours, other, least): (usize, usize, Option<f64>),
) -> bool {
    println!("{} = share of {}", scenarios[ours].name, scenarios[other].name);
    let line = |what: &str, of: fn(&Turn) -> f64| {
        let shares = rounds.iter().map(|round| of(&round[ours]) / of(&round[other]));
        let Spread { least, median, most } = Spread::new(shares);
        println!("  {what:34} {median:8.3} ({least:.3} to {most:.3})");
        median
    };
    let rate = line("applies/s", |turn| turn.applies_per_second);
    let cpu = line("applies per CPU second", |turn| 1.0 / (turn.api_server + turn.webhook));
    line("… of the API server alone", |turn| 1.0 / turn.api_server);
    let share = rate.min(cpu);
    let Some(least) = least else { return true };
    let verdict = if share >= least { "enough" } else { "TOO LITTLE" };
    println!("  {verdict}: {share:.3}, where {least} is needed");
    share >= least
}
