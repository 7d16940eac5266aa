//! The real kustomize.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chartgate::render::kustomize::Resource;
use serde_json::Value;

use crate::go_tools::{KUSTOMIZE, insist};

/// What kustomize prints for a folder, or why it prints nothing.
pub(crate) type Printed = Result<Vec<Value>, String>;

/// The program that builds many folders with the library that `kustomize` is made of.
pub(crate) struct Oracle {
    build_folders: PathBuf,
}

impl Oracle {
    /// The real kustomize, or nothing where it cannot be had.
    pub(crate) fn find() -> Option<Self> {
        match KUSTOMIZE.provide() {
            Ok(bin) => Some(Self { build_folders: bin.join("build-folders") }),
            Err(missing) => {
                insist(&missing);
                eprintln!("skipped: {missing}");
                None
            }
        }
    }

    /// What kustomize prints for each of the folders below a root.
    pub(crate) fn build(&self, root: &Path, folders: &[String]) -> Vec<Printed> {
        // Two processes: the library keeps what it knows of schemas in one place, so it is no use to ask it from two threads.
        let middle = folders.len() / 2;
        let (first, second) = folders.split_at(middle);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| self.build_in_one(root, first));
            let mut second = self.build_in_one(root, second);
            let mut all = first.join().expect("a thread of the test ends");
            all.append(&mut second);
            all
        })
    }

    fn build_in_one(&self, root: &Path, folders: &[String]) -> Vec<Printed> {
        let mut process = Command::new(&self.build_folders)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It warns of fields that are old.
            .stderr(Stdio::null())
            .spawn()
            .expect("the program was built a moment ago");
        let mut stdin = process.stdin.take().expect("it is a pipe");
        let lines: String =
            folders.iter().map(|folder| format!("{}\n", root.join(folder).display())).collect();
        let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
        let stdout = BufReader::new(process.stdout.take().expect("it is a pipe"));
        let answers = stdout.lines().map(|line| {
            let answer: Value = serde_json::from_str(&line.expect("it is text")).expect("it is JSON");
            match answer["error"].as_str() {
                Some(error) => Err(error.to_owned()),
                None => Ok(answer["objects"].as_array().cloned().unwrap_or_default()),
            }
        });
        let answers: Vec<_> = answers.collect();
        writer.join().expect("a thread of the test ends").expect("the program reads all lines");
        assert!(process.wait().expect("it was started").success());
        assert_eq!(answers.len(), folders.len(), "every folder has an answer");
        answers
    }
}

/// An object as JSON, as it would be sent to the API server.
pub(crate) fn json(resource: &Resource<'_>) -> Value {
    resource.node.to_json()
}

/// Objects by what they are called.
pub(crate) fn by_name(objects: impl IntoIterator<Item = Value>) -> BTreeMap<String, Vec<Value>> {
    let mut named: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for object in objects {
        let metadata = &object["metadata"];
        let parts = [&object["apiVersion"], &object["kind"], &metadata["namespace"], &metadata["name"]];
        named.entry(parts.map(ToString::to_string).join(" ")).or_default().push(object);
    }
    named
}

/// The first place at which two values differ, with both; numbers are compared by their worth, since Go writes `1.0` as `1`.
pub(crate) fn difference(ours: &Value, theirs: &Value, path: &str) -> Option<String> {
    let differ = || Some(format!("{path}: {ours} here, {theirs} there"));
    match (ours, theirs) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
            keys.into_iter().find_map(|key| {
                let path = format!("{path}/{key}");
                match (one.get(key), other.get(key)) {
                    (Some(one), Some(other)) => difference(one, other, &path),
                    (Some(one), None) => Some(format!("{path}: {one} here, nothing there")),
                    (None, other) => {
                        Some(format!("{path}: nothing here, {} there", other.unwrap_or(&Value::Null)))
                    }
                }
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let pairs = one.iter().zip(other).enumerate();
            pairs
                .map(|(at, (one, other))| (format!("{path}/{at}"), one, other))
                .find_map(|(path, one, other)| difference(one, other, &path))
        }
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => None,
        _ if ours == theirs => None,
        _ => differ(),
    }
}
