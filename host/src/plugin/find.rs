//! Searches folders for plug-ins, loads them, and reports what became of each file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{LoadOptions, Plugin, Refusal, foreign, ownership};
use crate::text::printable_path;

/// The origin of a plug-in folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `--plugins`, or the program that uses this crate.
    Flag,
    /// A run file.
    Config(PathBuf),
    /// `$PLUGFIT_PLUGINS`.
    Environment,
    /// The folder `plugins` beside the program.
    Program,
    /// The user's data folder.
    User,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("--plugins"),
            Source::Config(path) => f.write_str(&printable_path(path)),
            Source::Environment => f.write_str("$PLUGFIT_PLUGINS"),
            Source::Program => f.write_str("beside the program"),
            Source::User => f.write_str("user"),
        }
    }
}

/// A folder to search for plug-ins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The folder's path.
    pub path: PathBuf,
    /// The folder's origin.
    pub source: Source,
}

/// The state of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It exists.
    Exists,
    /// It doesn't exist.
    Missing,
    /// It can't be read, for this reason.
    Unreadable(String),
    /// Nothing is loaded from it, for this reason.
    Refused(Refusal),
}

/// The outcome for a file.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The file is loaded.
    Loaded(Arc<Plugin>),
    /// The file is or should be a plug-in, but can't be loaded.
    Refused(Refusal),
    /// The file isn't a plug-in, for this reason.
    Ignored(String),
    /// The same plug-in is already loaded.
    AlreadyLoaded(String),
}

/// What a scan found in a folder.
#[derive(Clone, Debug)]
pub struct FolderReport {
    /// The folder.
    pub folder: Folder,
    /// The folder's state.
    pub state: State,
    /// The folder's libraries, sorted by name.
    pub files: Vec<FileReport>,
}

/// A file and its verdict.
#[derive(Clone, Debug)]
pub struct FileReport {
    /// The file's path.
    pub path: PathBuf,
    /// The outcome.
    pub verdict: Verdict,
    stamp: Option<Stamp>,
}

/// Change fingerprint: modification time, size, inode.
type Stamp = (SystemTime, u64, u64);

/// Longer than the resolution of any file system's clock.
const CLOCK_RESOLUTION: Duration = Duration::from_secs(2);

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let number = 0;
    Some((metadata.modified().ok()?, metadata.len(), number))
}

impl FileReport {
    /// Returns whether this file was reported before, hasn't changed, and need not be read again.
    pub fn is_unchanged_since(&self, before: &[FileReport]) -> bool {
        find_known(&self.path, self.stamp, before).is_some()
    }
}

fn find_known<'r>(path: &Path, stamp: Option<Stamp>, before: &'r [FileReport]) -> Option<&'r FileReport> {
    let is_known = |other: &&FileReport| other.path == path && other.stamp == stamp;
    let is_retryable = |verdict: &Verdict| matches!(verdict, Verdict::Refused(refusal) if refusal.retryable);
    before.iter().filter(|other| stamp.is_some() && !is_retryable(&other.verdict)).find(is_known)
}

/// Returns the folders that are always searched: those of `$PLUGFIT_PLUGINS`, `plugins` beside the program, and the
/// user's.
pub fn default_folders() -> Vec<Folder> {
    let mut folders = Vec::new();
    if let Some(paths) = std::env::var_os("PLUGFIT_PLUGINS") {
        let paths = std::env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty());
        folders.extend(paths.map(|path| Folder { path, source: Source::Environment }));
    }
    let program = std::env::current_exe().ok();
    if let Some(folder) = program.as_deref().and_then(Path::parent) {
        folders.push(Folder { path: folder.join("plugins"), source: Source::Program });
    }
    let home = |rest: &str| std::env::var_os("HOME").map(|home| Path::new(&home).join(rest));
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(data) = data.or_else(|| home(".local/share")) {
        folders.push(Folder { path: data.join("plugfit/plugins"), source: Source::User });
    }
    folders
}

/// Loads the libraries in a folder, in sorted order. Subfolders aren't searched, and files that were reported before
/// and haven't changed aren't read again. If a lock or signatures limit what may be loaded, folders of
/// `$PLUGFIT_PLUGINS` are refused.
pub fn scan(folder: &Folder, options: &LoadOptions, before: &[FileReport]) -> FolderReport {
    let path = std::path::absolute(&folder.path).unwrap_or_else(|_| folder.path.clone());
    let folder = Folder { path: path.clone(), source: folder.source.clone() };
    let report = |state: State| FolderReport { folder: folder.clone(), state, files: Vec::new() };
    if let (Source::Environment, Some(limit)) = (&folder.source, options.limit()) {
        let refusal = Refusal::new(format!("isn't searched with {limit}"));
        return report(State::Refused(refusal.hint("name it with --plugins or in the run's file").at(&path)));
    }
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return report(State::Unreadable("it isn't a folder".into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return report(State::Missing),
        Err(error) => return report(State::Unreadable(error.to_string())),
    }
    if let Err(refusal) = ownership::check_folder(&path) {
        return report(State::Refused(refusal.at(&path)));
    }
    let files = match libraries(&path) {
        Ok(files) => files,
        Err(error) => return report(State::Unreadable(error.to_string())),
    };
    let open = |path: PathBuf| {
        let stamp = stamp(&path);
        if let Some(known) = find_known(&path, stamp, before) {
            return known.clone();
        }
        let verdict = match Plugin::open(&path, options) {
            Ok(plugin) => return FileReport { path, verdict: Verdict::Loaded(plugin), stamp },
            Err(refusal) if refusal.not_a_plugin => Verdict::Ignored(format!("no plug-in: it {}", refusal.reason)),
            // With a lock or signatures, a refused file is reported whatever it is.
            Err(refusal) => match foreign::describe(&path).filter(|_| options.limit().is_none()) {
                Some(what) => Verdict::Ignored(format!("no plug-in: it {what}, and {}", refusal.reason)),
                None => Verdict::Refused(refusal),
            },
        };
        // A file that is being written may change again within the same tick of the file system's clock.
        let is_still = |stamp: &Stamp| stamp.0.elapsed().is_ok_and(|since| since > CLOCK_RESOLUTION);
        FileReport { path, verdict, stamp: stamp.filter(is_still) }
    };
    FolderReport { files: files.into_iter().map(open).collect(), ..report(State::Exists) }
}

/// Loads a file that was named explicitly.
pub fn file(path: &Path, options: &LoadOptions) -> FileReport {
    let verdict = match Plugin::open(path, options) {
        Ok(plugin) => Verdict::Loaded(plugin),
        Err(refusal) => Verdict::Refused(refusal),
    };
    FileReport { path: path.to_owned(), verdict, stamp: None }
}

/// Returns the shared libraries in a folder, sorted; none if the folder doesn't exist.
///
/// # Errors
/// Returns an error if the folder can't be read.
pub fn libraries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_library(path)).collect();
    files.sort();
    Ok(files)
}

fn is_library(path: &Path) -> bool {
    let suffix = std::env::consts::DLL_SUFFIX;
    path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        name.ends_with(suffix) && !name.starts_with('.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan_without_limits(path: &Path) -> FolderReport {
        scan(&Folder { path: path.to_owned(), source: Source::Flag }, &LoadOptions::default(), &[])
    }

    #[test]
    fn only_libraries_are_read_and_each_has_a_verdict() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it can be written");
        let suffix = std::env::consts::DLL_SUFFIX;
        write("notes.txt", "a");
        write(&format!("b{suffix}"), "hello");
        write(&format!("a{suffix}"), "");
        let report = scan_without_limits(folder.path());
        let reasons: Vec<String> = report
            .files
            .iter()
            .map(|file| match &file.verdict {
                Verdict::Refused(refusal) => {
                    format!("{} {}", file.path.file_name().expect("a name").to_string_lossy(), refusal.reason)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(reasons, [format!("a{suffix} is empty"), format!("b{suffix} isn't a shared library")]);
        assert_eq!(scan_without_limits(&folder.path().join("no")).state, State::Missing);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_can_write_is_refused_and_a_pipe_does_not_block() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join(format!("pipe{}", std::env::consts::DLL_SUFFIX));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .expect("a pipe");
        let report = scan_without_limits(folder.path());
        let [FileReport { verdict: Verdict::Refused(refusal), .. }] = &report.files[..] else { panic!("{report:?}") };
        assert_eq!(refusal.reason, "isn't a regular file");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("they can be set");
        assert!(
            matches!(scan_without_limits(folder.path()).state, State::Refused(why) if why.reason.contains("mode 0777"))
        );
    }
}
