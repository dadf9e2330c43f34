//! How large an image is, and how large it may be.

use std::fmt;
use std::str::FromStr;

use indicatif::DecimalBytes;

use crate::failure::{Exit, Failure};
use crate::metadata::{ImageReport, LayerReport};
use crate::report::Report;

/// A number of bytes, as people write it: `500MB`, `3GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// A text that is no size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a size: expected a whole number and a unit, such as `500MB` or `3GiB`")]
pub struct SizeError {
    /// What was given.
    pub text: String,
}

const UNITS: [(&str, u64); 8] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("", 1),
];

impl Size {
    /// The number.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start().to_ascii_lowercase();
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let bytes = number.parse::<u64>().ok().zip(factor).and_then(|(n, factor)| n.checked_mul(factor));
        bytes.map(Self).ok_or_else(|| SizeError { text: text.to_owned() })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        DecimalBytes(self.0).fmt(f)
    }
}

/// Says how large the images are, and refuses those that are larger than allowed.
pub fn check(images: &[ImageReport], limit: Option<Size>, report: &Report) -> Result<(), Failure> {
    for image in images {
        let size = size(image);
        let text = format!("image for {}: {size} in {} layers", image.platform, image.layers.len());
        report.note(&format!("{text}: {}", list(&image.layers)));
        if let Some(limit) = limit.filter(|limit| size > *limit) {
            let what = format!("the {text}, more than the limit of {limit}: {}", list(&image.layers));
            let largest = image.layers.iter().max_by_key(|layer| layer.size);
            let hint = format!(
                "the largest layer is `{}`; `--max-size` sets the limit",
                largest.map(|layer| layer.role.as_str()).unwrap_or_default()
            );
            return Err(Failure::new(Exit::AppFailed, what).hint(hint));
        }
    }
    Ok(())
}

/// The bytes that a registry keeps of an image, its small documents aside.
fn size(image: &ImageReport) -> Size {
    Size(image.layers.iter().map(|layer| layer.size).sum())
}

fn list(layers: &[LayerReport]) -> String {
    layers.iter().map(|layer| format!("{} {}", layer.role, Size(layer.size))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(sizes: &[(&str, u64)]) -> ImageReport {
        let digest: oci_spec::image::Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        let layers = sizes.iter().map(|&(role, size)| LayerReport {
            role: role.to_owned(),
            part: None,
            digest: digest.clone(),
            diff_id: digest.clone(),
            size,
            origin: "built",
        });
        ImageReport { platform: "linux/amd64".to_owned(), digest: digest.clone(), layers: layers.collect() }
    }

    #[test]
    fn sizes_have_units_of_both_kinds() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("5B", 5),
            ("3kb", 3_000),
            ("500MB", 500_000_000),
            ("500 MB", 500_000_000),
            ("2GB", 2_000_000_000),
            ("1KiB", 1024),
            ("2MiB", 2 << 20),
            ("3GiB", 3 << 30),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in
            ["", "MB", "-1MB", "1.5GB", "1TB", "3GiB!", "99999999999999999999", "18446744073709551615GB"]
        {
            assert_eq!(text.parse::<Size>(), Err(SizeError { text: text.to_owned() }));
        }
    }

    #[test]
    fn an_image_may_be_as_large_as_the_limit_and_no_larger() {
        let images = [image(&[("os", 40_000_000), ("app", 2_000_000)])];
        let checked = |limit: &str| check(&images, limit.parse().ok(), &Report::silent());
        assert!(checked("42MB").is_ok());
        assert!(check(&images, None, &Report::silent()).is_ok());
        let failure = checked("41MB").unwrap_err();
        assert_eq!(failure.exit, Exit::AppFailed);
        let what = "the image for linux/amd64: 42.00 MB in 2 layers, more than the limit of 41.00 MB: os 40.00 MB, app 2.00 MB";
        assert_eq!(failure.what, what);
        assert!(failure.hint.unwrap().starts_with("the largest layer is `os`"));
    }
}
