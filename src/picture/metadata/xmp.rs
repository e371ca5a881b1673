//! An XMP packet (ISO 16684-1) with some of its properties changed or taken out, and every other
//! byte as it was.

use quick_xml::{
    Reader, Writer,
    events::{BytesStart, BytesText, Event, attributes::Attribute},
};

/// What is to be changed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    /// Of the pixels now.
    pub size: Option<(u32, u32)>,
    /// The location goes.
    pub removes_location: bool,
}

/// What is done with a property.
enum Fate {
    Kept,
    Gone,
    Is(String),
}

impl Change {
    fn fate(self, name: &[u8]) -> Fate {
        let local = name.rsplit(|byte| *byte == b':').next().unwrap_or(name);
        let location = local.starts_with(b"GPS")
            || matches!(
                local,
                b"City"
                    | b"State"
                    | b"Country"
                    | b"CountryCode"
                    | b"Location"
                    | b"LocationCreated"
                    | b"LocationShown"
            );
        match (local, self.size) {
            // It shows the photo as it was.
            (b"Thumbnails", _) => Fate::Gone,
            // Pixels are upright.
            (b"Orientation", _) => Fate::Is("1".to_owned()),
            (b"PixelXDimension" | b"ImageWidth", Some((width, _))) => Fate::Is(width.to_string()),
            (b"PixelYDimension" | b"ImageLength", Some((_, height))) => {
                Fate::Is(height.to_string())
            }
            _ if location && self.removes_location => Fate::Gone,
            _ => Fate::Kept,
        }
    }

    /// Properties that are written as attributes.
    fn attributes(self, element: &BytesStart<'_>) -> quick_xml::Result<BytesStart<'static>> {
        let name = String::from_utf8_lossy(element.name().as_ref()).into_owned();
        let mut changed = BytesStart::new(name);
        for attribute in element.attributes() {
            let attribute = attribute?;
            match self.fate(attribute.key.as_ref()) {
                Fate::Gone => {}
                Fate::Kept => changed.push_attribute(attribute),
                Fate::Is(value) => {
                    changed.push_attribute(Attribute {
                        value: value.into_bytes().into(),
                        ..attribute
                    });
                }
            }
        }
        Ok(changed)
    }
}

/// The packet, changed; `None` where it is no XML.
pub(super) fn changed(packet: &[u8], change: Change) -> Option<Vec<u8>> {
    rewritten(packet, change).ok()
}

fn rewritten(packet: &[u8], change: Change) -> quick_xml::Result<Vec<u8>> {
    let mut reader = Reader::from_reader(packet);
    let mut writer = Writer::new(Vec::with_capacity(packet.len()));
    let mut buffer = Vec::new();
    let mut depth = 0_usize;
    // How deep the element lies that is being left out.
    let mut gone: Option<usize> = None;
    let mut text: Option<String> = None;
    loop {
        buffer.clear();
        let event = reader.read_event_into(&mut buffer)?;
        match event {
            Event::Eof => return Ok(writer.into_inner()),
            Event::Start(element) => {
                depth += 1;
                if gone.is_some() {
                    continue;
                }
                match change.fate(element.name().as_ref()) {
                    Fate::Gone => {
                        gone = Some(depth);
                        continue;
                    }
                    Fate::Is(value) => text = Some(value),
                    Fate::Kept => {}
                }
                writer.write_event(Event::Start(change.attributes(&element)?))?;
            }
            Event::End(_) => {
                let left_out = gone.is_some();
                if gone == Some(depth) {
                    gone = None;
                }
                depth = depth.saturating_sub(1);
                text = None;
                if !left_out {
                    writer.write_event(event)?;
                }
            }
            _ if gone.is_some() => {}
            Event::Empty(element) => {
                if !matches!(change.fate(element.name().as_ref()), Fate::Gone) {
                    writer.write_event(Event::Empty(change.attributes(&element)?))?;
                }
            }
            Event::Text(_) => match text.take() {
                Some(value) => writer.write_event(Event::Text(BytesText::new(&value)))?,
                None => writer.write_event(event)?,
            },
            other => writer.write_event(other)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: &str = r#"<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description tiff:Orientation="6" exif:PixelXDimension="40" exif:GPSLatitude="52,30N" photoshop:City="Berlin" dc:format="a &amp; b">
<tiff:Orientation>6</tiff:Orientation><exif:GPSLongitude>13,24E</exif:GPSLongitude>
<Iptc4xmpExt:LocationShown><rdf:Bag><rdf:li>Mitte</rdf:li></rdf:Bag></Iptc4xmpExt:LocationShown>
<xmp:Thumbnails><rdf:Alt><rdf:li>AAAA</rdf:li></rdf:Alt></xmp:Thumbnails>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Sea &lt; sky</rdf:li></rdf:Alt></dc:title>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"#;

    fn text(change: Change) -> String {
        String::from_utf8(changed(PACKET.as_bytes(), change).unwrap()).unwrap()
    }

    #[test]
    fn sizes_and_orientation_are_those_of_the_result_and_the_rest_is_untouched() {
        let now = text(Change { size: Some((160, 120)), removes_location: false });
        let expected = PACKET
            .replace(r#"tiff:Orientation="6""#, r#"tiff:Orientation="1""#)
            .replace(r#"PixelXDimension="40""#, r#"PixelXDimension="160""#)
            .replace(">6<", ">1<")
            .replace(
                "<xmp:Thumbnails><rdf:Alt><rdf:li>AAAA</rdf:li></rdf:Alt></xmp:Thumbnails>",
                "",
            );
        assert_eq!(now, expected);
    }

    #[test]
    fn the_location_goes_in_every_form() {
        let now = text(Change { size: None, removes_location: true });
        for word in ["GPS", "52,30N", "13,24E", "Berlin", "Mitte"] {
            assert!(!now.contains(word), "{word} in {now}");
        }
        assert!(now.contains("Sea &lt; sky") && now.contains("a &amp; b"), "{now}");
    }

    #[test]
    fn what_is_no_xml_is_not_guessed_at() {
        for packet in ["<a><b></a>", "<a x=1 x=2", "</a>"] {
            assert!(changed(packet.as_bytes(), Change::default()).is_none(), "{packet}");
        }
    }
}
