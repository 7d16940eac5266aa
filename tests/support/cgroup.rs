//! Sets the memory limit of a container for a process that a test started: a control group of the kernel, where the test
//! may create one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A control group with a memory limit; it goes when its process has gone and this is dropped.
pub(crate) struct Cgroup {
    folder: PathBuf,
}

/// `resources.limits.memory` of the Deployment that is shipped, in bytes.
pub(crate) fn shipped_limit() -> u64 {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/base/06-deployment.yaml");
    let deployment: serde_json::Value =
        serde_saphyr::from_str(&fs::read_to_string(file).expect("it is committed")).expect("it is YAML");
    let limit = &deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"];
    let mebibytes: u64 = limit
        .as_str()
        .and_then(|limit| limit.strip_suffix("Mi"))
        .and_then(|limit| limit.parse().ok())
        .expect("the limit is in Mi");
    mebibytes * 1024 * 1024
}

impl Cgroup {
    /// Moves a process into a new group of so many bytes. `None` where the machine does not allow it: version 2 first, as
    /// current nodes have it, then version 1.
    pub(crate) fn limit(process: u32, bytes: u64) -> Option<Self> {
        let name = format!("chartgate-test-{process}");
        // Version 2 lists the controllers of the root, which delegates memory only where this is enabled.
        let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
        let versions = [
            (PathBuf::from("/sys/fs/cgroup").join(&name), "memory.max"),
            (PathBuf::from("/sys/fs/cgroup/memory").join(&name), "memory.limit_in_bytes"),
        ];
        versions.into_iter().find_map(|(folder, limit)| {
            fs::create_dir(&folder).ok()?;
            let group = Self { folder };
            let write = |file: &str, text: String| {
                let file = group.folder.join(file);
                // Only the kernel makes files here; where it has not, there is no such controller.
                file.exists().then(|| fs::write(file, text).ok()).flatten()
            };
            write(limit, bytes.to_string())?;
            write("cgroup.procs", process.to_string())?;
            Some(group)
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel keeps a group until the last of its processes was reaped.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() || !self.folder.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
