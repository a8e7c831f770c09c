//! Functions that the fuzz targets share.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Returns the path of a file in a folder of this process, which is in `/dev/shm` if that exists.
pub fn file(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = parent.join(format!("plugfit-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    });
    folder.join(name)
}

/// Writes a file with these bytes and returns its path.
pub fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let path = file(name);
    std::fs::write(&path, bytes).expect("the file can be written");
    path
}
