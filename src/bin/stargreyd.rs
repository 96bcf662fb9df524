//! The daemon; see stargreyd(8).

fn main() -> std::process::ExitCode {
    stargrey::daemon::main()
}
