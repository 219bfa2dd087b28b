//! Ctrl-C: what has begun is finished, and nothing more is begun.

use signal_hook::consts::SIGINT;
use signal_hook::low_level::emulate_default_handler;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::output;

/// Whether and when the user pressed Ctrl-C.
#[derive(Debug, Clone)]
pub struct Interrupt(CancellationToken);

impl Interrupt {
    /// Notes the first Ctrl-C from now on. The second ends the process at once.
    pub fn listen() -> Self {
        let pressed = CancellationToken::new();
        let noted = pressed.clone();
        // Where it cannot be noted, it ends the process as ever.
        if let Ok(mut interrupts) = signal(SignalKind::interrupt()) {
            tokio::spawn(async move {
                interrupts.recv().await;
                noted.cancel();
                interrupts.recv().await;
                die();
            });
        }
        Self(pressed)
    }

    /// Whether it was pressed.
    pub fn is_pressed(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it is pressed.
    pub async fn pressed(&self) {
        self.0.cancelled().await;
    }

    /// For what can be told to stop.
    pub fn token(&self) -> &CancellationToken {
        &self.0
    }

    /// Waits for work that must not be cut off. Says what it waits for once Ctrl-C is pressed.
    pub async fn finish<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        let tell = async {
            self.pressed().await;
            output::error(format_args!(
                "interrupted: {what} is finished first; Ctrl-C again ends it at once"
            ));
            std::future::pending().await
        };
        tokio::select! {
            done = work => done,
            never = tell => never,
        }
    }
}

/// Ends this process as Ctrl-C does with no handler. A shell ends its loop only over a program that
/// ended so, and not over one that exits with 130.
pub fn die() {
    let _ = emulate_default_handler(SIGINT);
}
