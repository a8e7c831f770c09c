//! Checks who could have written a file before it is used. Code in it runs with the rights of the user, so only root
//! and the user may have written it.
//!
//! The rule is that of sshd for keys: the file and every folder above it belong to root or to the user, and nobody else
//! can write to them. Folders such as /tmp, in which everybody may add entries but nobody may move those of others, are
//! allowed above it.
//!
//! The crate `fs-mistrust` checks such paths too, but trusts at most one group, whatever its members are, and reads no
//! access lists.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Refusal, bounds};

/// A regular file that only root and the user could have written.
pub struct Opened {
    pub file: File,
    pub length: u64,
    /// The canonical path that was checked.
    pub real: PathBuf,
}

/// What a file contains.
#[derive(Clone, Copy)]
enum Content {
    /// Code.
    Code,
    /// A lock or a list of keys, which decides what may run.
    Rules,
}

/// Opens a library that only root and the user could have written.
pub fn open(path: &Path) -> Result<Opened, Refusal> {
    open_for(path, Content::Code)
}

/// Reads a lock or a file of keys that only root and the user could have written.
pub fn read_text(path: &Path) -> Result<String, Refusal> {
    let mut text = String::new();
    let file = open_for(path, Content::Rules)?.file;
    // The text read is checked instead of the file's size, since a file may grow.
    file.take(bounds::MAX_RULES_LENGTH + 1).read_to_string(&mut text).map_err(unreadable)?;
    match text.len() as u64 > bounds::MAX_RULES_LENGTH {
        true => Err(Refusal::new("is larger than 1 MiB").hint("create it again")),
        false => Ok(text),
    }
}

fn open_for(path: &Path, content: Content) -> Result<Opened, Refusal> {
    let real = std::fs::canonicalize(path).map_err(unreadable)?;
    check_ancestors(&real, content)?;
    let (file, metadata) = open_at_once(&real).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Refusal::new("isn't a regular file"));
    }
    // fstat the descriptor and not the path: this is the file that is read (avoids TOCTOU).
    check_entry(&real, &metadata, false, content)?;
    Ok(Opened { file, length: metadata.len(), real })
}

/// Opens a file without blocking, as a pipe would until a writer opens it.
pub fn open_at_once(path: &Path) -> std::io::Result<(File, Metadata)> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits() as i32);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Refuses a folder into which another user could put a file.
pub fn check_folder(path: &Path) -> Result<(), Refusal> {
    let real = std::fs::canonicalize(path).map_err(unreadable)?;
    check_entry(&real, &std::fs::metadata(&real).map_err(unreadable)?, false, Content::Code)?;
    check_ancestors(&real, Content::Code)
}

fn unreadable(error: std::io::Error) -> Refusal {
    match error.kind() {
        std::io::ErrorKind::NotFound => Refusal::new("does not exist"),
        _ => Refusal::new(format!("cannot be read: {error}")),
    }
}

/// Checks each folder above.
fn check_ancestors(real: &Path, content: Content) -> Result<(), Refusal> {
    for folder in real.ancestors().skip(1) {
        check_entry(folder, &std::fs::symlink_metadata(folder).map_err(unreadable)?, true, content)?;
    }
    Ok(())
}

#[cfg(unix)]
use unix::check_entry;

#[cfg(not(unix))]
fn check_entry(_: &Path, _: &Metadata, _: bool, _: Content) -> Result<(), Refusal> {
    Ok(())
}

#[cfg(unix)]
mod unix {
    use std::fs::Metadata;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use super::Content;
    use crate::plugin::Refusal;
    use crate::text::shell_word;

    const GROUP: u32 = 0o020;
    const OTHERS: u32 = 0o002;
    const STICKY: u32 = 0o1000;

    /// Refuses an entry that another user could write. If it is a folder above the file (`is_above`), others may add
    /// entries, provided that they can't move existing ones.
    pub fn check_entry(at: &Path, metadata: &Metadata, is_above: bool, content: Content) -> Result<(), Refusal> {
        let (this_user, owner, mode) = (rustix::process::geteuid().as_raw(), metadata.uid(), metadata.mode());
        let is_foreign = owner != 0 && owner != this_user;
        let is_writable = match mode & (GROUP | OTHERS) {
            0 => false,
            _ if is_above && mode & STICKY != 0 => false,
            GROUP => !is_private_group(metadata.gid(), this_user) || has_acl(at),
            _ => true,
        };
        if !is_foreign && !is_writable {
            return Ok(());
        }
        let found = format!("(mode {:04o}, owner uid {owner})", mode & 0o7777);
        let reason = match (is_writable, is_above) {
            (true, false) => format!("can be written by others {found}"),
            (true, true) => format!("can be replaced by others: {} can be written by them {found}", at.display()),
            (false, false) => format!("belongs to another user {found}"),
            (false, true) => format!("can be replaced by another user: {} belongs to that user {found}", at.display()),
        };
        let place = shell_word(&at.display().to_string());
        // Only root can change a file's owner.
        let chown = if this_user == 0 { format!("chown 0 {place}") } else { format!("sudo chown {this_user} {place}") };
        let fix: Vec<String> =
            is_foreign.then_some(chown).into_iter().chain(is_writable.then(|| format!("chmod go-w {place}"))).collect();
        let fix = match mode & STICKY {
            0 => format!("`{}`, or ", fix.join(" && ")),
            // A sticky folder is meant for everybody.
            _ => String::new(),
        };
        Err(Refusal::retryable(reason).hint(match (content, is_above, metadata.is_dir()) {
            (Content::Code, false, true) => format!("code in it runs with your rights: {fix}name another folder"),
            (Content::Code, false, false) => format!("it runs with your rights: {fix}name another file"),
            (Content::Code, true, _) => format!("it runs with your rights: {fix}copy it to a folder of your own"),
            (Content::Rules, ..) => format!("it decides which code may run with your rights: {fix}create it again"),
        }))
    }

    /// Returns whether only root and this user are in a group. sshd refuses everything that a group can write. But if
    /// each user has a private group, with the usual umask 002, all of the user's files are group-writable, and
    /// refusing them adds no safety. A group that isn't in the files, such as one of a directory service, counts as
    /// shared.
    fn is_private_group(group: u32, user: u32) -> bool {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        is_private(group, user, &read("/etc/group"), &read("/etc/passwd"))
    }

    pub(super) fn is_private(group: u32, user: u32, groups: &str, users: &str) -> bool {
        let number = |field: Option<&&str>| field.and_then(|field| field.parse::<u32>().ok());
        // name:password:uid:gid:…
        let users: Vec<Vec<&str>> = users.lines().map(|line| line.split(':').collect()).collect();
        let is_us = |fields: &Vec<&str>| number(fields.get(2)).is_some_and(|uid| uid == 0 || uid == user);
        let mut primary = users.iter().filter(|fields| number(fields.get(3)) == Some(group));
        // name:password:gid:members
        let mut members = groups
            .lines()
            .map(|line| line.split(':').collect::<Vec<&str>>())
            .filter(|fields| number(fields.get(2)) == Some(group))
            .flat_map(|fields| fields.get(3).copied().unwrap_or_default().split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .peekable();
        let has_any = primary.clone().next().is_some() || members.peek().is_some();
        has_any
            && primary.all(is_us)
            && members.all(|name| users.iter().any(|fields| fields[0] == name && is_us(fields)))
    }

    /// Returns whether an access list exists. If it does, the group's mode bits are the upper bound for everybody on
    /// the list.
    fn has_acl(path: &Path) -> bool {
        #[cfg(target_os = "linux")]
        {
            use rustix::io::Errno;
            let mut none: [u8; 0] = [];
            let found = rustix::fs::getxattr(path, "system.posix_acl_access", &mut none[..]);
            !matches!(found, Err(Errno::NODATA | Errno::NOTSUP))
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = path;
            false
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::unix::is_private;
    use super::*;

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it can be set");
    }

    /// Creates a file in two folders of a temporary one, none of which others can write.
    fn nested() -> (tempfile::TempDir, PathBuf) {
        let top = tempfile::tempdir().expect("a folder");
        let folder = top.path().join("a/b");
        std::fs::create_dir_all(&folder).expect("folders");
        let file = folder.join("x.so");
        std::fs::write(&file, "x").expect("a file");
        for path in [top.path(), &top.path().join("a"), &folder] {
            mode(path, 0o755);
        }
        mode(&file, 0o644);
        (top, file)
    }

    fn refusal_line(path: &Path) -> String {
        open(path).err().expect("it is refused").line()
    }

    #[test]
    fn a_path_that_others_can_write_is_refused_with_the_command_that_fixes_it() {
        let (top, file) = nested();
        open(&file).expect("nobody else can write it");
        mode(&file, 0o646);
        let line = refusal_line(&file);
        let fix = format!("`chmod go-w {}`", file.canonicalize().expect("it is there").display());
        assert!(line.contains("can be written by others (mode 0646") && line.contains(&fix), "{line}");
        mode(&file, 0o644);
        for folder in [top.path().join("a/b"), top.path().join("a"), top.path().to_owned()] {
            mode(&folder, 0o757);
            let line = refusal_line(&file);
            let real = folder.canonicalize().expect("it is there");
            let says = format!("can be replaced by others: {} can be written by them (mode 0757", real.display());
            assert!(line.starts_with(&says) && line.contains("`chmod go-w"), "{line}");
            check_folder(&top.path().join("a/b")).expect_err("so is the folder");
            // Others may add entries but not move ours.
            mode(&folder, 0o1777);
            open(&file).expect("ours stays");
            mode(&folder, 0o755);
        }
        mode(&top.path().join("a/b"), 0o1777);
        let line = check_folder(&top.path().join("a/b")).expect_err("others may put plug-ins into it").line();
        assert!(
            line.ends_with("runs with your rights: name another folder"),
            "it is everybody's, and stays so: {line}"
        );
    }

    #[test]
    fn a_link_is_judged_by_its_target() {
        let (top, file) = nested();
        let link = top.path().join("link.so");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        let opened = open(&link).expect("nobody else can write it");
        assert_eq!(opened.real, file.canonicalize().expect("it is there"));
        mode(&top.path().join("a"), 0o777);
        assert!(refusal_line(&link).starts_with("can be replaced by others"));
    }

    #[test]
    fn files_and_folders_of_another_user_are_refused() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can give a file to another user");
            return;
        }
        let (top, file) = nested();
        chown(&file, Some(1002), None).expect("root can");
        let line = refusal_line(&file);
        assert!(line.contains("belongs to another user (mode 0644, owner uid 1002)"), "{line}");
        assert!(line.contains("`chown 0 "), "{line}");
        chown(&file, Some(0), None).expect("root can");
        let above = top.path().join("a");
        chown(&above, Some(1002), None).expect("root can");
        assert!(refusal_line(&file).starts_with("can be replaced by another user"), "{}", refusal_line(&file));
        mode(&above, 0o777);
        let line = refusal_line(&file);
        assert!(line.contains("`chown 0 ") && line.contains(" && chmod go-w "), "{line}");
        // In a folder such as /tmp, entries of another user are refused.
        chown(&above, Some(0), None).expect("root can");
        mode(&above, 0o1777);
        open(&file).expect("ours stays");
        chown(top.path().join("a/b"), Some(1002), None).expect("root can");
        refusal_line(&file);
    }

    #[test]
    fn a_private_group_counts_as_the_user() {
        let users = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:\nbob:x:1001:1001::/:\nguest:x:1002:100::/:\n";
        let groups = "root:x:0:\nann:x:1000:\nbob:x:1001:ann\nusers:x:100:\nteam:x:2000:ann,bob\nempty:x:2001:\nmine:x:2002:ann\n";
        let private = |group, user| is_private(group, user, groups, users);
        assert!(private(1000, 1000) && private(0, 0) && private(0, 1000) && private(2002, 1000));
        assert!(!private(1000, 1001), "another's");
        assert!(!private(1001, 1001), "ann is in it");
        assert!(!private(100, 1000) && !private(2000, 1000), "shared");
        assert!(!private(2001, 1000) && !private(4000, 1000), "who is in it isn't known");
        assert!(!is_private(1000, 1000, "garbage\n:::\n\n", ""));
    }

    #[test]
    fn a_file_that_a_shared_group_can_write_is_refused() {
        let (_top, file) = nested();
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can give a file to any group");
            return;
        }
        // The group isn't in /etc/group.
        chown(&file, None, Some(54_321)).expect("root can");
        open(&file).expect("the group can only read it");
        mode(&file, 0o664);
        assert!(refusal_line(&file).contains("can be written by others (mode 0664"), "{}", refusal_line(&file));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_private_group_with_an_access_list_counts_as_shared() {
        let (_top, file) = nested();
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root's group is known here");
            return;
        }
        mode(&file, 0o664);
        open(&file).expect("the group is root's");
        // The owner, user 1002, the group, the mask and the others, as (tag, rights, id).
        let nobody = u32::MAX;
        let entries: [(u16, u16, u32); 5] =
            [(1, 6, nobody), (2, 6, 1002), (4, 4, nobody), (16, 6, nobody), (32, 4, nobody)];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, number) in entries {
            list.extend(tag.to_le_bytes().into_iter().chain(rights.to_le_bytes()).chain(number.to_le_bytes()));
        }
        let set = rustix::fs::setxattr(&file, "system.posix_acl_access", &list, rustix::fs::XattrFlags::empty());
        if set == Err(rustix::io::Errno::NOTSUP) {
            println!("skipped: this file system has no access lists");
            return;
        }
        set.expect("it can be set");
        assert!(refusal_line(&file).contains("can be written by others (mode 0664"), "{}", refusal_line(&file));
    }
}
