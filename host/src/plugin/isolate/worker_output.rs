//! Forwards a worker's output to stderr line by line, prefixed with the name of its plug-in, and stores its end for
//! errors.

use std::path::Path;

use crate::text::{printable_line, printable_path};

/// Maximum length of a line and of the stored end, in bytes. A longer line is printed as several.
const LINE: usize = 4096;

/// The output of a worker.
pub struct WorkerOutput {
    label: String,
    line: Vec<u8>,
    tail: Vec<u8>,
}

impl WorkerOutput {
    /// Creates the output of a plug-in of this file.
    pub fn new(path: &Path) -> Self {
        let label = path.file_name().map_or_else(|| printable_path(path), |name| printable_path(name.as_ref()));
        WorkerOutput { label, line: Vec::new(), tail: Vec::new() }
    }

    /// Accepts output, and prints whole lines.
    pub fn take(&mut self, bytes: &[u8]) {
        self.pass_on(bytes, |line| eprintln!("{line}"));
    }

    fn pass_on(&mut self, bytes: &[u8], mut print: impl FnMut(&str)) {
        self.tail.extend_from_slice(bytes);
        self.tail.drain(..self.tail.len().saturating_sub(LINE));
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
            }
            if byte == b'\n' || self.line.len() == LINE {
                print(&self.shown());
                self.line.clear();
            }
        }
    }

    fn shown(&self) -> String {
        // Tabs are harmless; expand them before `printable_line` replaces control characters.
        let text = String::from_utf8_lossy(&self.line).replace('\t', "    ");
        format!("{}: {}", self.label, printable_line(text.trim_end_matches('\r')))
    }

    /// Prints an unfinished line, and returns the last lines.
    pub fn end(&mut self) -> String {
        if !self.line.is_empty() {
            self.take(b"\n");
        }
        last_lines(&String::from_utf8_lossy(&self.tail))
    }
}

/// Returns the last two lines that aren't empty and aren't notes.
fn last_lines(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("note: "));
    let mut last: Vec<&str> = lines.rev().take(2).collect();
    last.reverse();
    last.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_stored_without_notes() {
        let text = "epoch 3\n\nthread 'main' panicked at src/lib.rs:3:\nof no use\nnote: run with RUST_BACKTRACE=1\n\n";
        assert_eq!(last_lines(text), "thread 'main' panicked at src/lib.rs:3:; of no use");
        assert_eq!(last_lines(""), "");
    }

    #[test]
    fn each_line_is_prefixed_with_a_name_and_has_no_control_characters() {
        let mut printed = WorkerOutput::new(Path::new("plugins/liba\n.so"));
        let mut lines = Vec::new();
        for part in ["error: \u{1b}[2J", "all\r\n\n", "a\tgr", "\u{f6}"] {
            printed.pass_on(part.as_bytes(), |line| lines.push(line.to_owned()));
        }
        printed.pass_on(&[0xc3], |line| lines.push(line.to_owned()));
        printed.pass_on(&[0xb6, b'\n'], |line| lines.push(line.to_owned()));
        let name = "liba\u{fffd}.so";
        assert_eq!(
            lines,
            [format!("{name}: error: \u{fffd}[2Jall"), format!("{name}: "), format!("{name}: a    gröö")]
        );
        printed.pass_on(&[b'x'; LINE + 1], |line| lines.push(line.to_owned()));
        assert_eq!(lines.last().map(String::len), Some(name.len() + 2 + LINE));
    }
}
