//! IPTC-IIM 4.2: captions and credits as a chain of data sets, and the wrappings that JPEG and PNG
//! put around it. TIFF holds it bare, in whole numbers
//! of 32 bits.

/// Begins a data set.
const MARK: u8 = 0x1C;

/// Stands before Photoshop's image resources in JPEG.
pub(crate) const PHOTOSHOP: &[u8] = b"Photoshop 3.0\0";

/// Begins one of Photoshop's image resources.
const RESOURCE: &[u8] = b"8BIM";

/// The number of the resource that holds IPTC.
const IPTC: [u8; 2] = [0x04, 0x04];

/// Data sets of record 2 that say where: content location, city, sublocation, state, country.
const LOCATION: [u8; 7] = [26, 27, 90, 92, 95, 100, 101];

/// The bare chain out of what a JPEG, a PNG or a TIFF holds; `None` where there is none.
pub(super) fn unwrapped(stored: &[u8]) -> Option<Vec<u8>> {
    match stored.first()? {
        &MARK => Some(unpadded(stored).to_vec()),
        b'8' => of_resources(stored),
        b'P' => of_resources(stored.strip_prefix(PHOTOSHOP)?),
        _ => unwrapped(&of_text(stored)?),
    }
}

/// Without the zeros that fill up the four bytes of a number, as which TIFF holds the chain.
fn unpadded(stored: &[u8]) -> &[u8] {
    let mut rest = stored;
    while let [MARK, _, _, high, low, ..] = rest
        && let Some(next) = rest.get(5 + (usize::from(*high) << 8 | usize::from(*low))..)
    {
        rest = next;
    }
    let padded = rest.iter().all(|byte| *byte == 0);
    if padded { &stored[..stored.len() - rest.len()] } else { stored }
}

/// As TIFF holds it.
pub(crate) fn padded(chain: &[u8]) -> Vec<u8> {
    let mut padded = chain.to_vec();
    padded.resize(chain.len().next_multiple_of(4), 0);
    padded
}

/// As Photoshop's image resource, which JPEG and PNG hold.
pub(crate) fn as_resource(chain: &[u8]) -> Vec<u8> {
    let mut resource = [RESOURCE, &IPTC, &[0, 0]].concat();
    resource.extend((chain.len() as u32).to_be_bytes());
    resource.extend(chain);
    resource.extend(vec![0; chain.len() % 2]);
    resource
}

/// As the text of a chunk of PNG, as `ImageMagick` made it a custom.
pub(crate) fn as_text(chain: &[u8]) -> String {
    let resource = as_resource(chain);
    let digits: String = resource.iter().map(|byte| format!("{byte:02x}")).collect();
    let lines: Vec<&str> =
        (0..digits.len()).step_by(72).map(|at| &digits[at..(at + 72).min(digits.len())]).collect();
    format!("\niptc\n{:8}\n{}\n", resource.len(), lines.join("\n"))
}

/// The bytes in such a text: a name, a length, and hexadecimal digits.
fn of_text(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split_ascii_whitespace().skip(1);
    let length: usize = words.next()?.parse().ok()?;
    let digits: Vec<u8> = words.flat_map(str::bytes).collect();
    let digit = |byte: u8| (byte as char).to_digit(16);
    let bytes =
        digits.chunks_exact(2).map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8));
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    (bytes.len() == length).then_some(bytes)
}

fn of_resources(mut rest: &[u8]) -> Option<Vec<u8>> {
    while let Some(resource) = rest.strip_prefix(RESOURCE) {
        let kind = resource.get(..2)?;
        // A name with its length, padded to pairs.
        let name = usize::from(*resource.get(2)?) / 2 * 2 + 2;
        let length = resource.get(2 + name..6 + name)?;
        let length = length.iter().fold(0, |value, byte| value << 8 | usize::from(*byte));
        let value = resource.get(6 + name..(6 + name).checked_add(length)?)?;
        if kind == IPTC {
            return Some(value.to_vec());
        }
        rest = resource.get(6 + name + length + length % 2..)?;
    }
    None
}

/// The chain without where the photo was made; what cannot be read is left out with it.
pub(super) fn without_location(mut chain: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    while let [MARK, record, set, high, low, ..] = chain {
        let length = usize::from(*high) << 8 | usize::from(*low);
        // Longer ones than 32 kB state their length in another way; no place has such a name.
        let Some(whole) = chain.get(..5 + length).filter(|_| length < 0x8000) else { break };
        if !(*record == 2 && LOCATION.contains(set)) {
            kept.extend(whole);
        }
        chain = &chain[whole.len()..];
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(number: u8, text: &str) -> Vec<u8> {
        [&[MARK, 2, number, 0, text.len() as u8], text.as_bytes()].concat()
    }

    #[test]
    fn what_is_wrapped_is_unwrapped() {
        let chain = [set(120, "A caption"), set(90, "Berlin")].concat();
        let photoshop =
            [PHOTOSHOP, b"8BIM\x03\xed\0\0\0\0\0\x03abc\0", &as_resource(&chain)].concat();
        let text = as_text(&chain).into_bytes();
        for stored in [&chain, &padded(&chain), &photoshop, &as_resource(&chain), &text] {
            assert_eq!(unwrapped(stored).as_ref(), Some(&chain));
        }
        for stored in ["", "8BIM", "8BIM\x04\x04\0\0\0\0\0\x09x", "\niptc\n 3\nzz", "no such thing"]
        {
            assert_eq!(unwrapped(stored.as_bytes()), None, "{stored:?}");
        }
    }

    #[test]
    fn the_location_goes_and_the_caption_stays() {
        let chain = [set(120, "A caption"), set(90, "Berlin"), set(101, "Germany"), set(80, "Me")];
        let kept = [set(120, "A caption"), set(80, "Me")].concat();
        assert_eq!(without_location(&chain.concat()), kept);
        let cut = &chain.concat()[..30];
        assert!(without_location(cut).starts_with(&set(120, "A caption")));
    }
}
