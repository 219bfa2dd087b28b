//! Recorded serial consoles. Their format: `tests/fixtures/recordings/README.md`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What came at one time.
pub struct Chunk {
    /// Microseconds since the machine was switched on, by the host's clock.
    pub us: u64,
    pub bytes: Vec<u8>,
}

/// What a scenario knows about its recording.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    pub what: String,
    /// The disk that `tests/record/image.sh` builds by this name.
    pub image: String,
    pub packages: Vec<String>,
    /// The version of qemu.
    pub machine: String,
    /// When the machine was switched on, in microseconds since 1970, by the host's clock.
    pub started_us: u64,
    pub total_us: u64,
    pub bytes: usize,
    pub boots: Vec<Boot>,
    pub events: Vec<Event>,
}

/// One boot of a recording. It ends where the next one starts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// The offset of its first byte.
    pub start: usize,
    pub start_us: u64,
    pub cause: Cause,
    /// The kernel's version. `None` where no kernel is started.
    pub kernel: Option<String>,
    /// The offset of the words `login: ` of its first login prompt.
    pub login: Option<usize>,
    pub login_us: Option<u64>,
    pub ended: Ended,
    pub then: Then,
    /// What caused the end.
    pub by: String,
    /// How far it came.
    pub stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    PowerOn,
    Reset,
    Kexec,
    Crash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    Clean,
    Panic,
    Oom,
    Emergency,
    Silence,
    Running,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    Off,
    Reboot,
    Kexec,
    CrashKernel,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    Firmware,
    BootLoader,
    Kernel,
    Initramfs,
    Init,
    Login,
}

/// Something that the scenario did, or that qemu told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub offset: usize,
    pub us: u64,
    pub what: String,
}

pub struct Recording {
    pub name: String,
    pub label: Label,
    pub chunks: Vec<Chunk>,
}

impl Recording {
    /// Every recording, in the order of the names.
    pub fn all() -> Vec<Self> {
        let mut labels: Vec<PathBuf> = std::fs::read_dir(folder())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .collect();
        labels.sort();
        labels.iter().map(|label| Self::read(label)).collect()
    }

    /// The recording with this name.
    pub fn named(name: &str) -> Self {
        Self::read(&folder().join(name).with_extension("json"))
    }

    fn read(label: &Path) -> Self {
        let name = label.file_stem().unwrap().to_str().unwrap().to_owned();
        let gzip = std::fs::read(label.with_extension("jsonl.gz")).unwrap();
        let mut lines = String::new();
        flate2::read::GzDecoder::new(&gzip[..])
            .read_to_string(&mut lines)
            .unwrap();
        let chunks = lines.lines().map(chunk).collect();
        let text = std::fs::read_to_string(label).unwrap();
        let label = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self {
            name,
            label,
            chunks,
        }
    }

    /// The whole console.
    pub fn bytes(&self) -> Vec<u8> {
        let chunks = self.chunks.iter().map(|chunk| &chunk.bytes[..]);
        chunks.collect::<Vec<_>>().concat()
    }
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/recordings")
}

fn chunk(line: &str) -> Chunk {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        us: u64,
        bytes: String,
    }
    let Line { us, bytes } = serde_json::from_str(line).unwrap();
    // A character is a byte.
    let bytes = bytes
        .chars()
        .map(|character| u8::try_from(u32::from(character)).unwrap())
        .collect();
    Chunk { us, bytes }
}
