#![doc = include_str!("trust.md")]

use std::io::Read;
use std::path::{Path, PathBuf};

use minisign_verify::{Error as Minisign, PublicKey, Signature};

use super::{Refusal, bounds, ownership};
use crate::files::write_privately;
use crate::text::{is_control_or_bidi, printable_path};
use crate::{Error, Result};

/// The keys whose plug-ins are loaded if signatures are required.
#[derive(Clone, Debug)]
pub struct TrustedKeys {
    path: PathBuf,
    keys: Vec<TrustedKey>,
}

/// A minisign public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    text: String,
    comment: String,
    key: PublicKey,
}

impl TrustedKey {
    /// Parses a key's text, or reads a file that contains one as minisign writes it (`minisign.pub`).
    ///
    /// # Errors
    /// Returns an error if `key` is neither.
    pub fn read(key: &str) -> Result<Self> {
        if let Some(key) = Self::parse(key) {
            return Ok(key);
        }
        let wrong = |why: &str| {
            Error::usage(format!("{key} {why}"))
                .hint("a public key has 56 letters and begins with RW; minisign writes it into minisign.pub")
        };
        let read = || {
            let mut text = String::new();
            ownership::open_at_once(Path::new(key))?
                .0
                .take(bounds::MAX_RULES_LENGTH)
                .read_to_string(&mut text)
                .map(|_| text)
        };
        let text = match read() {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(wrong("is neither a minisign public key nor a file"));
            }
            Err(error) => return Err(wrong(&format!("can't be read: {error}"))),
        };
        // The file has a comment, then the key.
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let comment = lines.next().and_then(|line| line.strip_prefix("untrusted comment:")).unwrap_or_default();
        let found = text.lines().find_map(Self::parse).ok_or_else(|| wrong("has no minisign public key"))?;
        // The comment is shown on terminals.
        let comment = comment.trim().chars().filter(|letter| !is_control_or_bidi(*letter)).collect();
        Ok(TrustedKey { comment, ..found })
    }

    /// Parses a line of the file of keys: the key, and a comment.
    fn parse(line: &str) -> Option<Self> {
        let (text, comment) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
        let key = PublicKey::from_base64(text).ok()?;
        Some(TrustedKey { text: text.to_owned(), comment: comment.trim().to_owned(), key })
    }

    /// Returns the key as minisign writes it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the comment of the key's creator, which proves nothing.
    pub fn comment(&self) -> &str {
        &self.comment
    }
}

impl TrustedKeys {
    /// Reads the user's keys from `$XDG_CONFIG_HOME/plugfit/trusted_keys` or else `~/.config/plugfit/trusted_keys`;
    /// none if the file doesn't exist.
    ///
    /// # Errors
    /// As for [`read`](Self::read). Also returns an error if there is no home directory.
    pub fn of_user() -> Result<Self> {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
        let config =
            config.ok_or_else(|| Error::failure("there is no home folder for the trusted keys").hint("set $HOME"))?;
        Self::read(&config.join("plugfit/trusted_keys"))
    }

    /// Reads a file with one key per line, each followed by a comment; none if the file doesn't exist.
    ///
    /// # Errors
    /// Returns an error if the file can't be read, a line isn't a key, or another user could have written it.
    pub fn read(path: &Path) -> Result<Self> {
        let mut keys = Vec::new();
        if std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return Ok(TrustedKeys { path: path.to_owned(), keys });
        }
        let text = ownership::read_text(path).map_err(|refusal| Error::from(refusal.at(path)))?;
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = || {
                Error::failure(format!("{} has a line that isn't a key", printable_path(path)))
                    .with("in", format!("{}:{}", printable_path(path), index + 1))
            };
            keys.push(TrustedKey::parse(line).ok_or_else(wrong)?);
        }
        Ok(TrustedKeys { path: path.to_owned(), keys })
    }

    /// Returns the path of the file of keys.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the keys.
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// Adds a key. Returns whether it is new.
    pub fn add(&mut self, key: TrustedKey) -> bool {
        let is_new = !self.has(&key);
        self.keys.extend(is_new.then_some(key));
        is_new
    }

    /// Removes a key. Returns whether it was present.
    pub fn remove(&mut self, key: &TrustedKey) -> bool {
        let was_there = self.has(key);
        self.keys.retain(|other| other.text != key.text);
        was_there
    }

    fn has(&self, key: &TrustedKey) -> bool {
        self.keys.iter().any(|other| other.text == key.text)
    }

    /// Writes the keys to their file atomically, so that only the user can change it.
    ///
    /// # Errors
    /// Returns an error if the file can't be written or another user could write to it.
    pub fn write(&self) -> Result<()> {
        if let Some(folder) = self.path.parent() {
            let mut builder = std::fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder
                .recursive(true)
                .create(folder)
                .map_err(|error| Error::failure(format!("cannot make {}: {error}", printable_path(folder))))?;
        }
        write_privately(&self.path, |writer| {
            writeln!(writer, "# Keys whose plug-ins --require-signed loads; `plugfit trust` writes this file.")?;
            self.keys.iter().try_for_each(|key| writeln!(writer, "{} {}", key.text, key.comment))
        })?;
        Self::read(&self.path).map(drop)
    }

    /// Reads the signature beside a file.
    pub(super) fn signature(&self, path: &Path) -> std::result::Result<Signed<'_>, Refusal> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".minisig");
        let beside = PathBuf::from(beside);
        let name = beside.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = read_signature(&beside).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Refusal::retryable(format!("isn't signed: there is no {name}"))
                .hint("--require-signed needs a signature; its author creates it with `minisign -S`"),
            _ => Refusal::retryable(format!("has a signature that can't be read: {error}")),
        })?;
        let signature = Signature::decode(&text)
            .map_err(|_| Refusal::retryable(format!("has a damaged signature, {name}")).hint("copy it again"))?;
        Ok(Signed { keys: &self.keys, name, signature })
    }
}

/// A signature, and the keys that may have made it.
pub(super) struct Signed<'k> {
    keys: &'k [TrustedKey],
    name: String,
    signature: Signature,
}

impl Signed<'_> {
    /// Refuses a file that none of the keys signed; `bytes` are the whole file.
    pub fn check(&self, bytes: &[u8]) -> std::result::Result<(), Refusal> {
        let mut has_matching_key_id = false;
        for key in self.keys {
            // Signatures of the older form, over the bytes instead of their hash, are also accepted.
            match key.key.verify(bytes, &self.signature, true) {
                Ok(()) => return Ok(()),
                Err(Minisign::UnexpectedKeyId) => {}
                Err(_) => has_matching_key_id = true,
            }
        }
        Err(match has_matching_key_id {
            true => {
                Refusal::retryable(format!("doesn't match the signature {}: one of the two was changed", self.name))
                    .hint("copy both again, or don't use it")
            }
            false => {
                Refusal::retryable(format!("isn't signed with a trusted key: none of {} keys matches", self.keys.len()))
                    .hint("if you know whose it is, add the key with `plugfit trust KEY`")
            }
        })
    }
}

/// Maximum size of a signature, in bytes.
const MAX_SIGNATURE: u64 = 1 << 16;

/// Reads a signature. It authenticates itself, so it doesn't matter who could have written it.
fn read_signature(path: &Path) -> std::io::Result<String> {
    let (file, metadata) = ownership::open_at_once(path)?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it isn't a regular file"));
    }
    let mut text = String::new();
    file.take(MAX_SIGNATURE).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    // From the tests of minisign-verify: the text "test", signed in both forms.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const HASHED: &str = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1556193335\tfile:test\n\
        y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==\n";
    const OLDER: &str = "untrusted comment: signature from minisign secret key\n\
        RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n\
        trusted comment: timestamp:1555779966\tfile:test\n\
        QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==\n";

    fn keys(texts: &[&str]) -> TrustedKeys {
        let keys = texts.iter().map(|text| TrustedKey::read(text).expect("a key")).collect();
        TrustedKeys { path: "trusted_keys".into(), keys }
    }

    /// Returns a key with another number.
    fn other() -> String {
        KEY.replacen("RWQf6", "RWQf7", 1)
    }

    fn checked(keys: &TrustedKeys, bytes: &[u8], signature: &str) -> std::result::Result<(), String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("x.so.minisig"), signature).expect("it can be written");
        keys.signature(&folder.path().join("x.so"))
            .and_then(|signed| signed.check(bytes))
            .map_err(|refusal| refusal.reason)
    }

    #[test]
    fn both_forms_of_signatures_are_valid_only_for_their_bytes() {
        for signature in [HASHED, OLDER] {
            let says = |keys: &[&str], bytes: &[u8]| checked(&self::keys(keys), bytes, signature).expect_err("refused");
            checked(&keys(&[KEY]), b"test", signature).expect("it fits");
            checked(&keys(&[&other(), KEY]), b"test", signature).expect("one of two fits");
            assert!(says(&[KEY], b"Test").contains("one of the two was changed"));
            assert!(says(&[KEY], b"").contains("one of the two was changed"));
            assert!(says(&[&other()], b"test").contains("none of 1 keys matches"));
            assert!(says(&[], b"test").contains("none of 0 keys matches"));
        }
        let comment = HASHED.replace("file:test", "file:best");
        checked(&keys(&[KEY]), b"test", &comment).expect_err("the comment is signed, too");
    }

    #[test]
    fn a_missing_or_damaged_signature_is_refused() {
        let keys = keys(&[KEY]);
        let folder = tempfile::tempdir().expect("a folder");
        let refusal = keys.signature(&folder.path().join("x.so")).err().expect("there is none");
        assert_eq!(refusal.reason, "isn't signed: there is no x.so.minisig");
        std::fs::create_dir(folder.path().join("x.so.minisig")).expect("a folder");
        keys.signature(&folder.path().join("x.so")).err().expect("a folder is no signature");
        for length in 0..HASHED.len() - 1 {
            checked(&keys, b"test", &HASHED[..length]).expect_err("it is cut");
        }
        let letters = HASHED.char_indices().filter(|(at, letter)| *at > 54 && *letter != '\n');
        for (at, _) in letters {
            let mut changed = HASHED.as_bytes().to_vec();
            changed[at] ^= 1;
            let changed = String::from_utf8_lossy(&changed).into_owned();
            checked(&keys, b"test", &changed).expect_err("a letter is another");
        }
    }

    #[test]
    fn keys_are_stored_one_per_line_and_can_be_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config/plugfit/trusted_keys");
        let mut keys = TrustedKeys::read(&path).expect("none yet");
        assert!(keys.keys().is_empty());
        let file = folder.path().join("minisign.pub");
        std::fs::write(&file, format!("untrusted comment: of \u{1b}[1mann\n{KEY}\n")).expect("it can be written");
        let key = TrustedKey::read(file.to_str().expect("a name")).expect("a key");
        assert_eq!((key.text(), key.comment()), (KEY, "of [1mann"));
        assert!(keys.add(key.clone()) && !keys.add(TrustedKey::read(KEY).expect("the same")));
        assert!(keys.add(TrustedKey::read(&other()).expect("another")));
        keys.write().expect("it can be written");
        assert_eq!(TrustedKeys::read(&path).expect("they are there").keys(), keys.keys());
        assert!(keys.remove(&key) && !keys.remove(&key));
        keys.write().expect("it can be written");
        assert_eq!(TrustedKeys::read(&path).expect("it is there").keys().len(), 1);
        std::fs::write(&path, format!("# a comment\n\n{KEY}\nno key\n")).expect("it can be written");
        let error = TrustedKeys::read(&path).expect_err("a line is none").to_string();
        assert!(error.contains("trusted_keys:4"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn keys_that_others_can_write_are_not_read() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trusted_keys");
        TrustedKeys { path: path.clone(), ..keys(&[KEY]) }.write().expect("it can be written");
        assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("a mode");
        let error = TrustedKeys::read(&path).expect_err("others can write it").to_string();
        assert!(error.contains("can be written by others (mode 0666") && error.contains("chmod go-w"), "{error}");
    }

    #[test]
    fn invalid_keys_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret.key");
        std::fs::write(&file, "untrusted comment: minisign encrypted secret key\nRWRTY0Iy\n")
            .expect("it can be written");
        for (key, says) in [
            ("nonsense", "is neither a minisign public key nor a file"),
            (&KEY[..55], "is neither a minisign public key nor a file"),
            (file.to_str().expect("a name"), "has no minisign public key"),
            (folder.path().to_str().expect("a name"), "can't be read"),
        ] {
            let error = TrustedKey::read(key).expect_err("none").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
