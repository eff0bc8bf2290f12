//! The program `coffer-controller`.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
