//! Compares versions of plug-ins.

use std::cmp::Ordering;

/// Compares two versions by semantic versioning: numbers compare as numbers, and a pre-release is older than its
/// release. Build metadata, which follows a `+`, is ignored. Other versions, such as "1.0", which the crate `semver`
/// doesn't read, are compared in the same way.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let [(a, a_pre), (b, b_pre)] = [a, b].map(|version| {
        let version = version.split('+').next().unwrap_or(version);
        version.split_once('-').map_or((version, None), |(release, pre)| (release, Some(pre)))
    });
    let pre_releases = || match (a_pre, b_pre) {
        (Some(a), Some(b)) => parts(a).cmp(parts(b)),
        _ => a_pre.is_none().cmp(&b_pre.is_none()),
    };
    parts(a).cmp(parts(b)).then_with(pre_releases)
}

/// Returns the parts of a version as keys of which numbers are less than texts.
fn parts(version: &str) -> impl Iterator<Item = (bool, u64, &str)> {
    version.split('.').map(|part| part.parse().map_or((true, 0, part), |number| (false, number, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_order() {
        let ascending = ["0.1.0-alpha", "0.1.0-alpha.2", "0.1.0-beta", "0.1.0", "0.1.1", "0.2.0", "0.10.0", "1.0.0"];
        for (i, version) in ascending.iter().enumerate() {
            for (j, other) in ascending.iter().enumerate() {
                assert_eq!(compare(version, other), i.cmp(&j), "{version} {other}");
            }
        }
        assert_eq!(compare("1.0.0+build", "1.0.0"), Ordering::Equal);
        assert_eq!(compare("1.0", "1.0.0"), Ordering::Less);
        assert_eq!(compare("1.10", "1.9"), Ordering::Greater);
        assert_eq!(compare("1.0", "1.0-rc"), Ordering::Greater);
    }
}
