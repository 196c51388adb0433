//! A line on the terminal with the progress of a run.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use dayfold::engine::Progress;

/// How often the line is drawn.
const EVERY: Duration = Duration::from_millis(250);

/// The line, if standard error is a terminal and messages are not JSON.
pub(crate) struct Status {
    is_shown: bool,
    begun: Instant,
    drawn: Option<Instant>,
    /// The number of events, and when it was counted: for the rate of the last seconds.
    before: (u64, Instant),
    rate: u64,
}

impl Status {
    pub(crate) fn new(is_wanted: bool) -> Status {
        let now = Instant::now();
        let is_shown = is_wanted && std::io::stderr().is_terminal();
        Status { is_shown, begun: now, drawn: None, before: (0, now), rate: 0 }
    }

    /// Draws it again, if it is due.
    pub(crate) fn draw(&mut self, progress: &Progress) {
        if !self.is_shown || self.drawn.is_some_and(|drawn| drawn.elapsed() < EVERY) {
            return;
        }
        let now = Instant::now();
        self.drawn = Some(now);
        let (events, at) = self.before;
        let passed = now.duration_since(at);
        if passed >= Duration::from_secs(1) {
            let more = progress.events.saturating_sub(events);
            self.rate = (more as f64 / passed.as_secs_f64()) as u64;
            self.before = (progress.events, now);
        }
        let width = terminal_size::terminal_size_of(std::io::stderr())
            .map_or(80, |(width, _)| usize::from(width.0));
        let text: String = line(progress, self.rate, self.begun.elapsed())
            .chars()
            .take(width.max(2) - 1)
            .collect();
        // An error is ignored: nobody has to see the line.
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        let _ = std::io::stderr().flush();
    }
}

/// Later messages begin on an empty line.
impl Drop for Status {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// The text of the line.
fn line(progress: &Progress, rate: u64, elapsed: Duration) -> String {
    let mut parts = Vec::new();
    if !progress.recovered && progress.to_replay > 0 {
        let share = share(progress.replayed, progress.to_replay);
        parts.push(format!("{share} of the log read again"));
    }
    if let Some((read, all)) = read(progress).filter(|(read, all)| read < all) {
        parts.push(format!("{} {} read", bar(read, all), share(read, all)));
    }
    parts.push(format!("{} events", grouped(progress.events)));
    if rate > 0 {
        parts.push(format!("{}/s", grouped(rate)));
    }
    if progress.refused > 0 {
        parts.push(format!("{} refused", grouped(progress.refused)));
    }
    let troubles = progress.sources.iter().filter(|source| source.trouble.is_some()).count();
    if troubles > 0 {
        parts.push(format!("{troubles} with trouble"));
    }
    let seconds = elapsed.as_secs();
    parts.push(format!("{}:{:02}", seconds / 60, seconds % 60));
    parts.join(" · ")
}

/// How much was read, and how much there is, as far as that is known: bytes of files, records of partitions.
fn read(progress: &Progress) -> Option<(u64, u64)> {
    if let Some(total) = progress.bytes_total {
        return Some((progress.bytes_read.min(total), total));
    }
    let parts = progress.sources.iter().filter_map(|source| source.position.zip(source.lag));
    let (read, left) = parts.fold((0u64, 0u64), |(read, left), (position, lag)| {
        (read.saturating_add(position), left.saturating_add(lag))
    });
    (read > 0 || left > 0).then(|| (read, read.saturating_add(left)))
}

fn share(part: u64, whole: u64) -> String {
    format!("{} %", (u128::from(part) * 100).checked_div(u128::from(whole)).unwrap_or(100))
}

fn bar(part: u64, whole: u64) -> String {
    const CELLS: u128 = 20;
    let full = (u128::from(part) * CELLS).checked_div(u128::from(whole)).unwrap_or(CELLS);
    (0..CELLS).map(|cell| if cell < full { '█' } else { '░' }).collect()
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_a_run_is() {
        let mut progress = Progress::default();
        (progress.events, progress.refused, progress.recovered) = (1_234_567, 3, true);
        (progress.bytes_read, progress.bytes_total) = (50, Some(200));
        let expect =
            "█████░░░░░░░░░░░░░░░ 25 % read · 1,234,567 events · 20,000/s · 3 refused · 1:05";
        assert_eq!(line(&progress, 20_000, Duration::from_secs(65)), expect);
        let mut replaying = Progress::default();
        (replaying.to_replay, replaying.replayed) = (400, 100);
        assert_eq!(
            line(&replaying, 0, Duration::ZERO),
            "25 % of the log read again · 0 events · 0:00"
        );
        assert_eq!((grouped(999), grouped(1_000)), ("999".to_owned(), "1,000".to_owned()));
    }
}
