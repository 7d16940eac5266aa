//! Days of an installation in small: steady load, certificates that rotate all the time, and nothing may grow.
//!
//! `cargo test` takes a minute for it; `CHARTGATE_SOAK=10m` (`just soak`) makes it as long as it says. What is shown is
//! the same: a short run has its rotations closer together, and finds leaks that are as much larger as it is shorter.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    Cluster, Footprint, Installation, Load, Trust, Write, chart_ref, eventually, handshake, release, say,
};

/// Where the length of the run is set, such as `10m` or `90s`.
const LENGTH: &str = "CHARTGATE_SOAK";

/// What `cargo test` takes for it.
const SHORT: Duration = Duration::from_secs(50);

/// How often certificates rotate in a run that is long enough for it, and how often they can at most.
const ROTATION: Duration = Duration::from_secs(30);
const SHORTEST_ROTATION: Duration = Duration::from_secs(6);

/// Each client makes one call in this time, so that the load does not depend on what else the machine does.
const PACE: Duration = Duration::from_millis(40);

/// How often is looked.
const LOOK: Duration = Duration::from_millis(500);

/// Into how many parts a run is divided: ten minutes into minutes.
const PARTS: u32 = 10;

/// How much more memory the last part may take than the one before it that took the least, in KiB: an allocator's pieces
/// lie better or worse by chance, and the denials of the last six minutes are remembered. Runs took up to 800 more in all.
const MEMORY: u64 = 768;

/// How much more of it may come in the second half, where that is not less than half of what came in the first: what
/// fills up slows down, and a leak goes on as it began.
const LATE_MEMORY: u64 = 256;

/// What a connection costs, TLS and buffers for requests and answers, in KiB. The API server keeps idle ones for 90 s,
/// and makes new ones whenever a caBundle changes, so how many there are at most is not for us to say.
const CONNECTION: u64 = 64;

/// Descriptors that come and go: a probe under way, a request to the API server.
const DESCRIPTORS: u64 = 4;

/// Rotations are a matter of seconds; the machine may be busy.
const SOON: Duration = Duration::from_mins(2);

/// How long it runs, and how often certificates rotate meanwhile.
struct Plan {
    length: Duration,
    rotation: Duration,
}

/// What was seen of one replica since the start.
#[derive(Default)]
struct Series {
    samples: Vec<(Duration, Footprint)>,
}

/// A part of a run: the median of what was seen in it, and how many connections there had been at once until its end.
#[derive(Debug)]
struct Part {
    resident: u64,
    own: u64,
    descriptors: u64,
    connections: u64,
}

/// What the Secret held at some time.
#[derive(Default)]
struct Rotations {
    leaves: BTreeSet<String>,
    authorities: BTreeSet<String>,
}

// === impl Plan ===

impl Plan {
    fn read() -> Self {
        let length = std::env::var(LENGTH).map_or(SHORT, |text| {
            let number = |unit| text.strip_suffix(unit)?.parse::<u64>().ok();
            let length =
                number("m").map(Duration::from_mins).or_else(|| number("s").map(Duration::from_secs));
            let length =
                length.unwrap_or_else(|| panic!("{LENGTH}={text}: expected a time such as 10m or 90s"));
            assert!(length >= SHORT, "{LENGTH}={text}: less than {SHORT:?} shows nothing");
            length
        });
        Self { length, rotation: (length / 12).clamp(SHORTEST_ROTATION, ROTATION) }
    }

    /// A leaf is renewed as long before its end as `renewBefore` says, less up to a quarter of that by chance.
    fn configuration(&self) -> String {
        let every = self.rotation.as_secs();
        let leaf = (every * 23).div_ceil(12);
        let authority = leaf * 4;
        format!(
            "mode: enforce\ncertificates: {{caLifetime: {authority}s, leafLifetime: {leaf}s, renewBefore: {every}s}}\n"
        )
    }
}

// === impl Series ===

impl Series {
    /// The parts of a run of this length, but for those in which a machine was too busy to look.
    fn parts(&self, length: Duration) -> Vec<Part> {
        let part = length / PARTS;
        let parts: Vec<_> =
            (0..PARTS).filter_map(|place| self.part(part * place, part * (place + 1))).collect();
        assert!(parts.len() > PARTS as usize / 2, "{} of {PARTS} parts were seen", parts.len());
        parts
    }

    fn part(&self, from: Duration, to: Duration) -> Option<Part> {
        let until: Vec<_> = self.samples.iter().take_while(|(at, _)| *at < to).collect();
        let within: Vec<_> = until.iter().filter(|(at, _)| *at >= from).map(|(_, seen)| seen).collect();
        let median = |value: fn(&Footprint) -> u64| {
            let mut values: Vec<_> = within.iter().map(|seen| value(seen)).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied()
        };
        Some(Part {
            resident: median(|seen| seen.resident)?,
            own: median(|seen| seen.own)?,
            descriptors: median(|seen| seen.descriptors)?,
            connections: until.iter().map(|(_, seen)| seen.connections).max()?,
        })
    }
}

/// One number of a part, with its name.
type Number = (&'static str, fn(&Part) -> u64);

/// Fails where the last part takes more than any before it, beyond what chance does.
///
/// It is held against each, not against the first alone: what a start needs and then gives back would make room for a leak.
fn is_flat(parts: &[Part]) -> Result<(), String> {
    let (last, before) = parts.split_last().expect("a run has parts");
    let (first, middle) = (&parts[0], &parts[parts.len() / 2]);
    let at_most = |(what, of): Number, may: u64, since: &Part| {
        let more = of(last).saturating_sub(of(since));
        if more <= may {
            return Ok(());
        }
        Err(format!("{what}: {more} more, {may} may be by chance; {since:?}, then {last:?}"))
    };
    let connections = |since: &Part| CONNECTION * (last.connections - since.connections);
    let descriptors: Number = ("descriptors", |part| part.descriptors);
    let memory: [Number; 2] =
        [("resident memory in KiB", |part| part.resident), ("own memory in KiB", |part| part.own)];
    for part in before {
        at_most(descriptors, DESCRIPTORS, part)?;
        for number in memory {
            at_most(number, MEMORY + connections(part), part)?;
        }
    }
    for number @ (_, of) in memory {
        let early = of(middle).saturating_sub(of(first));
        at_most(number, LATE_MEMORY.max(early / 2) + connections(middle), middle)?;
    }
    Ok(())
}

// === impl Rotations ===

impl Rotations {
    fn look(&mut self, trust: Trust<'_>) {
        let secret = trust.secret();
        let text = |key: &str| secret["data"][key].as_str().expect("the Secret is whole").to_owned();
        self.leaves.insert(text("tls.crt"));
        self.authorities.insert(text("ca.key"));
    }
}

/// What happens in a cluster besides releases that are applied: denials with their events, new names, labels, sources that
/// come and go, and callers that connect and leave.
fn change_without_end(cluster: &Cluster, service: SocketAddr, load: &Load) {
    let namespace = cluster.namespace("changes");
    let (releases, namespaces) = (namespace.releases("v2"), cluster.objects("v1", "namespaces"));
    let sources = namespace.objects("source.toolkit.fluxcd.io/v1", "ocirepositories");
    let by = Write::by("chartgate-tests");
    for turn in 0.. {
        if !load.goes_on() {
            return;
        }
        let began = Instant::now();
        let name = format!("app-{turn}");
        match turn % 5 {
            0 => {
                let bad = json!({"chartRef": {"kind": "OCIRepository", "name": "Podinfo"}});
                releases.create(&release("v2", &name, &bad), by).refused();
            }
            1 => drop(releases.create(&release("v2", &name, &chart_ref()), by.dry_run()).accepted()),
            2 => {
                let label = json!({"metadata": {"labels": {"turn": name}}});
                namespaces.merge_patch(namespace.name(), &label, by).accepted();
            }
            3 => {
                let source = json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository",
                    "metadata": {"name": name}, "spec": {"interval": "10m", "url": "oci://example.org/podinfo"}});
                sources.create(&source, by).accepted();
                sources.delete(&name).accepted();
            }
            _ => {
                let [bundle, _] = Trust::of(cluster).bundles();
                handshake(service, &bundle).expect("the live caBundle verifies what is shown");
            }
        }
        sleep(PACE.saturating_sub(began.elapsed()));
    }
}

/// Puts load on an installation, and looks at its replicas meanwhile.
fn soak(
    cluster: &Cluster,
    installation: &Installation<'_>,
    length: Duration,
    load: &Load,
) -> (Vec<Series>, Rotations) {
    let (trust, namespace) = (Trust::of(cluster), cluster.namespace("soak"));
    let mut rotations = Rotations::default();
    let mut all: Vec<_> = installation.addresses().iter().map(|_| Series::default()).collect();
    scope(|scope| {
        // Ends the clients, also when an assertion below does not hold.
        let _end = load.end();
        for writer in 0..2 {
            let namespace = &namespace;
            scope.spawn(move || load.apply(namespace, &format!("app-{writer}"), PACE));
        }
        let service = installation.address();
        scope.spawn(move || change_without_end(cluster, service, load));
        // Whatever is done for the first time takes memory once.
        eventually("a certificate rotates", SOON, || {
            rotations.look(trust);
            if rotations.leaves.len() > 1 { Ok(()) } else { Err(installation.logs()) }
        });
        let start = Instant::now();
        while start.elapsed() < length {
            rotations.look(trust);
            for (series, footprint) in all.iter_mut().zip(installation.footprints()) {
                series.samples.push((start.elapsed(), footprint));
            }
            sleep(LOOK);
        }
    });
    (all, rotations)
}

#[test]
fn memory_and_descriptors_stay_flat_under_load_and_rotation() {
    let Some(cluster) = Cluster::start("2.9") else { return };
    let plan = Plan::read();
    let installation = Installation::apply(&cluster, "enforce");
    installation.configure(&plan.configuration());
    installation.start();
    installation.wait_until_called();
    let (Plan { length, rotation }, load) = (plan, Load::default());
    let (all, rotations) = soak(&cluster, &installation, length, &load);

    let (leaves, authorities) = (rotations.leaves.len() - 1, rotations.authorities.len() - 1);
    let applied = load.applied();
    // That none fails is shown elsewhere, with more time for each: a busy machine may answer late here.
    let failed = load.failed().len();
    say(&format!(
        "{length:?}: {applied} applies, {failed} failed; {leaves} new leaves, {authorities} new authorities"
    ));
    let parts: Vec<_> = all.iter().map(|series| series.parts(length)).collect();
    for parts in &parts {
        let middle = parts.len() / 2;
        say(&format!("first {:?}, middle {:?}, last {:?}", parts[0], parts[middle], parts[parts.len() - 1]));
    }
    assert!(
        leaves as u64 >= length.as_secs() / rotation.as_secs() / 2 && authorities > 0,
        "too few rotations"
    );
    for parts in &parts {
        is_flat(parts).unwrap_or_else(|growth| panic!("{growth}; of {parts:#?}"));
    }
}
