//! A picture ⇄ the object that is stored of it, with what is known of it as metadata.

use jiff::Timestamp;

use super::key::{ConsoleDigest, ScreenshotKey};
use super::record::{note, of_event};
use crate::model::console::NoConsole;
use crate::model::event::InstanceEvent;
use crate::model::ids::RegionId;
use crate::model::screenshot::{Image, InvalidImage, Screenshot};
use crate::store::Object;

/// Metadata that say something of the bytes.
const CHECKED: [&str; 3] = [SCREENSHOT_SHA256, SCREENSHOT_BYTES, "screenshot-pixels"];
/// Metadata: SHA-256 of the picture, all 64 digits.
pub const SCREENSHOT_SHA256: &str = "screenshot-sha256";
/// Metadata: length of the picture.
pub const SCREENSHOT_BYTES: &str = "screenshot-bytes";
/// Metadata of a screenshot that stands in the place of a marker: why there was no console.
pub const NO_CONSOLE: &str = "no-console";

/// A screenshot ready to be stored: the picture as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct ScreenshotRecord {
    /// The object's key.
    pub key: ScreenshotKey,
    /// The object to store.
    pub object: Object,
    /// SHA-256 of the picture.
    pub digest: ConsoleDigest,
    /// Why there was no console beside it.
    pub no_console: Option<NoConsole>,
}

impl ScreenshotRecord {
    /// Packs a picture, with everything known about it as metadata.
    pub fn new(
        event: &InstanceEvent,
        region_id: &RegionId,
        screenshot: Screenshot,
        taken_at: Timestamp,
        no_console: Option<NoConsole>,
    ) -> Self {
        let Screenshot {
            bytes,
            image,
            request_id,
            ..
        } = screenshot;
        let digest = ConsoleDigest::of(&bytes);
        let mut metadata = of_event(event, region_id, taken_at);
        for (name, value) in CHECKED.into_iter().zip(described(&digest, &bytes, image)) {
            note(&mut metadata, name, &value);
        }
        note(&mut metadata, "request-id", &request_id);
        let reason = no_console.map(NoConsole::as_str);
        note(&mut metadata, NO_CONSOLE, reason.unwrap_or_default());
        Self {
            key: ScreenshotKey::of(&event.instance_id, taken_at, &digest, image.format),
            object: Object {
                body: bytes,
                content_type: image.format.media_type().to_owned(),
                metadata,
            },
            digest,
            no_console,
        }
    }
}

/// The values of [`CHECKED`].
fn described(digest: &ConsoleDigest, bytes: &[u8], image: Image) -> [String; 3] {
    let Image { width, height, .. } = image;
    let pixels = format!("{width}x{height}");
    [digest.to_string(), bytes.len().to_string(), pixels]
}

/// One way in which a stored object is not the screenshot that its key names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not a picture of a screen, or not a whole one.
    #[error("it is not a screenshot: {0}")]
    Image(#[from] InvalidImage),
    /// It is stored as something else than its key says.
    #[error("it is a {found}, and its key says {said}")]
    Format {
        /// The end of its key.
        said: &'static str,
        /// The end that is right for its bytes.
        found: &'static str,
    },
    /// Its digest is not the one in its key.
    #[error("its SHA-256 begins with {found}, and its key says {said}")]
    Key {
        /// Digest in the key.
        said: String,
        /// Digest of the bytes.
        found: String,
    },
    /// The metadata do not describe the bytes.
    #[error("its metadata says {name} {said:?}, and it is {found}")]
    Metadata {
        /// Name of the metadata.
        name: &'static str,
        /// Value in the metadata.
        said: String,
        /// Value for the bytes.
        found: String,
    },
}

/// What is wrong with a stored screenshot, the worst first. Other programs write to the same bucket, and what is kept
/// here is shown in browsers and terminals. So nobody shows an object of which this says anything.
pub fn faults(key: &ScreenshotKey, object: &Object) -> Vec<Fault> {
    let image = match Image::of(&object.body) {
        Ok(image) => image,
        Err(error) => return vec![error.into()],
    };
    let mut faults = Vec::new();
    if image.format != key.format {
        let (said, found) = (key.format.extension(), image.format.extension());
        faults.push(Fault::Format { said, found });
    }
    let digest = ConsoleDigest::of(&object.body);
    if digest.short() != key.digest {
        let (said, found) = (key.digest.to_string(), digest.short().to_string());
        faults.push(Fault::Key { said, found });
    }
    let all = CHECKED
        .into_iter()
        .zip(described(&digest, &object.body, image));
    for (name, found) in all {
        match object.metadata.get(name) {
            Some(said) if *said != found => {
                let said = said.clone();
                faults.push(Fault::Metadata { name, said, found });
            }
            _ => {}
        }
    }
    faults
}

/// Metadata that every screenshot has, and this one lacks.
pub fn missing(object: &Object) -> Vec<&'static str> {
    let names = CHECKED.into_iter().chain(["captured-at"]);
    let is_missing = |name: &&str| !object.metadata.contains_key(*name);
    names.filter(is_missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Cause;
    use crate::model::ids::InstanceId;

    const JPEG: &[u8] = include_bytes!("../../tests/fixtures/screenshots/stop.jpg");

    fn record(bytes: &[u8], taken_at: &str, no_console: Option<NoConsole>) -> ScreenshotRecord {
        let event = InstanceEvent {
            instance_id: InstanceId::parse("i-bp1abc").unwrap(),
            region_id: None,
            account_id: None,
            cause: Cause::StateChange("Running".into()),
            event_id: Some("E-1".into()),
            occurred_at: Some("2024-01-02T03:00:00.1Z".parse().unwrap()),
        };
        let screenshot = Screenshot {
            image: Image::of(bytes).unwrap(),
            bytes: bytes.to_vec(),
            request_id: "R-1".into(),
            reported_instance_id: None,
        };
        let region_id = RegionId::parse("cn-hangzhou").unwrap();
        let taken_at = taken_at.parse().unwrap();
        ScreenshotRecord::new(&event, &region_id, screenshot, taken_at, no_console)
    }

    #[test]
    fn the_picture_is_stored_as_it_came_with_all_that_is_known_of_it() {
        let record = record(
            JPEG,
            "2024-01-02T03:04:05.6Z",
            Some(NoConsole::NotSupported),
        );
        assert!(record.object.body == JPEG);
        assert_eq!(record.object.content_type, "image/jpeg");
        let metadata = record.object.metadata.iter();
        let metadata: Vec<_> = metadata.map(|(k, v)| (k.as_str(), v.as_str())).collect();
        // As sha256sum says.
        let sha256 = "1a8ea2f5bc2b8ba95fd99a32f38290dbc9d613dfae23301d3e20f33c006a4242";
        assert_eq!(
            metadata,
            [
                ("captured-at", "2024-01-02T03:04:05Z"),
                ("event-cause", "Running"),
                ("event-id", "E-1"),
                ("event-time", "2024-01-02T03:00:00Z"),
                ("no-console", "not_supported"),
                ("region-id", "cn-hangzhou"),
                ("request-id", "R-1"),
                ("screenshot-bytes", "14820"),
                ("screenshot-pixels", "800x600"),
                ("screenshot-sha256", sha256),
            ]
        );
        let key = format!("i-bp1abc/20240102Z-{}.jpg", &sha256[..12]);
        assert_eq!(record.key.to_string(), key);
        assert_eq!(ScreenshotKey::parse(&key), Some(record.key));
    }

    #[test]
    fn the_same_picture_has_one_key_a_day() {
        let key = |taken_at| record(JPEG, taken_at, None).key;
        let morning = key("2024-01-02T00:00:00Z");
        assert_eq!(morning, key("2024-01-02T23:59:59.9Z"));
        assert_ne!(morning, key("2024-01-03T00:00:00Z"));
    }

    #[test]
    fn another_picture_under_a_screenshots_key_is_found_out() {
        let good = record(JPEG, "2024-01-02T03:04:05Z", None);
        assert_eq!(faults(&good.key, &good.object), []);
        assert_eq!(missing(&good.object), Vec::<&str>::new());
        let png = include_bytes!("../../tests/fixtures/screenshots/boot-menu.png");
        let mut other = good.object.clone();
        other.body = png.to_vec();
        let found = faults(&good.key, &other);
        assert!(
            matches!(found[..2], [Fault::Format { .. }, Fault::Key { .. }]),
            "{found:?}"
        );
        other.body = b"<html><script>alert(1)</script></html>".to_vec();
        let found = faults(&good.key, &other);
        assert_eq!(found, [Fault::Image(InvalidImage::OtherFormat)]);
        let mut lies = good.object.clone();
        lies.metadata
            .insert("screenshot-pixels".into(), "1x1".into());
        lies.metadata.remove("captured-at");
        assert!(matches!(
            faults(&good.key, &lies)[..],
            [Fault::Metadata { .. }]
        ));
        assert_eq!(missing(&lies), ["captured-at"]);
    }

    #[test]
    fn other_keys_are_none_of_a_screenshot() {
        for key in [
            "i-bp1abc/20240102Z-5891b5b522d5.svg",
            "i-bp1abc/20240102Z-5891b5b522d5.jpeg",
            "i-bp1abc/20240102Z-5891b5b522D5.jpg",
            "i-bp1abc/20240102-5891b5b522d5.jpg",
            "i-bp1abc/20240132Z-5891b5b522d5.jpg",
            "i-bp1abc/2024012Z-5891b5b522d5.jpg",
            "i-bp1abc/20240102T030405Z-5891b5b522d5.jpg",
            "x/20240102Z-5891b5b522d5.jpg",
            "i-bp1abc/a/20240102Z-5891b5b522d5.png",
        ] {
            assert_eq!(ScreenshotKey::parse(key), None, "{key}");
        }
    }
}
