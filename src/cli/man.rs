//! `chartgate man`: the help texts as man pages.

use std::fs;
use std::io::Write;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;

use super::CommandError;

/// Writes the pages of the program and of each of its commands to a folder, or prints the first of them.
pub(super) fn run(command: Command, folder: Option<&Path>, out: &mut impl Write) -> Result<(), CommandError> {
    // `chartgate help` says what the pages say; it needs none of its own.
    let command = command.disable_help_subcommand(true);
    match folder {
        Some(folder) => fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(command, folder))
            .map_err(|source| CommandError::Pages { folder: folder.to_owned(), source }),
        None => Ok(Man::new(command).render(out)?),
    }
}
