//! The libraries of kustomize-controller, in a program of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Serialize;
use serde_json::Value;

use crate::go_tools::{GoTools, insist};
use crate::oracle::Printed;

const FLUX: GoTools = GoTools {
    folder: "flux",
    module: "github.com/fluxcd/pkg/kustomize",
    what: "the libraries of kustomize-controller",
    minutes: "1",
    ldflags: "-s -w",
};

/// A process that answers one question after the other.
pub(super) struct Oracle {
    process: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// A Kustomization to build.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Question<'q> {
    /// The top of the source.
    pub(super) root: &'q Path,
    /// The folder in it.
    pub(super) folder: &'q str,
    /// The object.
    pub(super) kustomization: &'q Value,
    /// Whether the controller is to refuse variables without a value.
    pub(super) strict: bool,
    /// What it can read.
    pub(super) config: Vec<Config>,
}

/// A `ConfigMap` or a Secret.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Config {
    /// Which of both.
    pub(super) kind: &'static str,
    /// Where it is.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
    /// What it holds: texts.
    pub(super) data: Value,
}

// === impl Oracle ===

impl Oracle {
    /// The real libraries, or nothing where they cannot be had.
    pub(super) fn find() -> Option<Self> {
        let bin = match FLUX.provide() {
            Ok(bin) => bin,
            Err(missing) => {
                insist(&missing);
                eprintln!("skipped: {missing}");
                return None;
            }
        };
        let mut process = Command::new(bin.join("build-kustomizations"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It is gone in a minute, and has to clean up after itself less often than it would.
            .env("GOGC", "800")
            // They warn of fields that are old.
            .stderr(Stdio::null())
            .spawn()
            .expect("the program was built a moment ago");
        let stdin = process.stdin.take();
        let stdout = BufReader::new(process.stdout.take().expect("it is a pipe"));
        Some(Self { process, stdin, stdout })
    }

    /// What the controller would apply, or why it applies nothing.
    pub(super) fn build(&mut self, question: &Question<'_>) -> Printed {
        let mut answer = self.ask(question)?;
        match answer["objects"].take() {
            Value::Array(objects) => Ok(objects),
            _ => Ok(Vec::new()),
        }
    }

    /// Takes out of a folder what source-controller leaves out of an artifact.
    pub(super) fn archive(&mut self, root: &Path) {
        self.ask(&serde_json::json!({ "archive": root })).expect("the folder was written by the test");
    }

    /// A text of YAML as Kubernetes reads it.
    pub(super) fn read(&mut self, text: &str) -> Result<Value, String> {
        Ok(self.ask(&serde_json::json!({ "yaml": text }))?["value"].take())
    }

    /// What kubectl reads in a file of objects, and what kustomize prints that is given it as its only resource.
    pub(super) fn objects(&mut self, text: &str) -> [Printed; 2] {
        let answer =
            self.ask(&serde_json::json!({ "objects": text })).expect("each of both has an answer of its own");
        ["kubectl", "kustomize"].map(|program| match answer[program]["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer[program]["objects"].as_array().cloned().unwrap_or_default()),
        })
    }

    fn ask(&mut self, question: &impl Serialize) -> Result<Value, String> {
        let mut line = serde_json::to_vec(question).expect("it has texts for keys");
        line.push(b'\n');
        self.stdin.as_mut().expect("it is open").write_all(&line).expect("the program reads all lines");
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it is text");
        let answer: Value = serde_json::from_str(&line).expect("there is an answer, and it is JSON");
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer),
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It ends with its input.
        self.stdin = None;
        drop(self.process.wait());
    }
}
