//! The `holdfast` program in a build that can put known bugs in: see [`holdfast::base::mutants`], `scripts/mutants` and
//! `chaos/known-bugs.sh`.

use std::process::ExitCode;

use holdfast::base::Mutant;

/// Names the bug that is put in, whatever the program then does.
const VARIABLE: &str = "KNOWN_BUG";

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(VARIABLE) {
        let Some(mutant) = Mutant::named(&name) else {
            eprintln!("error: {VARIABLE}: no known bug is called {name}: sim --mutants lists them");
            return ExitCode::FAILURE;
        };
        mutant.put_in();
        eprintln!("this program has a bug on purpose: {name}");
    }
    holdfast::cli::main()
}
