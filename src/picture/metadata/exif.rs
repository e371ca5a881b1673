//! An EXIF block (CIPA DC-008) changed in place: no value moves, so that what only its maker
//! understands stays readable.

use std::ops::Range;

/// Tags by number.
const IMAGE_WIDTH: u16 = 0x0100;
const IMAGE_LENGTH: u16 = 0x0101;
const X_RESOLUTION: u16 = 0x011A;
const Y_RESOLUTION: u16 = 0x011B;
const RESOLUTION_UNIT: u16 = 0x0128;
const EXIF_DIRECTORY: u16 = 0x8769;
const GPS_DIRECTORY: u16 = 0x8825;
const PIXEL_X_DIMENSION: u16 = 0xA002;
const PIXEL_Y_DIMENSION: u16 = 0xA003;

/// Bytes of an entry of a directory.
const ENTRY: usize = 12;

/// Ends the chain of directories after the first: the second is that of the thumbnail, which would
/// show another picture than the file.
pub(super) fn cut_off_thumbnail(block: &mut [u8]) {
    let Some(order) = Order::of(block) else { return };
    let Some(entries) = order.first(block).and_then(|first| order.entries(block, first)) else {
        return;
    };
    if let Some(next) = block.get_mut(entries.end..entries.end + 4) {
        next.fill(0);
    }
}

/// States another size where a size is stated.
pub(super) fn set_size(block: &mut [u8], width: u32, height: u32) {
    let Some(order) = Order::of(block) else { return };
    let Some(first) = order.first(block) else { return };
    let exif = order.find(block, first, EXIF_DIRECTORY).map(|entry| order.value(block, entry));
    for (directory, tag, value) in [
        (Some(first), IMAGE_WIDTH, width),
        (Some(first), IMAGE_LENGTH, height),
        (exif, PIXEL_X_DIMENSION, width),
        (exif, PIXEL_Y_DIMENSION, height),
    ] {
        if let Some(entry) = directory.and_then(|directory| order.find(block, directory, tag)) {
            // One 32-bit number.
            let bytes = [order.short(4).as_slice(), &order.long(1), &order.long(value)].concat();
            block[entry + 2..entry + ENTRY].copy_from_slice(&bytes);
        }
    }
}

/// States dots per inch where a resolution is stated.
pub(super) fn set_resolution(block: &mut [u8], dpi: u32) {
    const INCH: u16 = 2;
    let Some(order) = Order::of(block) else { return };
    let Some(first) = order.first(block) else { return };
    for tag in [X_RESOLUTION, Y_RESOLUTION] {
        let entry = order.find(block, first, tag);
        if let Some(values) = entry.and_then(|entry| order.outside(block, entry))
            && values.len() == 8
        {
            block[values].copy_from_slice(&[order.long(dpi), order.long(1)].concat());
        }
    }
    if let Some(entry) = order.find(block, first, RESOLUTION_UNIT) {
        block[entry + 8..entry + 10].copy_from_slice(&order.short(INCH));
    }
}

/// Takes out where the photo was made, the values too.
pub(super) fn remove_location(block: &mut [u8]) {
    let Some(order) = Order::of(block) else { return };
    let Some(first) = order.first(block) else { return };
    let Some(pointer) = order.find(block, first, GPS_DIRECTORY) else { return };
    let gps = order.value(block, pointer);
    if let Some(entries) = order.entries(block, gps) {
        for entry in entries.clone().step_by(ENTRY) {
            if let Some(values) = order.outside(block, entry) {
                block[values].fill(0);
            }
        }
        block[gps..entries.end].fill(0);
    }
    // The entries after it move up, and so does what follows the directory.
    // In a damaged block the directory may have been among what was blanked.
    if let Some(entries) = order.entries(block, first).filter(|all| all.contains(&pointer)) {
        let count = (entries.len() / ENTRY - 1) as u16;
        let end = (entries.end + 4).min(block.len());
        block.copy_within(pointer + ENTRY..end, pointer);
        block[end - ENTRY..end].fill(0);
        block[first..first + 2].copy_from_slice(&order.short(count));
    }
}

/// Which byte of a number comes first.
#[derive(Clone, Copy)]
struct Order {
    little: bool,
}

impl Order {
    fn of(block: &[u8]) -> Option<Self> {
        match block.get(..4)? {
            [b'I', b'I', 42, 0] => Some(Self { little: true }),
            [b'M', b'M', 0, 42] => Some(Self { little: false }),
            _ => None,
        }
    }

    fn number(self, bytes: &[u8]) -> usize {
        let join = |value: usize, byte: &u8| value << 8 | usize::from(*byte);
        if self.little { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) }
    }

    fn short(self, value: u16) -> [u8; 2] {
        if self.little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn long(self, value: u32) -> [u8; 4] {
        if self.little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    /// Where the first directory begins.
    fn first(self, block: &[u8]) -> Option<usize> {
        Some(self.number(block.get(4..8)?))
    }

    /// Where the entries of a directory lie, all of them inside the block.
    fn entries(self, block: &[u8], directory: usize) -> Option<Range<usize>> {
        let start = directory.checked_add(2)?;
        let count = self.number(block.get(directory..start)?);
        let entries = start..start + count * ENTRY;
        block.get(entries.clone()).map(|_| entries)
    }

    /// The entry of a tag in a directory.
    fn find(self, block: &[u8], directory: usize, tag: u16) -> Option<usize> {
        self.entries(block, directory)?
            .step_by(ENTRY)
            .find(|entry| self.number(&block[*entry..entry + 2]) == usize::from(tag))
    }

    /// The number in an entry, or the place that it points to.
    fn value(self, block: &[u8], entry: usize) -> usize {
        self.number(&block[entry + 8..entry + ENTRY])
    }

    /// Where the values of an entry lie that do not fit into it.
    fn outside(self, block: &[u8], entry: usize) -> Option<Range<usize>> {
        let size = match self.number(&block[entry + 2..entry + 4]) {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 => 4,
            5 | 10 | 12 => 8,
            _ => return None,
        };
        let bytes = self.number(&block[entry + 4..entry + 8]).checked_mul(size)?;
        let start = self.value(block, entry);
        let values = start..start.checked_add(bytes)?;
        (bytes > 4).then(|| block.get(values.clone()).map(|_| values))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Width, Exif and GPS directories, then a description; of either byte order.
    fn block(order: Order) -> Vec<u8> {
        let entry = |tag: u16, kind: u16, count: u32, value: u32| {
            [order.short(tag).to_vec(), order.short(kind).into(), order.long(count).into(), {
                order.long(value).into()
            }]
            .concat()
        };
        let head: &[u8] = if order.little { b"II*\0" } else { b"MM\0*" };
        let mut block = [head, &order.long(8), &order.short(4)].concat();
        block.extend(entry(0x8769, 4, 1, 62));
        block.extend(entry(0x8825, 4, 1, 92));
        block.extend(entry(0x9000, 2, 6, 134));
        block.extend(entry(0x9001, 2, 2, 0));
        block.extend(order.long(0));
        block.extend(order.short(2));
        block.extend(entry(0xA002, 4, 1, 10));
        block.extend(entry(0xA003, 4, 1, 20));
        block.extend(order.long(0));
        block.extend(order.short(2));
        block.extend(entry(1, 2, 2, 0x4E00_4E00));
        block.extend(entry(2, 5, 1, 126));
        block.extend(order.long(0));
        block.extend([0; 4]);
        block.resize(126, 0);
        block.extend(b"LATITUDEhello\0");
        block
    }

    fn both() -> [Vec<u8>; 2] {
        [true, false].map(|little| block(Order { little }))
    }

    #[test]
    fn a_size_is_stated_anew() {
        for mut block in both() {
            set_size(&mut block, 70_000, 3);
            let exif = exif::Reader::new().read_raw(block).unwrap();
            let number = |tag| {
                exif.get_field(tag, exif::In::PRIMARY).and_then(|field| field.value.get_uint(0))
            };
            assert_eq!(number(exif::Tag::PixelXDimension), Some(70_000));
            assert_eq!(number(exif::Tag::PixelYDimension), Some(3));
        }
    }

    #[test]
    fn of_the_location_not_a_byte_is_left_and_the_rest_is_there() {
        for mut block in both() {
            assert!(block.windows(8).any(|bytes| bytes == b"LATITUDE"));
            remove_location(&mut block);
            assert!(!block.windows(4).any(|bytes| bytes == b"LATI" || bytes == b"TUDE"));
            let exif = exif::Reader::new().read_raw(block.clone()).unwrap();
            assert!(exif.fields().all(|field| field.tag.context() != exif::Context::Gps));
            assert!(block.windows(5).any(|bytes| bytes == b"hello"));
            let order = Order::of(&block).unwrap();
            let first = order.first(&block).unwrap();
            let kept: Vec<bool> = [0x8769, 0x8825, 0x9000, 0x9001]
                .map(|tag| order.find(&block, first, tag).is_some())
                .into();
            assert_eq!(kept, [true, false, true, true]);
        }
    }

    proptest! {
        #[test]
        fn damaged_blocks_are_survived(
            little in any::<bool>(), places in prop::collection::vec((0_usize..140, any::<u8>()), 0..12),
            length in 0_usize..140,
        ) {
            let mut block = block(Order { little });
            for (place, byte) in places {
                block[place.min(139)] = byte;
            }
            block.truncate(length);
            cut_off_thumbnail(&mut block);
            set_size(&mut block, 5, 6);
            remove_location(&mut block);
            prop_assert_eq!(block.len(), length);
        }
    }
}
