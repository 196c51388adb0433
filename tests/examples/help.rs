//! The examples tell how they are run with two processes, in commands that can be copied.

use std::process::Command;

#[test]
fn each_example_has_a_command_for_two_processes() {
    for name in ["flights", "replay", "recover", "latency"] {
        let output = Command::new(crate::example::program(name)).arg("--help").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        for process in 0..2 {
            let is_command = |line: &&str| {
                let line = line.trim();
                let begins = format!("cargo run --release --example {name} ");
                line.starts_with(&begins)
                    && line.contains(" -- ")
                    && line.ends_with(&format!(" -n 2 -p {process}"))
            };
            assert!(help.lines().any(|line| is_command(&line)), "process {process}: {help}");
        }
        for option in ["-w,", "-n,", "-p,", "-h,", "--wait"] {
            assert!(help.contains(option), "{option} of {name}: {help}");
        }
    }
}
