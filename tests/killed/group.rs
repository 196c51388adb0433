//! A cluster of processes, some of which are killed.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::example::program;
use super::random::Random;

/// A bound against hanging.
const HANGING: Duration = Duration::from_secs(120);

/// A process whose peer was killed before they connected would wait for a minute. It is killed, too.
const LONELY: Duration = Duration::from_secs(2);

/// The log line of a process when it has connected with all others.
const HAS_MET: &str = "the engine starts";

/// Processes running in a folder.
pub(crate) struct Group {
    folder: PathBuf,
    members: Vec<Child>,
    writer: Option<JoinHandle<()>>,
    started: Instant,
}

/// How a group ended.
pub(crate) enum Ended {
    Done,
    Killed,
}

impl Group {
    /// Starts `processes` in `folder`; the first one reads `stdin`. If they are apart, each of the others has its own
    /// data folder.
    pub(crate) fn start(
        folder: &Path,
        example: &str,
        args: &[String],
        processes: usize,
        apart: bool,
        stdin: Option<Vec<u8>>,
    ) -> Group {
        std::fs::write(folder.join("hosts"), hosts(processes)).unwrap();
        let start = |process: usize| {
            let to = |name: &str| File::create(folder.join(format!("{name}-{process}"))).unwrap();
            let mut command = Command::new(program(example));
            command.current_dir(folder).env("RUST_LOG", "dayfold=info");
            command.args(args.iter().map(|arg| match &arg[..] {
                "data" if apart => data(process),
                _ => arg.clone(),
            }));
            command.args(["-n", &processes.to_string(), "-p", &process.to_string(), "-h", "hosts"]);
            command.stdin(if process == 0 { Stdio::piped() } else { Stdio::null() });
            command.stdout(to("stdout")).stderr(to("stderr")).spawn().unwrap()
        };
        let mut members: Vec<Child> = (0..processes).map(start).collect();
        let mut pipe = members[0].stdin.take().unwrap();
        let write = |rows: Vec<u8>| {
            // A killed process reads no more of it.
            std::thread::spawn(move || drop(pipe.write_all(&rows)))
        };
        let writer = stdin.map(write);
        Group { folder: folder.to_owned(), members, writer, started: Instant::now() }
    }

    /// Waits until all have ended by themselves, successfully.
    pub(crate) fn finish(mut self) {
        let statuses: Vec<ExitStatus> = (0..self.members.len()).map(|at| self.wait(at)).collect();
        let done = statuses.iter().all(ExitStatus::success);
        assert!(done, "{statuses:?}: {}", self.said());
        self.assert_calm();
    }

    /// Threads of timely panic when a peer is lost, and for no other reason.
    fn assert_calm(&self) {
        let said = self.said();
        assert!(!said.contains("panicked"), "{said}");
    }

    /// Kills some of them at an instant after the start, if they have not ended by then.
    pub(crate) fn kill(mut self, instant: Duration, random: &mut Random) -> Ended {
        while self.started.elapsed() < instant {
            let running = |child: &mut Child| child.try_wait().unwrap().is_none();
            if !self.members.iter_mut().any(running) {
                break;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        let victims = 1 + random.below((1 << self.members.len()) - 1);
        let is_victim = |at: usize| victims >> at & 1 == 1;
        for (at, member) in self.members.iter_mut().enumerate().filter(|(at, _)| is_victim(*at)) {
            // A process that has ended cannot be killed.
            member.kill().unwrap_or_else(|error| panic!("cannot kill process {at}: {error}"));
        }
        let statuses: Vec<ExitStatus> = (0..self.members.len())
            .map(|at| if is_victim(at) { self.wait(at) } else { self.wait_if_met(at) })
            .collect();
        if statuses.iter().all(ExitStatus::success) {
            self.assert_calm();
            return Ended::Done;
        }
        assert!(
            statuses.iter().any(|status| status.signal().is_some()),
            "none was killed, yet {statuses:?}: {}",
            self.said()
        );
        // The others lose a peer, or finish before they notice.
        let fine = |status: &ExitStatus| matches!(status.code(), None | Some(0 | 1));
        assert!(statuses.iter().all(fine), "{statuses:?}: {}", self.said());
        Ended::Killed
    }

    fn wait(&mut self, at: usize) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.members[at].try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < HANGING, "process {at} hangs: {}", self.said());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn wait_if_met(&mut self, at: usize) -> ExitStatus {
        let since = Instant::now();
        while since.elapsed() < LONELY {
            if let Some(status) = self.members[at].try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if !self.read("stderr", at).contains(HAS_MET) {
            self.members[at].kill().unwrap();
        }
        self.wait(at)
    }

    fn read(&self, name: &str, at: usize) -> String {
        let bytes = std::fs::read(self.folder.join(format!("{name}-{at}"))).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The standard error of all.
    fn said(&self) -> String {
        (0..self.members.len()).map(|at| format!("\n{at}: {}", self.read("stderr", at))).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for child in &mut self.members {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// The data folder of a process with its own folder.
pub(crate) fn data(process: usize) -> String {
    if process == 0 { "data".to_owned() } else { format!("data-{process}") }
}

/// Free ports, for timely's `-h`.
fn hosts(processes: usize) -> String {
    let bind = |_| TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners: Vec<TcpListener> = (0..processes).map(bind).collect();
    listeners.iter().map(|listener| format!("{}\n", listener.local_addr().unwrap())).collect()
}
