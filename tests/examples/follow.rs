//! The replay example follows a growing file: days close as rows come, and it can be stopped anywhere.
#![cfg(unix)]

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

const ARGS: &str = "in.csv --time t --key k --value v --grace 0s --data data -w 2";

/// Ten rows of each day; a quoted line end and a bad row among them.
fn rows() -> Vec<u8> {
    let mut rows = "t,k,v\r\n".to_owned();
    for day in 1..=9 {
        for n in 0..10 {
            rows.push_str(&format!("2024-01-{day:02}T0{n}:00:00Z,\"k\n{}\",{n}.5\r\n", n % 3));
        }
        rows.push_str("no time,k,1\r\n\r\n");
    }
    rows.into_bytes()
}

fn command(folder: &Path, more: &str) -> Command {
    let mut command = Command::new(crate::example::program("replay"));
    command.args(format!("{ARGS} {more}").split_whitespace()).current_dir(folder);
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn append(folder: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().append(true).create(true).open(folder.join("in.csv"));
    file.unwrap().write_all(bytes).unwrap();
}

/// A run that follows the file; it is killed if the test fails.
struct Following {
    child: Child,
    says: BufReader<ChildStderr>,
}

impl Following {
    fn start(folder: &Path) -> Following {
        let mut child = command(folder, "--follow").spawn().unwrap();
        let says = BufReader::new(child.stderr.take().unwrap());
        Following { child, says }
    }

    /// Waits until it says that the day is sealed.
    fn wait_sealed(&mut self, day: u32) {
        let expect = format!("sealed through 2024-01-{day:02}");
        let mut line = String::new();
        while !line.starts_with(&expect) {
            line.clear();
            assert_ne!(self.says.read_line(&mut line).unwrap(), 0, "it ended before: {expect}");
        }
    }

    /// Its exit code, and the rest of its output.
    fn ended(&mut self) -> (Option<i32>, String) {
        let mut says = String::new();
        self.says.read_to_string(&mut says).unwrap();
        (self.child.wait().unwrap().code(), says)
    }

    fn interrupt(&mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let (code, says) = self.ended();
        assert_eq!(code, Some(130), "{says}");
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answers and the refused rows of a run to the end.
fn to_the_end(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let Output { status, stdout, stderr } =
        command(folder, "--refused refused.csv").output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    (stdout, std::fs::read(folder.join("refused.csv")).unwrap())
}

#[test]
fn days_close_as_rows_come_and_no_stop_changes_the_answers() {
    let (rows, once) = (rows(), tempfile::tempdir().unwrap());
    append(once.path(), &rows);
    let expect = to_the_end(once.path());
    assert_eq!(expect.1.split(|byte| *byte == b'\n').count(), 11, "a header, 9 rows, an end");

    let grown = tempfile::tempdir().unwrap();
    let folder = grown.path();
    append(folder, b"");
    let mut following = Following::start(folder);
    let mut at = 0;
    let day_of = |day: u32| {
        let first = format!("2024-01-{day:02}");
        rows.windows(first.len()).position(|window| window == first.as_bytes()).unwrap()
    };
    for day in 2..=9 {
        // Up to the middle of the second row of the day; the first row closes the day before.
        let end = day_of(day) + 35 + 2 * day as usize;
        while at < end {
            let to = end.min(at + 97);
            append(folder, &rows[at..to]);
            at = to;
        }
        following.wait_sealed(day - 1);
        match day {
            3 | 6 => {
                following.child.kill().unwrap();
                following.ended();
                following = Following::start(folder);
            }
            4 | 8 => {
                following.interrupt();
                following = Following::start(folder);
            }
            _ => {}
        }
    }
    append(folder, &rows[at..]);
    following.interrupt();
    assert_eq!(to_the_end(folder), expect);
}

#[test]
fn a_file_that_is_rotated_ends_the_run() {
    let place = tempfile::tempdir().unwrap();
    append(place.path(), &rows());
    let mut following = Following::start(place.path());
    following.wait_sealed(8);
    std::fs::rename(place.path().join("in.csv"), place.path().join("in.csv.1")).unwrap();
    let (code, says) = following.ended();
    assert!(code == Some(2) && says.contains("removed or renamed"), "{code:?}: {says}");
}
