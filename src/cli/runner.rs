//! Text in the log of a GitHub Actions runner, where a part of a line can be a command to the runner.
//!
//! The runner takes `##[command]` anywhere in a line, and `::command::` behind any number of blanks (actions/runner,
//! `src/Runner.Worker/ActionCommandManager.cs`). What a pull request holds must not give it commands, so one character of each is
//! shown as another one of the same width.

use std::env;
use std::io::{self, Write};

/// A writer of text whose lines are harmless where they become a log of the runner.
pub(super) struct Harmless<W: Write> {
    out: W,
    /// The line so far; `None` where no runner reads along.
    line: Option<Vec<u8>>,
}

/// Makes the lines of `out` harmless where `GITHUB_ACTIONS` says that a runner reads along.
pub(super) fn harmless<W: Write>(out: W) -> Harmless<W> {
    let is_read = env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    Harmless { out, line: is_read.then(Vec::new) }
}

/// The same for a text that was put together already.
pub(super) fn harmless_text(text: &str) -> String {
    let mut out = Vec::new();
    let mut writer = harmless(&mut out);
    // A vector takes all.
    let _ = writer.write_all(text.as_bytes()).and_then(|()| writer.flush());
    drop(writer);
    String::from_utf8_lossy(&out).into_owned()
}

/// A line in which the runner finds no command.
fn without_commands(line: &[u8]) -> Vec<u8> {
    let mut harmless = Vec::with_capacity(line.len());
    let blanks = line.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let (start, rest) = line.split_at(blanks);
    harmless.extend_from_slice(start);
    let mut rest = match rest.strip_prefix(b"::") {
        Some(rest) => {
            harmless.extend_from_slice("∶:".as_bytes());
            rest
        }
        None => rest,
    };
    while let Some(at) = rest.windows(3).position(|part| part == b"##[") {
        harmless.extend_from_slice(&rest[..at]);
        harmless.extend_from_slice("##⟦".as_bytes());
        rest = &rest[at + 3..];
    }
    harmless.extend_from_slice(rest);
    harmless
}

impl<W: Write> Write for Harmless<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(line) = &mut self.line else { return self.out.write(bytes) };
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.out.write_all(&without_commands(line))?;
                line.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(line) = &mut self.line {
            self.out.write_all(&without_commands(line))?;
            line.clear();
        }
        self.out.flush()
    }
}

impl<W: Write> Drop for Harmless<W> {
    fn drop(&mut self) {
        // Whoever wants to know of an error flushes before.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(parts: &[&str]) -> String {
        let mut out = Vec::new();
        let mut writer = Harmless { out: &mut out, line: Some(Vec::new()) };
        for part in parts {
            writer.write_all(part.as_bytes()).unwrap();
        }
        drop(writer);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_command_is_none_wherever_it_stands_and_however_it_is_written() {
        assert_eq!(written(&["a ##[error]b ##[add-mask]c\n"]), "a ##⟦error]b ##⟦add-mask]c\n");
        assert_eq!(
            written(&["  ::error::a\n", "\t::stop-commands::x"]),
            "  ∶:error::a\n\t∶:stop-commands::x"
        );
        assert_eq!(written(&["#", "#", "[group]\n:", ":debug::x"]), "##⟦group]\n∶:debug::x");
    }

    #[test]
    fn everything_else_stays() {
        let text = "# comment\n## heading [a]\na::b ::c\n : : \n#[derive]\nä\n\n";
        assert_eq!(written(&[text]), text);
    }
}
