//! Runs the first commands of the README as they are written.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{NEWEST, READY, bad, good};
use crate::harness::{Cluster, Installation, Namespace, Write, eventually};

/// The lines of the first shell block below the heading, without comments.
fn commands() -> Vec<String> {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("it is committed");
    let (_, section) = readme.split_once("\n## In a cluster\n").expect("the heading is there");
    let (_, block) = section.split_once("```sh\n").expect("a block follows");
    let (block, _) = block.split_once("```").expect("it ends");
    block.lines().map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned()).collect()
}

#[test]
fn the_first_commands_of_the_readme_work_as_typed_and_stop_nobody_in_between() {
    let Some(cluster) = Cluster::start(NEWEST) else { return };
    let commands = commands();
    let image = format!("chartgate:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(commands[0], format!("docker build -t {image} ."), "the image is made before it is used");
    assert_eq!(commands[1], format!("kind load docker-image {image}"));
    let namespace = cluster.namespace("others");
    let mut installation = None;
    for (turn, command) in commands[2..].iter().enumerate() {
        if command.contains("rollout status") {
            installation = Some(roll_out(&cluster));
        }
        type_in(&cluster, command);
        // A release of another user, at any moment.
        namespace.releases("v2").create(&good(&format!("app-{turn}")), Write::by("me")).accepted();
    }
    let installation = installation.expect("the commands wait for the first replica");
    // The kubelet does so within a minute; then the second replica starts.
    installation.refresh_mounts();
    installation.start_one();
    eventually("a bad release is denied", READY, || {
        let answer = namespace.releases("v2").create(&bad("bad"), Write::by("me").dry_run());
        if answer.message().contains("[chart-ref-name]") { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    installation.wait_until_closed();
}

/// Types a line into a shell in the top folder of a checkout.
fn type_in(cluster: &Cluster, line: &str) {
    let kubectl = cluster.kubectl();
    let program =
        Path::new(kubectl.get_program()).parent().expect("kubectl is in a folder").display().to_string();
    let path = format!("{program}:{}", std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-euc", line]).current_dir(env!("CARGO_MANIFEST_DIR")).env_clear();
    shell.envs(kubectl.get_envs().filter_map(|(key, value)| Some((key, value?)))).env("PATH", path);
    let output = shell.output().expect("a POSIX shell is installed");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Simulates the cluster's handling of the Deployment: a replica, and a status that reports it.
fn roll_out(cluster: &Cluster) -> Installation<'_> {
    let installation = Installation::existing(cluster);
    installation.start();
    let deployments = Namespace::existing(cluster, "chartgate-system").objects("apps/v1", "deployments");
    let found = deployments.get("chartgate").accepted();
    let replicas = &found["spec"]["replicas"];
    let status = json!({"status": {
        "observedGeneration": found["metadata"]["generation"], "replicas": replicas, "updatedReplicas": replicas,
        "readyReplicas": replicas, "availableReplicas": replicas,
    }});
    deployments.status().merge_patch("chartgate", &status, Write::by("kube-controller-manager")).accepted();
    installation
}
