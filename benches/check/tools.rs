//! Other tools, with the same files. Each is given less to do than it does by default.

#[path = "../../tests/support/go_tools.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod go_tools;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use crate::run::Program;
use go_tools::{GoTools, KUSTOMIZE};

const KUBECONFORM: GoTools = GoTools {
    folder: "kubeconform",
    module: "github.com/yannh/kubeconform",
    what: "kubeconform",
    minutes: "1",
    ldflags: "-s -w",
};

/// How many processes share the folders: the library keeps what it knows of schemas in one place, so threads are of no use to it.
const PROCESSES: usize = 2;

/// Those that can be built here. `lists` is a folder to write to.
pub(crate) fn all(corpus: &Path, lists: &Path) -> Result<Vec<Program>> {
    Ok(vec![kubeconform(corpus)?, kustomize(corpus, lists)?])
}

fn provide(tools: &GoTools) -> Result<PathBuf> {
    tools.provide().map_err(|missing| anyhow!(missing)).context("--alone leaves it out")
}

fn kubeconform(corpus: &Path) -> Result<Program> {
    let program = provide(&KUBECONFORM)?.join("kubeconform");
    let program = program.to_str().context("the cache has a path that is text")?;
    // Without any schema it only reads, and needs no network.
    let arguments =
        ["-ignore-missing-schemas", "-schema-location", "/nonexistent/{{.ResourceKind}}.json", "-n", "2"];
    Ok(Program::new("kubeconform, without schemas", program, &arguments, corpus))
}

/// What `kustomize build` does, with the library that it is made of, so that no process is started for a folder; and only for those folders of
/// which it makes something.
fn kustomize(corpus: &Path, lists: &Path) -> Result<Program> {
    let program = provide(&KUSTOMIZE)?.join("build-folders");
    let mut folders = Vec::new();
    kustomizations(corpus, &mut folders)?;
    folders.sort();
    let answers = ask(&program, &folders)?;
    let built: Vec<&str> =
        folders.iter().zip(answers).filter(|(_, is_built)| *is_built).map(|(it, _)| &**it).collect();
    let list = lists.join("built");
    fs::write(&list, built.join("\n"))?;
    let own = std::env::current_exe()?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("the path is text");
    let name = format!("kustomize, {} of {} folders", built.len(), folders.len());
    Ok(Program::new(&name, &text(&own)?, &["kustomize", &text(&program)?], &list))
}

/// The folders with a file that kustomize looks for.
fn kustomizations(folder: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            kustomizations(&entry.path(), found)?;
        } else if ["kustomization.yaml", "kustomization.yml", "Kustomization"]
            .iter()
            .any(|name| entry.file_name() == *name)
        {
            found.push(folder.to_str().context("the path is text")?.to_owned());
        }
    }
    Ok(())
}

/// Builds the folders in a list, and says how many there were.
pub(crate) fn build(program: &Path, list: &Path) -> Result<()> {
    let folders: Vec<String> = fs::read_to_string(list)?.lines().map(str::to_owned).collect();
    let answers = ask(program, &folders)?;
    println!("{} folders", answers.len());
    Ok(())
}

/// Whether each of the folders can be built.
fn ask(program: &Path, folders: &[String]) -> Result<Vec<bool>> {
    let share = folders.len().div_ceil(PROCESSES).max(1);
    thread::scope(|scope| {
        let asked: Vec<_> =
            folders.chunks(share).map(|folders| scope.spawn(|| ask_one(program, folders))).collect();
        let mut answers = Vec::new();
        for asked in asked {
            answers.extend(asked.join().expect("it returns what goes wrong")?);
        }
        Ok(answers)
    })
}

fn ask_one(program: &Path, folders: &[String]) -> Result<Vec<bool>> {
    let mut process =
        Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdin = process.stdin.take().context("it is a pipe")?;
    let lines: String = folders.iter().flat_map(|folder| [folder, "\n"]).collect();
    let writer = thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let lines = BufReader::new(process.stdout.take().context("it is a pipe")?).lines();
    // Behind the name of the folder there are the objects, or what is wrong.
    let answers: Vec<bool> = lines
        .zip(folders)
        .map(|(line, folder)| Ok(!line?.starts_with(&format!(r#"{{"folder":"{folder}","error":"#))))
        .collect::<Result<_>>()?;
    writer.join().expect("it returns what goes wrong")?;
    ensure!(
        process.wait()?.success() && answers.len() == folders.len(),
        "kustomize answers for every folder"
    );
    Ok(answers)
}
