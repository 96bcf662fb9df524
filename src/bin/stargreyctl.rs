//! The control program; see stargreyctl(1).

fn main() -> std::process::ExitCode {
    stargrey::ctl::main()
}
