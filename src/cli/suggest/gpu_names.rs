//! GPUs by the names that people, shops and drivers give them, with the memory that the makers state. Asks no driver;
//! the GPUs of this machine are read in `memory`.

use crate::config::ConfigError;

/// Memory that the makers state, in GiB; what a driver shows is up to 6% less, which the reserve covers. Where one name
/// has several sizes, the smallest comes first.
const GPUS: &[(&str, u64)] = &[
    ("gtx1650", 4),
    ("gtx1660", 6),
    ("gtx1660ti", 6),
    ("rtx2060", 6),
    ("rtx2070", 8),
    ("rtx2080", 8),
    ("rtx2080ti", 11),
    ("rtx3050", 8),
    ("rtx3050-laptop", 4),
    ("rtx3060-8gb", 8),
    ("rtx3060", 12),
    ("rtx3060-laptop", 6),
    ("rtx3060ti", 8),
    ("rtx3070", 8),
    ("rtx3070-laptop", 8),
    ("rtx3070ti", 8),
    ("rtx3080", 10),
    ("rtx3080-12gb", 12),
    ("rtx3080-laptop", 8),
    ("rtx3080ti", 12),
    ("rtx3090", 24),
    ("rtx3090ti", 24),
    ("rtx4050-laptop", 6),
    ("rtx4060", 8),
    ("rtx4060-laptop", 8),
    ("rtx4060ti", 8),
    ("rtx4060ti-16gb", 16),
    ("rtx4070", 12),
    ("rtx4070-laptop", 8),
    ("rtx4070super", 12),
    ("rtx4070ti", 12),
    ("rtx4070tisuper", 16),
    ("rtx4080", 16),
    ("rtx4080-laptop", 12),
    ("rtx4080super", 16),
    ("rtx4090", 24),
    ("rtx4090-laptop", 16),
    ("rtx5050", 8),
    ("rtx5060", 8),
    ("rtx5060ti", 8),
    ("rtx5060ti-16gb", 16),
    ("rtx5070", 12),
    ("rtx5070-laptop", 8),
    ("rtx5070ti", 16),
    ("rtx5080", 16),
    ("rtx5090", 32),
    ("rtxa2000", 6),
    ("rtxa4000", 16),
    ("rtxa5000", 24),
    ("rtxa6000", 48),
    ("rtx4000ada", 20),
    ("rtx6000ada", 48),
    ("t4", 16),
    ("a10", 24),
    ("a16", 16),
    ("a30", 24),
    ("a40", 48),
    ("a100", 40),
    ("a100-80gb", 80),
    ("l4", 24),
    ("l40", 48),
    ("l40s", 48),
    ("h100", 80),
    ("h200", 141),
    ("b200", 180),
];

/// How the names of Turing's cards begin, whose compute capability is 7.5; the others are newer.
const TURING: &[&str] = &["gtx16", "rtx20", "t4"];

/// How the names of cards begin that are not in the table because they are too old.
const BEFORE_TURING: &[&str] = &["gtx9", "gtx10", "p100", "v100"];

/// Words that makers and drivers add to the name of the same card.
const FILLERS: &[&str] = &["nvidia", "geforce", "tesla", "quadro", "graphics", "gpu", "pcie", "sxm2", "sxm4", "sxm5"];

/// The table's name of a GPU and its memory, from a name as people write it: `RTX 4070`, `4070 laptop`,
/// `NVIDIA A100-SXM4-80GB`.
pub(super) fn find(asked: &str) -> Result<(&'static str, u64), ConfigError> {
    let wanted = plain(asked);
    // A driver names the size also where there is only one.
    let (short, gib) = split_size(&wanted);
    let is = |name: &str, wanted: &str| {
        name == wanted || ["rtx", "gtx"].iter().any(|kind| name == format!("{kind}{wanted}"))
    };
    let found = GPUS.iter().find(|(name, _)| is(&plain(name), &wanted));
    let of_size = GPUS.iter().find(|(name, size)| is(split_size(&plain(name)).0, short) && Some(*size) == gib);
    match found.or(of_size) {
        Some((name, gib)) => Ok((name, gib << 30)),
        None => Err(unknown(asked, &wanted)),
    }
}

/// The compute capability of a GPU of the table where it is that of Turing; `None` where it is a later one.
pub(super) fn capability(name: &str) -> Option<[i32; 2]> {
    TURING.iter().any(|start| name.starts_with(start)).then_some([7, 5])
}

/// Lower-case letters and digits, without what does not matter.
fn plain(name: &str) -> String {
    let name = name.to_lowercase().replace("gib", "gb").replace("mobile", "laptop");
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let joined: String = words.filter(|word| !FILLERS.contains(word)).collect();
    FILLERS[..3].iter().fold(joined, |name, word| name.replace(word, ""))
}

/// `a10080gb` into `a100` and 80; without a size, the name as it is.
fn split_size(plain: &str) -> (&str, Option<u64>) {
    let Some(rest) = plain.strip_suffix("gb") else { return (plain, None) };
    let sizes = GPUS.iter().map(|(_, gib)| *gib);
    // The longest that fits: 16 before 6.
    let size = sizes.filter(|gib| rest.ends_with(&gib.to_string())).max();
    match size {
        Some(gib) => (&rest[..rest.len() - gib.to_string().len()], Some(gib)),
        None => (plain, None),
    }
}

fn unknown(asked: &str, wanted: &str) -> ConfigError {
    let is_old = |wanted: &str| BEFORE_TURING.iter().any(|start| wanted.starts_with(start));
    if is_old(wanted) || is_old(&format!("gtx{wanted}")) {
        return ConfigError {
            place: format!("--gpu {asked}"),
            key: String::new(),
            problem: "this libtorch has no kernels for GPUs before Turing, compute capability 7.5".into(),
            hint: Some("a newer GPU, or this program built with a libtorch for an older CUDA".into()),
        };
    }
    let likeness = |name: &str| strsim::jaro_winkler(&plain(name), wanted);
    let nearest = GPUS.iter().max_by(|a, b| likeness(a.0).total_cmp(&likeness(b.0)));
    let hint = match nearest {
        Some((name, gib)) if likeness(name) > 0.8 => {
            format!("did you mean {name} ({gib} GiB)? Otherwise give its memory, for instance --gpu-memory 12GiB")
        }
        _ => "give its memory instead, for instance --gpu-memory 12GiB".into(),
    };
    let known: Vec<_> = GPUS.iter().map(|(name, _)| *name).collect();
    ConfigError {
        place: format!("--gpu {asked}"),
        key: String::new(),
        problem: format!("this GPU is not known; known are {}", known.join(", ")),
        hint: Some(hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_and_drivers_write_them() {
        for (asked, name) in [
            ("rtx4070", "rtx4070"),
            ("RTX 4070", "rtx4070"),
            ("4070", "rtx4070"),
            ("NVIDIA GeForce RTX 4070", "rtx4070"),
            ("rtx 4070 12GB", "rtx4070"),
            ("NVIDIA GeForce RTX 4070 Laptop GPU", "rtx4070-laptop"),
            ("4070 Ti SUPER", "rtx4070tisuper"),
            ("4060 ti", "rtx4060ti"),
            ("RTX 4060 Ti 16 GB", "rtx4060ti-16gb"),
            ("3080 12gb", "rtx3080-12gb"),
            ("3080-10GiB", "rtx3080"),
            ("RTX 3060 12GB", "rtx3060"),
            ("Tesla T4", "t4"),
            ("NVIDIA A100-SXM4-40GB", "a100"),
            ("NVIDIA A100 80GB PCIe", "a100-80gb"),
            ("NVIDIA H100 PCIe", "h100"),
            ("h100 80gb", "h100"),
            ("NVIDIA L40S", "l40s"),
        ] {
            assert_eq!(find(asked).map(|found| found.0).ok(), Some(name), "{asked}");
        }
    }

    #[test]
    fn cards_before_turing_are_not_known_and_turing_is() {
        for old in ["gtx 1080 ti", "1080", "Tesla V100-SXM2-32GB", "p100"] {
            let error = find(old).unwrap_err();
            assert!(error.problem.contains("no kernels for GPUs before Turing"), "{old}: {error:?}");
        }
        assert_eq!(["gtx1660ti", "rtx2080ti", "t4"].map(capability), [Some([7, 5]); 3]);
        assert_eq!(["rtx3060", "a100", "l4"].map(capability), [None; 3]);
    }

    #[test]
    fn every_name_finds_itself() {
        for (name, gib) in GPUS {
            assert_eq!(find(name).ok(), Some((*name, gib << 30)), "{name}");
        }
    }

    #[test]
    fn a_wrong_name_gets_the_nearest_as_a_hint() {
        for (asked, nearest) in [("rtx 4071", "rtx4070 (12 GiB)"), ("rtx4090it", "rtx4090"), ("h10", "h100 (80 GiB)")] {
            let hint = find(asked).unwrap_err().hint.unwrap();
            assert!(hint.contains(nearest) && hint.contains("--gpu-memory"), "{asked}: {hint}");
        }
        let far = find("voodoo2").unwrap_err();
        assert!(!far.hint.unwrap().contains("did you mean") && far.problem.contains("rtx4070-laptop"));
        assert!(find("rtx4090 9gb").is_err(), "a size that it does not have");
    }
}
