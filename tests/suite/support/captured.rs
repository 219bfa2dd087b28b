//! An instance whose console is captured again and again into a folder, with the real command line.

use ecs_console_archiver::simulator::Simulator;

use super::*;

pub const ID: &str = "i-a1";

pub struct Captured {
    pub simulator: Simulator,
    pub folder: tempfile::TempDir,
    pub settings: Settings,
    captures: usize,
}

impl Captured {
    pub async fn new() -> Self {
        let simulator = bare_simulator(ecs_credentials()).await;
        let (folder, settings) = archive_folder(&simulator);
        Self {
            simulator,
            folder,
            settings,
            captures: 0,
        }
    }

    /// With these captures.
    pub async fn with(consoles: &[&[u8]]) -> Self {
        let mut world = Self::new().await;
        for console in consoles {
            world.capture(console).await;
        }
        world
    }

    /// Two boots: one in two captures that overlap, and the next in two with a gap between. And the consoles of both.
    pub async fn two_boots() -> (Self, Vec<u8>, Vec<u8>) {
        let (panic, next) = (
            fixture("i-bp1panicnoroot00001"),
            fixture("i-bp1cloudinit0000001"),
        );
        let world = Self::with(&[
            &panic[..9_000],
            &panic,
            &next[..16_384],
            &next[30_000..46_384],
        ])
        .await;
        (world, panic, next)
    }

    /// Stores what ECS shows of the console, a minute after the capture before.
    pub async fn capture(&mut self, console: &[u8]) {
        self.print(console);
        let captured = cli(&self.settings, &["capture", ID]).await;
        assert!(captured.status.success(), "{}", text(&captured.stderr));
    }

    /// What ECS shows from now on.
    pub fn print(&mut self, console: &[u8]) {
        let time = format!("2024-03-22 10:{:02}:57", self.captures);
        self.captures += 1;
        set_console(&self.simulator, ID, console, &time);
    }

    /// What a command prints of the instance, with these options. It must succeed.
    pub async fn shown(&self, command: &str, options: &[&str]) -> String {
        let output = cli(&self.settings, &[&[command, ID], options].concat()).await;
        assert!(
            output.status.success(),
            "{options:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// ECS does not answer those any more who know its address; another one does.
    pub async fn move_simulator(&mut self) {
        self.simulator = bare_simulator(ecs_credentials()).await;
        for (name, value) in &mut self.settings {
            if ["ECS_ENDPOINT_URL", "STS_ENDPOINT_URL"].contains(&name.as_str()) {
                *value = self.simulator.endpoint_url();
            }
        }
    }
}
