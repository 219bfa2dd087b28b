//! Settings → working parts. Only this file knows all of them.

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::capture::Archiver;
use crate::capture::memory::Memory;
use crate::capture::room::Room;
use crate::capture::told::Tell;
use crate::clock::{Clock, WallClock};
use crate::config::{Archive, Config, Deployment, EcsConfig, FollowQueue, NotifyConfig, Redact};
use crate::credentials::{CredentialsProvider, ManagedSecret};
use crate::hosts::dispatch::Dispatcher;
use crate::hosts::told;
use crate::http::{HttpSetupError, client, early};
use crate::intake::webhook::gate::{Gate, ReadTokens};
use crate::notify::send::Sender;
use crate::notify::{Event, Notifier, ReadTargets, target};
use crate::queue::Queue;
use crate::queue::function_compute::SelfInvocation;
use crate::queue::sqs::SqsQueue;
use crate::reading::findings::own::OwnRules;
use crate::retry::{Deadline, retry};
use crate::secrets::REQUEST_TIME;
use crate::source::ecs::EcsClient;
use crate::store::ArchiveStore;
use crate::store::bucket::BucketStore;
use crate::store::directory::DirectoryStore;

impl Config {
    /// Builds the dispatcher, which serves events.
    ///
    /// # Errors
    /// [`HttpSetupError`] if the HTTP client cannot be built.
    pub fn dispatcher(self) -> Result<Dispatcher<EcsClient, ArchiveStore>, HttpSetupError> {
        let http = client(&self.http)?;
        let default_region = self.ecs.default_region.clone();
        let credentials = self.ecs.provider(http.clone());
        let queue = |config| -> Arc<dyn Queue> {
            match config {
                FollowQueue::Sqs(config) => Arc::new(SqsQueue::new(*config, http.clone())),
                FollowQueue::FunctionCompute(config) => {
                    let own = credentials.own_of_function();
                    Arc::new(SelfInvocation::new(config, http.clone(), own))
                }
            }
        };
        let gate = Gate::new(self.webhook, http.clone());
        let gate = match self.webhook_token {
            Some(secret) => gate.with_managed_tokens(read_secret(secret, credentials.clone())),
            None => gate,
        };
        let notifier =
            (self.notify).map(|config| config.notifier(&http, &credentials, told::notice_as_line));
        self.own_rules.into_iter().for_each(OwnRules::make_current);
        Ok(Dispatcher {
            triggers: self.triggers,
            failed_events: self.failed_events,
            failed_queue: (self.failed_queue).map(|config| SqsQueue::new(config, http.clone())),
            gate: Some(gate),
            pushes: Arc::default(),
            deployment: Deployment::default(),
            credentials: Some(credentials.clone()),
            archiver: Archiver {
                store: self.archive.store_with(http.clone(), Some(&credentials)),
                has_catalog: self.has_catalog,
                masks_secrets: self.redact == Redact::Store,
                screenshots: self.screenshots,
                follow_budget: self.follow_budget,
                follow_queue: self.follow_queue.map(queue),
                clock: WallClock::default(),
                ending: CancellationToken::new(),
                room: Room::default(),
                memory: Memory::default(),
                tell: Tell::new(told::as_line),
                notifier,
                source: self.ecs.client_with(http.clone(), credentials),
                default_region,
            },
        })
    }
}

impl NotifyConfig {
    /// Builds what tells people. `credentials` are those of the process, whose host may hand over fresh ones.
    pub fn notifier(
        self,
        http: &reqwest::Client,
        credentials: &CredentialsProvider,
        report: impl Fn(&Event<'_>) + Send + Sync + 'static,
    ) -> Notifier {
        let read = self.managed.map(|secret| {
            let read = read_secret(secret, credentials.clone());
            let read: Arc<ReadTargets> = Arc::new(move || {
                let read = read();
                async move {
                    let list = read.await?;
                    target::parse(list.expose()).map_err(|error| error.to_string())
                }
                .boxed()
            });
            read
        });
        let sender = Sender {
            http: http.clone(),
            aws: (self.aws).map(|source| CredentialsProvider::new(source, http.clone())),
            sns_endpoint: self.sns_endpoint,
        };
        Notifier::new(self.told, self.targets, read, sender, report)
    }
}

impl Dispatcher<EcsClient, ArchiveStore> {
    /// Opens the connections that the first event will probably need. Does not wait for them.
    pub fn connect_early(&self) {
        let (ecs, store) = (&self.archiver.source, &self.archiver.store);
        let default_region = self.archiver.default_region.as_ref();
        let to_store = match store {
            ArchiveStore::Bucket(store) => Url::parse(store.host_url()).ok(),
            ArchiveStore::Directory(_) => None,
        };
        let to_ecs = ecs.endpoint.likely_url(default_region);
        for url in [to_ecs, to_store].into_iter().flatten() {
            tokio::spawn(early::open(ecs.http.clone(), url));
        }
    }
}

/// Reads a secret until it succeeds or the time of a push is over.
fn read_secret(secret: ManagedSecret, credentials: CredentialsProvider) -> Arc<ReadTokens> {
    let secret = Arc::new(secret);
    Arc::new(move || {
        let (secret, credentials) = (secret.clone(), credentials.clone());
        async move {
            let read = || credentials.read_secret(&secret);
            let value = retry(Deadline::after(REQUEST_TIME), "reading the secret", read).await;
            value.map_err(|error| error.to_string())
        }
        .boxed()
    })
}

impl EcsConfig {
    /// Builds the client of ECS.
    pub fn client(self, http: reqwest::Client) -> EcsClient {
        let credentials = self.provider(http.clone());
        self.client_with(http, credentials)
    }

    fn provider(&self, http: reqwest::Client) -> CredentialsProvider {
        let (source, identity) = (self.credentials.clone(), self.identity.clone());
        CredentialsProvider::with_identity(source, http, identity)
    }

    fn client_with(self, http: reqwest::Client, credentials: CredentialsProvider) -> EcsClient {
        EcsClient {
            http,
            endpoint: self.endpoint,
            signature_version: self.signature_version,
            credentials,
            clock: Clock::default(),
        }
    }
}

impl Archive {
    /// Builds the store.
    pub fn store(self, http: reqwest::Client) -> ArchiveStore {
        self.store_with(http, None)
    }

    /// Builds the store. If the bucket uses the credentials of ECS, both share a provider, so that
    /// credentials are fetched once.
    fn store_with(
        self,
        http: reqwest::Client,
        shared: Option<&CredentialsProvider>,
    ) -> ArchiveStore {
        match self {
            Self::Bucket(config) => {
                let shared = shared.filter(|shared| *shared.source() == config.credentials);
                let own = || CredentialsProvider::new(config.credentials.clone(), http.clone());
                let credentials = shared.cloned().unwrap_or_else(own);
                ArchiveStore::Bucket(BucketStore::new(*config, http, credentials))
            }
            Self::Directory(root) => ArchiveStore::Directory(DirectoryStore::new(root)),
        }
    }
}
