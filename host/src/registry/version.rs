//! Compares versions of plug-ins.

use std::cmp::Ordering;

/// Compares two versions by semantic versioning: numbers compare as numbers, and a pre-release is older than its
/// release. Build metadata, which follows a `+`, is ignored.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let [(a, a_pre), (b, b_pre)] = [a, b].map(|version| {
        let version = version.split('+').next().unwrap_or(version);
        version.split_once('-').map_or((version, None), |(release, pre)| (release, Some(pre)))
    });
    let pre_releases = match (a_pre, b_pre) {
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => parts(a, b),
        (None, None) => Ordering::Equal,
    };
    parts(a, b).then(pre_releases)
}

fn parts(a: &str, b: &str) -> Ordering {
    let mut others = b.split('.');
    for part in a.split('.') {
        let Some(other) = others.next() else { return Ordering::Greater };
        let order = match (part.parse::<u64>(), other.parse::<u64>()) {
            (Ok(part), Ok(other)) => part.cmp(&other),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => part.cmp(other),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    if others.next().is_some() { Ordering::Less } else { Ordering::Equal }
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
    }
}
