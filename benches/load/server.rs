//! A server under load, as the system sees it: a process with CPU time and memory.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::figures;

/// The core that the servers share. The client has the next one.
const CORE: &str = "0";

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(10);

/// A server that ends with this value.
pub(crate) struct Server {
    process: Child,
    port: u16,
}

/// What a process holds in memory.
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) highest: u64,
}

impl Server {
    /// `chartgate serve` with nothing but its defaults, its log written to a file in `directory`.
    pub(crate) fn chartgate(directory: &Path) -> Result<Self> {
        let port = free_port()?;
        let mut command = pinned(env!("CARGO_BIN_EXE_chartgate"));
        command
            .arg("serve")
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--observe", &format!("127.0.0.1:{}", free_port()?)])
            .arg("--certs")
            .arg(directory.join("certs"))
            .stdout(Stdio::null())
            .stderr(File::create(directory.join("log"))?);
        Self::start(command, port)
    }

    /// The floor, which is this same program.
    pub(crate) fn floor() -> Result<Self> {
        let port = free_port()?;
        let program = std::env::current_exe()?;
        let mut command = pinned(program.to_str().context("the path of this program is not UTF-8")?);
        command.args(["floor", &port.to_string()]);
        Self::start(command, port)
    }

    fn start(mut command: Command, port: u16) -> Result<Self> {
        let process = command.spawn().context("taskset is needed to pin a server to a core")?;
        let server = Self { process, port };
        let asked = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            ensure!(asked.elapsed() < START, "{command:?} does not listen");
            sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The seconds of CPU time that the process has used so far.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        figures::cpu_seconds(self.process.id())
    }

    pub(crate) fn memory_kib(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let field = |name: &str| -> Result<u64> {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .with_context(|| format!("no {name}"))?;
            Ok(line.trim_end_matches("kB").trim().parse()?)
        };
        Ok(Memory { now: field("VmRSS:")?, highest: field("VmHWM:")? })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `taskset` becomes the program, so the process is the server's own.
fn pinned(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", CORE, program]).stdin(Stdio::null());
    command
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
