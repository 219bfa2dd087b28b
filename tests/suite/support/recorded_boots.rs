//! Single boots of the recorded consoles, from power-on to their first login prompt.

use regex_lite::Regex;

use super::recording::{Boot, Cause, Recording};

/// Whose disk is not the image as it was built, or which have another device.
const OTHER_MACHINES: [&str; 3] = ["disk-full", "slow-boot", "watchdog-reset"];

#[derive(Clone)]
pub struct RecordedBoot {
    /// The recording, and which boot of it.
    pub name: String,
    /// What has to be equal of two boots that are compared: the disk, the memory and the kernel's command line.
    /// `None` if something else than switching the machine on began the boot, or the console does not say.
    pub machine: Option<String>,
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
                machine: machine(&recording, boot, &bytes[boot.start..end]),
                log: bytes[boot.start..login].to_vec(),
                whole: bytes[boot.start..end].to_vec(),
            });
        }
    }
    boots
}

/// The machine that a boot ran on.
fn machine(recording: &Recording, boot: &Boot, log: &[u8]) -> Option<String> {
    let is_switched_on = matches!(boot.cause, Cause::PowerOn | Cause::Reset);
    if !is_switched_on || OTHER_MACHINES.contains(&recording.name.as_str()) {
        return None;
    }
    let log = String::from_utf8_lossy(log);
    let said = |pattern| Some(Regex::new(pattern).ok()?.captures(&log)?[1].to_owned());
    let line = said(r"Command line: ([^\r\n]*)")?;
    let memory = said(r"Memory: \d+K/(\d+K) available")?;
    Some(format!("{}, {memory}, {line}", recording.label.image))
}

/// All pairs of boots of one machine.
pub fn pairs() -> Vec<(RecordedBoot, RecordedBoot)> {
    let boots = all();
    let mut pairs = Vec::new();
    for (number, a) in boots.iter().enumerate() {
        let is_same = |b: &&RecordedBoot| a.machine.is_some() && b.machine == a.machine;
        let others = boots[number + 1..].iter().filter(is_same);
        pairs.extend(others.map(|b| (a.clone(), b.clone())));
    }
    pairs
}

/// The boot with this name.
pub fn named(name: &str) -> RecordedBoot {
    let found = all().into_iter().find(|boot| boot.name == name);
    found.unwrap_or_else(|| panic!("no boot {name} is recorded"))
}

/// All that the first boot of a recording printed, however far it came.
pub fn first_boot(recording: &str) -> Vec<u8> {
    let recording = Recording::named(recording);
    let mut bytes = recording.bytes();
    if let Some(next) = recording.label.boots.get(1) {
        bytes.truncate(next.start);
    }
    bytes
}
