//! The use case: one event in, one [`Outcome`] out. Start reading here.

use jiff::Timestamp;
use tracing::warn;

use crate::ecs::ConsoleSource;
use crate::ecs::response::{EcsError, NoConsole};
use crate::event::{EventError, InstanceEvent, Notice, Unrelated};
use crate::ids::RegionId;
use crate::outcome::{Outcome, StoredRecord};
use crate::record::Record;
use crate::retry::{Deadline, Retrying};
use crate::store::{PutOutcome, Store, StoreError};
use crate::triggers::Triggers;
use crate::update_time::UpdateTime;

/// Keeps consoles: asks a source, writes to a store.
#[derive(Debug, Clone)]
pub struct Archiver<C, S> {
    /// Where consoles come from.
    pub source: C,
    /// Where they go.
    pub store: S,
    /// Which events lead to a capture.
    pub triggers: Triggers,
    /// The region of events that name none.
    pub default_region: Option<RegionId>,
}

/// An event that is not done with. It must come again, or end where someone looks at it.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The event cannot be understood.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The event names no region and none is configured.
    #[error("the event names no region: set ALIBABA_CLOUD_REGION_ID to the instances' region")]
    NoRegion,
    /// ECS gave no console output and no reason that settles it.
    #[error(transparent)]
    Ecs(#[from] EcsError),
    /// The archive did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Compressing failed.
    #[error("the console cannot be compressed: {0}")]
    Pack(std::io::Error),
}

impl CaptureError {
    /// Whether the same event may succeed a little later, with nobody mending anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Ecs(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
            Self::Event(_) | Self::NoRegion | Self::Pack(_) => false,
        }
    }

    /// A name that stays the same between versions, for alarms.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Event(_) => "InvalidEvent",
            Self::NoRegion => "NoRegion",
            Self::Ecs(EcsError::Throttled { .. }) => "EcsThrottled",
            Self::Ecs(EcsError::Denied { .. }) => "EcsDenied",
            Self::Ecs(
                EcsError::Rejected { .. } | EcsError::NoConsole { .. } | EcsError::TooLong,
            ) => "EcsRejected",
            Self::Ecs(_) => "EcsUnavailable",
            Self::Store(StoreError::Denied(_)) => "ArchiveDenied",
            Self::Store(StoreError::Rejected(_)) => "ArchiveRejected",
            Self::Store(_) => "ArchiveUnavailable",
            Self::Pack(_) => "Internal",
        }
    }
}

impl<C: ConsoleSource + Sync, S: Store> Archiver<C, S> {
    /// Does what an event asks for, and tries again what may pass until the deadline.
    ///
    /// # Errors
    /// [`CaptureError`] when the event must come again.
    pub async fn serve(
        &self,
        notice: &Notice,
        deadline: Deadline,
    ) -> Result<Outcome, CaptureError> {
        let event = match notice {
            Notice::Instance(event) if self.triggers.include(&event.cause) => event,
            Notice::Instance(event) => {
                let message = format!("{} is not in TRIGGER_STATES", event.cause);
                return Ok(Outcome::Ignored {
                    reason: "not_a_trigger",
                    message,
                });
            }
            Notice::Other(Unrelated::Product(product)) => {
                let message = format!("the event comes from {product}, not from ECS");
                return Ok(Outcome::Ignored {
                    reason: "other_product",
                    message,
                });
            }
            Notice::Other(Unrelated::Resource(resource)) => {
                let message = format!("the event is about {resource}, not an ECS instance");
                return Ok(Outcome::Ignored {
                    reason: "other_resource",
                    message,
                });
            }
        };
        self.capture(event, deadline).await
    }

    /// Keeps the console output ECS has cached now.
    ///
    /// # Errors
    /// [`CaptureError`] when nothing was kept and nothing settles that there is nothing to keep.
    pub async fn capture(
        &self,
        event: &InstanceEvent,
        deadline: Deadline,
    ) -> Result<Outcome, CaptureError> {
        let source = Retrying::new(&self.source, deadline);
        let store = Retrying::new(&self.store, deadline);
        let instance_id = &event.instance_id;
        let region_id = event
            .region_id
            .as_ref()
            .or(self.default_region.as_ref())
            .ok_or(CaptureError::NoRegion)?;
        let console = match source.console_output(region_id, instance_id).await {
            Ok(console) if console.plain.is_empty() => {
                return Ok(Outcome::no_console(
                    instance_id.clone(),
                    NoConsole::Empty,
                    String::new(),
                ));
            }
            Ok(console) => console,
            Err(EcsError::NoConsole { code, reason, .. }) => {
                return Ok(Outcome::no_console(instance_id.clone(), reason, code));
            }
            Err(error) => return Err(error.into()),
        };
        if console.names_another_than(instance_id) {
            warn!(%instance_id, "ECS answered for another instance ID; kept under the one asked for");
        }
        if UpdateTime::parse(&console.last_update_time).is_err() {
            let last_update_time = console.last_update_time.escape_debug().to_string();
            warn!(%instance_id, last_update_time, "LastUpdateTime is unreadable; kept as undated");
        }
        let record = Record::new(event, region_id, &console, Timestamp::now())
            .map_err(CaptureError::Pack)?;
        let key = record.key.to_string();
        let put = store.put_if_absent(&key, &record.object).await?;
        let stored = StoredRecord {
            instance_id: instance_id.clone(),
            url: self.store.url(&key),
            key,
            last_update_time: console.last_update_time,
            console_bytes: record.plain_bytes,
            gzip_bytes: record.object.body.len(),
        };
        Ok(match put {
            PutOutcome::Created => Outcome::Stored(stored),
            // Events are delivered at least once, and a console need not change between two.
            PutOutcome::Exists => Outcome::AlreadyStored(stored),
        })
    }
}
