//! Images of the command line as parts of a prompt, and the `data:` URLs of all images.
//!
//! No codec: what the bytes begin with decides, and a bound on their number. What cannot be sent
//! becomes a text that tells the model why.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::host::album::Album;
use crate::host::disk::given;
use crate::limits::IMAGE_BYTES_MAX;
use crate::words::item::Part;

/// The part that stands for an image file, or for a pipe that brings one in time.
pub fn part(path: &Path, wait_ms: u64, album: &mut Album) -> Part {
    let why = match given::read(path, IMAGE_BYTES_MAX, wait_ms) {
        Ok(Some(bytes)) => match data_url(&bytes) {
            Ok(url) => {
                let mut image = url.into();
                album.keep(&mut image);
                return Part::Image(image);
            }
            Err(why) => why.to_string(),
        },
        Ok(None) => "there is no such file".to_string(),
        Err(error) => error.to_string(),
    };
    let path = path.display();
    Part::Text(
        format!("[the user attached the image {path}, but it cannot be shown: {why}]").into(),
    )
}

/// An image as a `data:` URL, or why it is none.
pub fn data_url(bytes: &[u8]) -> Result<String, &'static str> {
    let kind = kind(bytes).ok_or("it is not a PNG, JPEG, GIF or WebP image")?;
    let mut url = format!("data:image/{kind};base64,");
    STANDARD.encode_string(bytes, &mut url);
    Ok(url)
}

fn kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("png"),
        [0xff, 0xd8, 0xff, ..] => Some("jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("webp"),
        _ => None,
    }
}
