//! The `holdfast` program in a build that can put known bugs in: see [`holdfast::base::mutants`] and `scripts/mutants`.

fn main() -> std::process::ExitCode {
    holdfast::cli::main()
}
