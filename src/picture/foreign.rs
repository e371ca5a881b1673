//! Kinds of picture that photographers have and that are not read, each with a way out.

use std::{
    io::{self, BufRead, Seek, SeekFrom},
    path::Path,
};

/// A kind that was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Foreign {
    /// Its name.
    pub kind: &'static str,
    /// What to do, as a clause.
    pub way_out: &'static str,
}

const HEIC: Foreign = Foreign {
    kind: "HEIC",
    way_out: "export it as JPEG or PNG (heif-convert IN OUT.png does), or set the phone's camera to \
              \"most compatible\"",
};
const PHOTOSHOP: Foreign =
    Foreign { kind: "Photoshop", way_out: "save it as a flat TIFF or PNG from the program" };
const RAW: Foreign = Foreign {
    kind: "camera raw",
    way_out: "develop it first to a 16-bit TIFF, in darktable or RawTherapee for example",
};

/// Endings of raw files that do not begin as a TIFF does.
const OTHER_RAW_ENDINGS: [&str; 6] = ["cr3", "crw", "orf", "raf", "raw", "rw2"];

/// Endings of raw files that begin as a TIFF does; what would be read of them is a thumbnail.
const RAW_ENDINGS: [&str; 16] = [
    "3fr", "arw", "cr2", "dcr", "dng", "erf", "iiq", "k25", "kdc", "mef", "mos", "nef", "nrw",
    "pef", "rwl", "srw",
];

/// What a file is by its ending alone.
#[must_use]
pub fn named(path: &Path) -> Option<Foreign> {
    let ending = path.extension()?.to_string_lossy().to_lowercase();
    match ending.as_str() {
        "heic" | "heif" | "hif" => Some(HEIC),
        "psd" | "psb" => Some(PHOTOSHOP),
        other if RAW_ENDINGS.contains(&other) || OTHER_RAW_ENDINGS.contains(&other) => Some(RAW),
        _ => None,
    }
}

/// Whether a file is AVIF by its first bytes. What a general brand stands for is said by the
/// compatible ones.
pub(super) fn is_avif(start: &[u8]) -> bool {
    let Some((_, brands)) = start.split_at_checked(4) else { return false };
    let Some(brands) = brands.strip_prefix(b"ftyp") else { return false };
    brands[..brands.len().min(24)].chunks_exact(4).any(|brand| matches!(brand, b"avif" | b"avis"))
}

/// What a file is by its first bytes, and for raw files by its ending; leaves the reader at its
/// start.
pub(super) fn of(path: &Path, reader: &mut (impl BufRead + Seek)) -> io::Result<Option<Foreign>> {
    let mut start = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(&mut *reader, 32), &mut start)?;
    reader.seek(SeekFrom::Start(0))?;
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let is_tiff = start.starts_with(b"II*\0") || start.starts_with(b"MM\0*");
    Ok(match start.as_slice() {
        bytes if is_avif(bytes) => None,
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand.get(..4) {
            Some(b"crx ") => Some(RAW),
            Some(b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1") => Some(HEIC),
            _ => None,
        },
        [b'8', b'B', b'P', b'S', ..] => Some(PHOTOSHOP),
        [b'F', b'U', b'J', b'I', b'F', b'I', b'L', b'M', ..]
        | [b'I', b'I', b'R' | b'U', ..]
        | [b'M', b'M', b'O', b'R', ..] => Some(RAW),
        _ if is_tiff && RAW_ENDINGS.contains(&ending.as_str()) => Some(RAW),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_known_by_its_first_bytes() {
        let kind = |name: &str, bytes: &[u8]| {
            let mut reader = io::Cursor::new(bytes);
            let found = of(Path::new(name), &mut reader).unwrap();
            assert_eq!(reader.position(), 0);
            found.map(|foreign| foreign.kind)
        };
        assert_eq!(kind("a", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"), Some("HEIC"));
        let avif = b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif";
        assert_eq!(kind("a", avif), None);
        assert!(is_avif(avif) && !is_avif(b"\0\0\0\x18ftypheic") && !is_avif(b"avif"));
        assert_eq!(kind("a", b"\0\0\0\x18ftypcrx \0\0\0\x01"), Some("camera raw"));
        assert_eq!(kind("a.NEF", b"MM\0*\0\0\0\x08"), Some("camera raw"));
        let by_name = |name: &str| named(Path::new(name)).map(|foreign| foreign.kind);
        assert_eq!(by_name("a.HEIC"), Some("HEIC"));
        assert_eq!(by_name("a.nef").or(by_name("b.RAF")), Some("camera raw"));
        assert_eq!(by_name("a.jpg").or(by_name("heic")), None);
        assert_eq!(kind("a.tif", b"MM\0*\0\0\0\x08"), None);
        assert_eq!(kind("a.mp4", b"\0\0\0\x18ftypisom"), None);
        assert_eq!(kind("a.png", b"\x89PNG"), None);
        assert_eq!(kind("a", b""), None);
    }
}
