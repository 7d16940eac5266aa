//! What a process holds of its machine, as the kernel has it.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Memory and descriptors of one process at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Footprint {
    /// Resident memory, in KiB. Code and files are part of it, and the kernel may take them back at any time.
    pub(crate) resident: u64,
    /// The most that was ever resident, in KiB.
    pub(crate) peak: u64,
    /// Memory that the process has written itself, resident or swapped out, in KiB.
    pub(crate) own: u64,
    /// Open descriptors that are no connection of a caller.
    pub(crate) descriptors: u64,
    /// Connections of callers that both sides hold open.
    pub(crate) connections: u64,
}

// === impl Footprint ===

impl Footprint {
    /// Of the process `id`, which is called at `listen`.
    ///
    /// A connection is counted apart as long as the caller holds it, since how many it holds is its own choice. One that
    /// the caller has let go of and the process has not is a descriptor like any other.
    pub(super) fn of(id: u32, listen: SocketAddr) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let size = |name: &str| {
            let size = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
            let size = size.and_then(|size| size.parse::<u64>().ok());
            size.ok_or_else(|| io::Error::other(format!("/proc/{id}/status has no {name}")))
        };
        let open = fs::read_dir(format!("/proc/{id}/fd"))?.count() as u64;
        let connections = established(listen)?;
        Ok(Self {
            resident: size("VmRSS:")?,
            peak: size("VmHWM:")?,
            own: size("RssAnon:")? + size("VmSwap:")?,
            descriptors: open.saturating_sub(connections),
            connections,
        })
    }
}

/// How many connections to `listen` both sides hold open.
fn established(listen: SocketAddr) -> io::Result<u64> {
    const ESTABLISHED: &str = "01";
    let IpAddr::V4(address) = listen.ip() else {
        return Err(io::Error::other("it does not listen on IPv4"));
    };
    // The bytes of an address in the order of the network, read as a number in the order of the machine.
    let listen = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.octets()), listen.port());
    let sockets = fs::read_to_string("/proc/net/tcp")?;
    let ours = sockets.lines().skip(1).filter(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state) = (fields.next(), fields.next(), fields.next());
        local == Some(&*listen) && state == Some(ESTABLISHED)
    });
    Ok(ours.count() as u64)
}
