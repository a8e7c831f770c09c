//! `plugfit trust`: shows, adds and removes the keys that sign plug-ins.

use clap::Args;
use serde_json::json;

use super::{Common, event, print, short};
use crate::plugin::trust::{TrustedKey, TrustedKeys};
use crate::{Error, Result};

#[derive(Args)]
#[command(after_long_help = include_str!("../plugin/trust.md"))]
pub struct Options {
    /// A minisign public key to trust, or a file with one such as minisign.pub [default: show the trusted keys]
    key: Option<String>,
    /// Stop trusting the key
    #[arg(long, requires = "key")]
    remove: bool,
}

pub fn run(options: &Options, common: &Common) -> Result<()> {
    let mut keys = TrustedKeys::of_user()?;
    if let Some(key) = &options.key {
        let key = TrustedKey::read(key)?;
        let has_changed = if options.remove { keys.remove(&key) } else { keys.add(key.clone()) };
        if options.remove && !has_changed {
            return Err(Error::usage(format!("{} isn't trusted", key.text())).hint("`plugfit trust` shows which are"));
        }
        if has_changed {
            keys.write()?;
        }
    }
    if common.json {
        for key in keys.keys() {
            event(
                "trusted",
                json!({"key": key.text(), "comment": key.comment(), "file": keys.path().display().to_string()}),
            );
        }
        return Ok(());
    }
    for key in keys.keys() {
        print(format!("{}  {}", key.text(), key.comment()).trim_end());
        print("\n");
    }
    let count = match keys.keys().len() {
        0 => "contains no keys: --require-signed loads no plug-ins".into(),
        1 => "contains 1 key: --require-signed loads only plug-ins signed with it".into(),
        count => format!("contains {count} keys: --require-signed loads only plug-ins signed with one of them"),
    };
    print(&format!("{} {count}\n", short(keys.path())));
    Ok(())
}
