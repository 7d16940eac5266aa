//! The client: `wrk`, with a script that posts the bodies in turn.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::bodies::Bodies;

/// The core that the client has to itself.
const CORE: &str = "1";

/// How many API server requests are under way at a time.
const CONNECTIONS: u32 = 16;

/// What `wrk` runs. Each request is put together once, so that the client costs little; the last line is for us.
const SCRIPT: &str = r#"
local requests, turn = {}, 0

function init(paths)
  for _, path in ipairs(paths) do
    local file = assert(io.open(path, "rb"))
    requests[#requests + 1] = wrk.format("POST", nil, {["Content-Type"] = "application/json"}, file:read("*a"))
    file:close()
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("\n%d %d %d\n", summary.requests, failed, summary.duration))
end
"#;

/// Posts the bodies of one size.
pub(crate) struct Client {
    script: PathBuf,
    bodies: Vec<PathBuf>,
    seconds: u32,
}

/// What a server did in its turn.
pub(crate) struct Answered {
    pub(crate) requests: f64,
    pub(crate) time: Duration,
}

impl Client {
    pub(crate) fn new(directory: &Path, sized: &Bodies, seconds: u32) -> Result<Self> {
        let script = directory.join("post.lua");
        fs::write(&script, SCRIPT)?;
        let write = |(index, body): (usize, &super::bodies::Body)| {
            let path = directory.join(format!("{} {index} {}.json", sized.size, body.outcome));
            fs::write(&path, &body.json).map(|()| path)
        };
        let bodies = sized.bodies.iter().enumerate().map(write).collect::<Result<_, _>>()?;
        Ok(Self { script, bodies, seconds })
    }

    /// Keeps the server busy for one turn.
    pub(crate) fn run(&self, port: u16) -> Result<Answered> {
        let output = Command::new("taskset")
            .args(["--cpu-list", CORE, "wrk", "--threads", "1"])
            .args(["--connections", &CONNECTIONS.to_string()])
            .args(["--duration", &format!("{}s", self.seconds)])
            .arg("--script")
            .arg(&self.script)
            .arg(format!("https://127.0.0.1:{port}/mutate"))
            .arg("--")
            .args(&self.bodies)
            .output()
            .context("wrk is needed")?;
        let text = String::from_utf8(output.stdout)?;
        let line = text.lines().last().unwrap_or_default();
        let numbers = line.split(' ').map(str::parse).collect::<Result<Vec<u32>, _>>();
        let Ok([requests, failed, micros]) = numbers.as_deref() else {
            anyhow::bail!("wrk says {text:?} and {:?}", String::from_utf8_lossy(&output.stderr));
        };
        ensure!(*requests > 0 && *failed == 0, "{failed} of {requests} requests failed");
        Ok(Answered { requests: f64::from(*requests), time: Duration::from_micros(u64::from(*micros)) })
    }
}
