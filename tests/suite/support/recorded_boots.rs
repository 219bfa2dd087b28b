//! Single boots of the recorded consoles, from power-on to their first login prompt.

use super::recording::Recording;

#[derive(Clone)]
pub struct RecordedBoot {
    /// The recording, and which boot of it.
    pub name: String,
    /// The disk of the machine.
    pub image: String,
    /// Up to the login prompt.
    pub log: Vec<u8>,
    /// Everything, to the end of the boot.
    pub whole: Vec<u8>,
}

/// All boots that reached their login prompt.
pub fn all() -> Vec<RecordedBoot> {
    let mut boots = Vec::new();
    for recording in Recording::all() {
        let bytes = recording.bytes();
        for (number, boot) in recording.label.boots.iter().enumerate() {
            let Some(login) = boot.login else { continue };
            let next = recording.label.boots.get(number + 1);
            let end = next.map_or(bytes.len(), |next| next.start);
            let login = login + b"login: ".len();
            boots.push(RecordedBoot {
                name: format!("{} {number}", recording.name),
                image: recording.label.image.clone(),
                log: bytes[boot.start..login].to_vec(),
                whole: bytes[boot.start..end].to_vec(),
            });
        }
    }
    boots
}

/// All pairs of boots of one disk.
pub fn pairs() -> Vec<(RecordedBoot, RecordedBoot)> {
    let boots = all();
    let mut pairs = Vec::new();
    for (number, a) in boots.iter().enumerate() {
        let others = boots[number + 1..].iter().filter(|b| b.image == a.image);
        pairs.extend(others.map(|b| (a.clone(), b.clone())));
    }
    pairs
}

/// The boot with this name.
pub fn named(name: &str) -> RecordedBoot {
    let found = all().into_iter().find(|boot| boot.name == name);
    found.unwrap_or_else(|| panic!("no boot {name} is recorded"))
}
