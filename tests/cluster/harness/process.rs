//! A child process that cannot outlive the tests.
//!
//! libtest never drops statics, and nobody drops anything after SIGKILL. So each child runs under a small shell, the
//! watchdog, which reads a pipe that only this process writes to. When this process ends, however it ends, the pipe
//! closes; the watchdog then kills the child and removes its directory. A line in the pipe is a signal to send.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

use super::unique;

/// `$1` is the directory, the rest is the command.
///
/// The killer must never signal a process id that the system has given to somebody else: the id stays the child's
/// until `wait` has collected it, and right after that the killer is ended.
const WATCHDOG: &str = r#"
dir=$1; shift
exec 3<&0 </dev/null
"$@" 3<&- & child=$!
echo "$child" >"$dir/pid"
(
    while read -r signal; do kill -s "$signal" "$child"; done
    kill -s KILL "$child"
) <&3 2>/dev/null & killer=$!
wait "$child"; status=$?
kill "$killer" 2>/dev/null
echo "$status" >"$dir/status.new" && mv "$dir/status.new" "$dir/status"
while read -r signal; do :; done <&3
rm -rf -- "$dir"
"#;

/// How much of a log is shown when a process fails.
const TAIL_LINES: usize = 25;

/// A running program with a directory of its own, both gone when this value or the test process is.
pub(crate) struct Process {
    name: String,
    dir: PathBuf,
    watchdog: Child,
    pipe: Mutex<Option<ChildStdin>>,
}

// === impl Process ===

impl Process {
    /// A new empty directory for a process to be started.
    pub(crate) fn directory(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("chartgate-{name}-{}", unique()));
        fs::create_dir(&dir).expect("the temporary directory can be written");
        dir
    }

    /// Starts `command` in `dir`, which from now on belongs to it, with its output in `dir/log` and nothing of our
    /// environment but what `command` sets itself and the path.
    pub(crate) fn start(name: &str, dir: PathBuf, command: &Command) -> Self {
        let log = File::create(dir.join("log")).expect("the process directory can be written");
        let mut shell = Command::new("sh");
        shell
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", &dir)
            .env("TMPDIR", &dir)
            .envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))))
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(&dir)
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(&dir)
            // Ctrl-C goes to a whole process group; the watchdog has to survive it to do its work.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file handle can be copied"))
            .stderr(log);
        let mut watchdog = shell.spawn().expect("a POSIX shell is installed");
        let pipe = Mutex::new(watchdog.stdin.take());
        Self { name: name.to_owned(), dir, watchdog, pipe }
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let mut pipe = self.pipe.lock().expect("nobody panics while writing a line");
        let pipe = pipe.as_mut().expect("the pipe is closed by drop only");
        writeln!(pipe, "{name}").expect("the watchdog reads until the pipe is closed");
    }

    /// The exit status as a shell has it (128 + n after signal n), once the program has ended.
    pub(crate) fn exit_status(&self) -> Option<i32> {
        fs::read_to_string(self.dir.join("status")).ok()?.trim().parse().ok()
    }

    /// What the system calls the program, for its figures under `/proc`; from when it has shown that it runs.
    pub(crate) fn id(&self) -> u32 {
        let written = fs::read_to_string(self.dir.join("pid")).expect("the watchdog writes it at the start");
        written.trim().parse().expect("it is a number")
    }

    /// Everything printed so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("log")).unwrap_or_default()).into_owned()
    }

    /// One line on the state of the process and the end of its log, for failure messages.
    pub(crate) fn post_mortem(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        let state = self.exit_status().map_or("running".to_owned(), |status| format!("ended with {status}"));
        format!("{} is {state}; its log ends with:\n{tail}", self.name)
    }

    /// The directory that goes with the process.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.pipe.lock().map(|mut pipe| pipe.take()));
        // Nothing to be done about a failure here, and the watchdog works alone from now on.
        drop(self.watchdog.wait());
    }
}
