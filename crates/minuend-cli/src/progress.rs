//! Spinners and bars for work that takes a while.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is over sooner shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(120);

/// Does `work`. If it takes longer than a second and stderr is a terminal, a spinner shows there.
pub(crate) fn during<T>(message: &'static str, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let (done, is_done) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if is_done.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let spinner = ProgressBar::new_spinner().with_message(message);
            spinner.enable_steady_tick(TICK);
            // Either end of the channel closing means that the work is over.
            let _ = is_done.recv();
            spinner.finish_and_clear();
        });
        let result = work();
        drop(done);
        result
    })
}

/// Does `work`, which tells how many of how many parts are done and which part comes now. A bar shows
/// that if stderr is a terminal.
pub(crate) fn counted<T>(work: impl FnOnce(&mut dyn FnMut(usize, usize, &str)) -> T) -> T {
    if !io::stderr().is_terminal() {
        return work(&mut |_, _, _| {});
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}") {
        bar.set_style(style);
    }
    let result = work(&mut |done, total, part| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message(part.to_string());
    });
    bar.finish_and_clear();
    result
}

/// Loads weights. If that takes longer than a second and stderr is a terminal, a bar shows how many bytes
/// of how many are loaded.
pub(crate) fn loading<T>(work: impl FnOnce(&dyn Fn(u64, u64)) -> T) -> T {
    if !io::stderr().is_terminal() {
        return work(&|_, _| {});
    }
    let started = Instant::now();
    let bar = ProgressBar::hidden();
    let style = "loading {bar:30} {bytes}/{total_bytes} ({bytes_per_sec})";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    let result = work(&|done, total| {
        if started.elapsed() > PATIENCE && bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    result
}
