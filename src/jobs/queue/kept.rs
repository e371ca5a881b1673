//! The finished tiles of the picture in work, so that they need not be made again after a crash.
//!
//! A file of a line that says what they belong to, and then for each tile: left, top, width,
//! height and a CRC-32 of what follows as 32-bit numbers; then red, green and blue as the network
//! gave them, plane by plane, in 16 bits each.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    error::{Error, Result},
    rect::Rect,
    restore::Start,
};

/// Bytes before the pixels of a tile.
const HEAD: usize = 20;

/// Bytes of a pixel.
const BYTES: u64 = 6;

/// What tiles must have in common to go together.
#[derive(Serialize)]
struct Key<'a> {
    version: &'a str,
    recipe: &'a str,
    content: &'a str,
    device: &'a str,
    size: (u32, u32),
    color: String,
    tiles: usize,
}

/// Where the pixels of a tile are.
#[derive(Clone, Copy)]
struct Place {
    at: u64,
    checksum: u32,
}

/// The file of one picture. What goes wrong with it costs tiles, never the picture.
pub(super) struct KeptTiles {
    path: PathBuf,
    file: File,
    tiles: HashMap<Rect, Place>,
    end: u64,
}

impl KeptTiles {
    /// Opens the file, or begins it anew if its tiles are not of this picture, made by this recipe
    /// on this device.
    ///
    /// # Errors
    /// [`Error::DiskFull`] or [`Error::Write`].
    pub fn open(path: &Path, recipe: &str, content: &str, start: &Start) -> Result<Self> {
        let key = Key {
            version: env!("CARGO_PKG_VERSION"),
            recipe,
            content,
            device: &start.device,
            size: start.size,
            color: format!("{:?}", start.color),
            tiles: start.tiles,
        };
        let mut line =
            serde_json::to_vec(&key).map_err(|error| Error::Setting(error.to_string()))?;
        line.push(b'\n');
        let write = |error| Error::write(path, error);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        let mut kept = Self {
            path: path.to_owned(),
            file: file.map_err(write)?,
            tiles: HashMap::new(),
            end: 0,
        };
        kept.gather(&line, start.size).map_err(write)?;
        if kept.end == 0 {
            kept.file.set_len(0).and_then(|()| kept.file.rewind()).map_err(write)?;
            kept.file.write_all(&line).map_err(write)?;
            kept.end = line.len() as u64;
        }
        kept.file.set_len(kept.end).map_err(write)?;
        Ok(kept)
    }

    /// Finds the tiles, up to the first that is cut off.
    fn gather(&mut self, line: &[u8], size: (u32, u32)) -> std::io::Result<()> {
        let length = self.file.metadata()?.len();
        let mut reader = BufReader::new(&self.file);
        let mut found = Vec::new();
        reader.by_ref().take(line.len() as u64).read_until(b'\n', &mut found)?;
        if found != line {
            return Ok(());
        }
        self.end = line.len() as u64;
        let whole = Rect::of_size(size.0, size.1);
        let mut head = [0; HEAD];
        while self.end + HEAD as u64 <= length {
            reader.read_exact(&mut head)?;
            let (area, checksum) = parsed(&head);
            let inside = area.x.checked_add(area.width).is_some_and(|right| right <= whole.width)
                && area.y.checked_add(area.height).is_some_and(|end| end <= whole.height);
            let at = self.end + HEAD as u64;
            let next = at + area.area() * BYTES;
            if !inside || area.area() == 0 || next > length {
                break;
            }
            self.tiles.insert(area, Place { at, checksum });
            reader.seek_relative((next - at) as i64)?;
            self.end = next;
        }
        Ok(())
    }

    /// The planes of an area, if they are there and sound.
    pub fn get(&mut self, area: Rect) -> Option<Vec<f32>> {
        let place = *self.tiles.get(&area)?;
        let mut bytes = vec![0; (area.area() * BYTES) as usize];
        let read = self.file.seek(SeekFrom::Start(place.at));
        let read = read.and_then(|_| self.file.read_exact(&mut bytes));
        let sound = read.is_ok() && crc32fast::hash(&bytes) == place.checksum;
        if !sound {
            // It is made and kept again.
            self.tiles.remove(&area);
            return None;
        }
        let value = |pair: &[u8]| f32::from(u16::from_le_bytes([pair[0], pair[1]])) / 65_535.0;
        Some(bytes.chunks_exact(2).map(value).collect())
    }

    /// Keeps what [`crate::restore::Monitor::keep`] gets.
    pub fn add(&mut self, area: Rect, planes: &[f32]) {
        let value = |value: &f32| ((value * 65_535.0).round() as u16).to_le_bytes();
        let pixels: &[u8] = &planes.iter().flat_map(value).collect::<Vec<u8>>();
        let Rect { x, y, width, height } = area;
        let checksum = crc32fast::hash(pixels);
        let head: Vec<u8> =
            [x, y, width, height, checksum].into_iter().flat_map(u32::to_le_bytes).collect();
        let written = self.file.seek(SeekFrom::Start(self.end));
        let written = written.and_then(|_| self.file.write_all(&[&head, pixels].concat()));
        match written {
            Ok(()) => {
                let at = self.end + HEAD as u64;
                self.tiles.insert(area, Place { at, checksum });
                self.end = at + pixels.len() as u64;
            }
            // The picture itself may still fit.
            Err(error) => log::warn!("a tile is not kept in {}: {error}", self.path.display()),
        }
    }
}

fn parsed(head: &[u8; HEAD]) -> (Rect, u32) {
    let number = |place: usize| {
        let bytes = [0, 1, 2, 3].map(|byte| head[4 * place + byte]);
        u32::from_le_bytes(bytes)
    };
    let area = Rect { x: number(0), y: number(1), width: number(2), height: number(3) };
    (area, number(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Start {
        let color = image::ColorType::Rgb8;
        Start { size: (40, 30), color, device: "CPU".to_owned(), tiles: 4 }
    }

    fn tile(x: u32, y: u32) -> (Rect, Vec<f32>) {
        let area = Rect { x, y, width: 20, height: 15 };
        let value = |i: u32| ((i * 7919 + x * 300 + y) % 65_536) as f32 / 65_535.0;
        (area, (0..3 * 20 * 15).map(value).collect())
    }

    fn add(kept: &mut KeptTiles, (x, y): (u32, u32)) {
        let (area, planes) = tile(x, y);
        kept.add(area, &planes);
    }

    const PLACES: [(u32, u32); 4] = [(0, 0), (20, 0), (0, 15), (20, 15)];

    #[test]
    fn tiles_come_back_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiles");
        let open = || KeptTiles::open(&path, "recipe", "content", &start()).unwrap();
        let mut kept = open();
        PLACES.iter().for_each(|place| add(&mut kept, *place));
        drop(kept);
        let mut kept = open();
        assert_eq!(kept.tiles.len(), 4);
        for (x, y) in PLACES {
            let (area, planes) = tile(x, y);
            assert_eq!(kept.get(area), Some(planes));
        }
    }

    #[test]
    fn a_file_that_was_cut_off_anywhere_loses_its_last_tile_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiles");
        let open = || KeptTiles::open(&path, "recipe", "content", &start()).unwrap();
        let mut kept = open();
        PLACES[..3].iter().for_each(|place| add(&mut kept, *place));
        drop(kept);
        let whole = std::fs::read(&path).unwrap();
        let length = HEAD + 20 * 15 * BYTES as usize;
        let line = whole.len() - 3 * length;
        for end in (0..whole.len()).step_by(61).chain([line, line + 1, whole.len()]) {
            File::create(&path).unwrap().write_all(&whole[..end]).unwrap();
            let mut kept = open();
            let complete = end.saturating_sub(line) / length;
            assert_eq!(kept.tiles.len(), complete, "cut at {end}");
            // It goes on from there.
            add(&mut kept, (20, 15));
            drop(kept);
            let (mut kept, (area, planes)) = (open(), tile(20, 15));
            assert_eq!((kept.tiles.len(), kept.get(area)), (complete + 1, Some(planes)));
        }
    }

    #[test]
    fn tiles_that_were_damaged_or_made_otherwise_are_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiles");
        let (area, planes) = tile(0, 0);
        add(&mut KeptTiles::open(&path, "recipe", "content", &start()).unwrap(), (0, 0));
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        File::create(&path).unwrap().write_all(&bytes).unwrap();
        let mut kept = KeptTiles::open(&path, "recipe", "content", &start()).unwrap();
        assert_eq!(kept.get(area), None);
        kept.add(area, &planes);
        assert_eq!(kept.get(area), Some(planes), "it is kept again");
        for (recipe, content, device) in
            [("other", "content", "CPU"), ("recipe", "other", "CPU"), ("recipe", "content", "GPU")]
        {
            add(&mut KeptTiles::open(&path, "recipe", "content", &start()).unwrap(), (0, 0));
            let start = Start { device: device.to_owned(), ..start() };
            assert_eq!(KeptTiles::open(&path, recipe, content, &start).unwrap().tiles.len(), 0);
        }
    }
}
