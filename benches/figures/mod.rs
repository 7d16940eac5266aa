//! What a benchmark reads from the system, and how it sums up its rounds.

use std::fs;

use anyhow::{Context, Result};

/// Linux tells CPU time in hundredths of a second, whatever the kernel's own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

/// The middle and the ends of what the rounds gave.
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn new(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        Self { least: values[0], median: values[values.len() / 2], most: values[values.len() - 1] }
    }
}

/// The seconds of CPU time that a process has used so far, in user space and in the kernel.
pub(crate) fn cpu_seconds(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is a name in parentheses, in which anything may stand; utime and stime are the 14th and 15th.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat holds no name")?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || times.next().context("/proc/PID/stat is cut off")?.parse::<u32>().map_err(Into::into);
    let (user, system): (Result<u32>, Result<u32>) = (ticks(), ticks());
    Ok(f64::from(user? + system?) / TICKS_PER_SECOND)
}
