//! Caches credentials and renews them: those of this process, or those of each account that events
//! name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use aws_credential_types::provider::{
    self, ProvideCredentials, error::CredentialsError as AwsError,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, OnceCell};
use tracing::warn;
use url::Url;

use super::source::{Means, SPARE, Source};
use super::{CredentialsError, Expiring, ManagedSecret, sts};
use crate::clock::{WallClock, is_within};
use crate::lock::lock;
use crate::model::credentials::{Credentials, Secret};
use crate::model::ids::AccountId;
use crate::secrets::SecretError;

/// Name of the source of keys in the environment.
const ENVIRONMENT: &str = "the environment";

/// How long before their expiration credentials are renewed.
const RENEWAL: SignedDuration = SignedDuration::from_mins(5);
/// Credentials that are refused within this time after a replacement are not replaced again,
/// because they cannot have expired.
const REPLACEMENT_PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// How long a request waits for credentials to be fetched again that can still be used.
const REFRESH_TIME: Duration = Duration::from_secs(2);
/// How long credentials are used further if they cannot be fetched again.
const REFRESH_PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// How many accounts' credentials are cached. The least recently used ones are dropped.
const MAX_ACCOUNTS: usize = 64;

/// Provides valid credentials. Fetches them when they are first needed, caches them, and renews
/// them before they expire. All clones share one cache.
#[derive(Clone)]
pub struct CredentialsProvider(Arc<Shared>);

struct Shared {
    source: Source,
    http: reqwest::Client,
    identity: Option<Identity>,
    /// The time of day, because tokio's clock may stand still while a function is frozen between two
    /// invocations (seen on AWS Lambda: mbeher2200/DarkHours pull request 204).
    clock: WallClock,
    /// The latest credentials that the host passed. The accounts' providers share them.
    handed: Arc<StdMutex<Option<Credentials>>>,
    kept: Mutex<Kept>,
    /// The account of the credentials, once it is known.
    own: OnceCell<AccountId>,
    accounts: StdMutex<Accounts>,
}

#[derive(Default)]
struct Kept {
    credentials: Option<Expiring>,
    /// For how long they count as current, even if they do not expire, and since when.
    current_for: Option<(SignedDuration, Timestamp)>,
    /// When refused credentials were last dropped.
    replaced_at: Option<Timestamp>,
}

/// The providers of single accounts, each with the number of its last use.
#[derive(Default)]
struct Accounts {
    providers: BTreeMap<AccountId, (u64, CredentialsProvider)>,
    uses: u64,
}

/// How to find out which account the credentials belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Address of STS.
    pub sts: Url,
    /// The account of the credentials that the host passes, if it is known.
    pub host_account: Option<AccountId>,
}

/// The owner of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    /// This account. The event names it.
    Account(&'a AccountId),
    /// The account of the credentials. Used for a person's request and for a sweep.
    Own,
    /// The event names no account.
    Unknown,
}

impl fmt::Debug for CredentialsProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source.fmt(f)
    }
}

impl CredentialsProvider {
    /// Provides credentials from `source`. Uses `http` if they must be fetched.
    pub fn new(source: Source, http: reqwest::Client) -> Self {
        Self::timed(source, http, WallClock::default())
    }

    /// Like [`new`](Self::new), with another clock.
    pub fn timed(source: Source, http: reqwest::Client, clock: WallClock) -> Self {
        Self::with(source, http, None, clock, Arc::default())
    }

    /// Like [`new`](Self::new), and can also find out the account of the credentials.
    pub fn with_identity(source: Source, http: reqwest::Client, identity: Identity) -> Self {
        let clock = WallClock::default();
        Self::with(source, http, Some(identity), clock, Arc::default())
    }

    fn with(
        source: Source,
        http: reqwest::Client,
        identity: Option<Identity>,
        clock: WallClock,
        handed: Arc<StdMutex<Option<Credentials>>>,
    ) -> Self {
        Self(Arc::new(Shared {
            source,
            http,
            identity,
            clock,
            handed,
            kept: Mutex::default(),
            own: OnceCell::new(),
            accounts: StdMutex::default(),
        }))
    }

    /// A provider for another source, with the same client and identity.
    fn beside(&self, source: Source) -> Self {
        let Shared {
            http,
            identity,
            clock,
            handed,
            ..
        } = &*self.0;
        let identity = identity.clone();
        Self::with(source, http.clone(), identity, *clock, handed.clone())
    }

    /// A provider of the credentials of the function's own role, whichever role this one assumes with
    /// them. The host's credentials that this provider is given are given to that one, too.
    pub fn own_of_function(&self) -> Self {
        self.beside(self.source().own_of_function())
    }

    pub(super) fn http(&self) -> &reqwest::Client {
        &self.0.http
    }

    /// The source of the credentials.
    pub fn source(&self) -> &Source {
        &self.0.source
    }

    /// Reads another secret, with the credentials that the host passed where the secret's reader
    /// needs them. Makes one attempt.
    ///
    /// # Errors
    /// [`SecretError`] says what to do next.
    pub async fn read_secret(&self, secret: &ManagedSecret) -> Result<Secret, SecretError> {
        let handed = self.handed();
        let means = Means {
            http: &self.0.http,
            handed: handed.as_ref(),
        };
        secret.read(means).await
    }

    fn handed(&self) -> Option<Credentials> {
        lock(&self.0.handed).clone()
    }

    /// Returns valid credentials. If each account has its own role, these are the credentials that
    /// assume the roles.
    ///
    /// # Errors
    /// [`CredentialsError`] if there are none.
    pub async fn get(&self) -> Result<Credentials, CredentialsError> {
        let own = self.of(Owner::Own).await?;
        own.kept_or_fetched().await
    }

    async fn kept_or_fetched(&self) -> Result<Credentials, CredentialsError> {
        let mut kept = self.0.kept.lock().await;
        let Kept {
            credentials: kept,
            current_for,
            ..
        } = &mut *kept;
        let now = self.0.clock.now();
        let handed = self.handed();
        // Another provider was given fresh credentials of the host.
        let is_superseded = |kept: &Expiring| {
            let handed = handed.as_ref().filter(|_| self.0.source.is_handed());
            handed.is_some_and(|handed| *handed != kept.credentials)
        };
        let lasts = |kept: &Expiring, spare| kept.expires_at.is_none_or(|end| end > now + spare);
        let is_due = current_for.is_some_and(|(lasts, at)| !is_within(lasts, at, now));
        let is_current = |kept: &&Expiring| lasts(kept, RENEWAL) && !is_superseded(kept);
        let current = kept.as_ref().filter(is_current);
        if let Some(kept) = current.filter(|_| !is_due) {
            return Ok(kept.credentials.clone());
        }
        let means = Means {
            http: &self.0.http,
            handed: handed.as_ref(),
        };
        let fetching = self.0.source.fetch(means);
        let fetched = if is_due && current.is_some() {
            let fetched = tokio::time::timeout(REFRESH_TIME, fetching).await;
            fetched.unwrap_or_else(|_| {
                let text = crate::retry::timed_out("fetching them", REFRESH_TIME);
                Err(CredentialsError::Unavailable(text))
            })
        } else {
            fetching.await
        };
        match fetched {
            Ok(fresh) => {
                *current_for = self.0.source.kept_for().map(|time| (time, now));
                // This machine's clock may be wrong, so the service decides.
                if let Some(end) = fresh.expires_at.filter(|end| *end <= now) {
                    warn!(
                        "the keys of {} expired at {}, unless this machine's clock is wrong; \
                         they are used anyway",
                        self.0.source.place(ENVIRONMENT),
                        crate::clock::iso_second(end)
                    );
                }
                Ok(kept.insert(fresh).credentials.clone())
            }
            Err(error) => match kept.as_ref().filter(|kept| lasts(kept, SPARE)) {
                Some(kept) => {
                    if is_due {
                        *current_for = Some((REFRESH_PAUSE, now));
                    }
                    warn!(
                        "credentials cannot be renewed, so the current ones are used until they expire: {error}"
                    );
                    Ok(kept.credentials.clone())
                }
                None => Err(error),
            },
        }
    }

    /// Takes the credentials that the host passed with a request. If a role is assumed with them,
    /// its current session stays in use until it expires.
    pub async fn put(&self, credentials: Credentials) {
        let fresh = Some(credentials);
        {
            let mut handed = lock(&self.0.handed);
            if *handed == fresh {
                return;
            }
            *handed = fresh;
        }
        if self.0.source.is_handed() {
            self.0.kept.lock().await.credentials = None;
        }
    }

    /// Drops the credentials of the host, if there is another source.
    fn drop_handed(&self, refused: &Credentials) -> bool {
        let mut handed = lock(&self.0.handed);
        let is_dropped = handed.as_ref() == Some(refused) && self.0.source.has_more_than_host();
        if is_dropped {
            *handed = None;
        }
        is_dropped
    }

    /// Drops credentials that a service refused. Returns whether the next request uses others. It
    /// does not if the source can only return the same ones, or if these were fetched just now.
    pub async fn replace(&self, refused: &Credentials) -> bool {
        if self.source().needs_account() {
            // A provider of a single account returned them.
            let providers: Vec<_> = {
                let accounts = lock(&self.0.accounts);
                accounts
                    .providers
                    .values()
                    .map(|(_, p)| p.clone())
                    .collect()
            };
            for provider in providers {
                if provider.keeps(refused).await {
                    return provider.drop_refused(refused).await;
                }
            }
            return true;
        }
        self.drop_refused(refused).await
    }

    async fn keeps(&self, credentials: &Credentials) -> bool {
        let kept = self.0.kept.lock().await;
        let kept = kept.credentials.as_ref();
        kept.is_some_and(|kept| kept.credentials == *credentials)
    }

    async fn drop_refused(&self, refused: &Credentials) -> bool {
        let mut kept = self.0.kept.lock().await;
        let is_kept = |kept: &Expiring| kept.credentials == *refused;
        if !kept.credentials.as_ref().is_some_and(is_kept) {
            return true; // Another request has dropped them already.
        }
        if self.0.source.is_handed() && self.drop_handed(refused) {
            kept.credentials = None;
            return true;
        }
        let now = self.0.clock.now();
        let just_came = |at: Timestamp| is_within(REPLACEMENT_PAUSE, at, now);
        if !self.0.source.is_renewable(self.handed().is_some())
            || kept.replaced_at.is_some_and(just_came)
        {
            return false;
        }
        *kept = Kept {
            credentials: None,
            current_for: None,
            replaced_at: Some(now),
        };
        true
    }
}

/// Credentials by account.
impl CredentialsProvider {
    /// Returns the provider for an owner's instances. That is this provider, unless the role's ARN
    /// contains `{account}`.
    ///
    /// # Errors
    /// [`CredentialsError`] if a role of the owner's account is needed and the account is unknown.
    pub async fn of(&self, owner: Owner<'_>) -> Result<Self, CredentialsError> {
        if !self.source().needs_account() {
            return Ok(self.clone());
        }
        let own;
        let account_id = match owner {
            Owner::Account(account_id) => account_id,
            Owner::Own => {
                own = self.account().await?;
                &own
            }
            Owner::Unknown => {
                let text =
                    "ALIBABA_CLOUD_ROLE_ARN contains {account}, but the event names no account";
                return Err(CredentialsError::Refused(text.to_owned()));
            }
        };
        let mut accounts = lock(&self.0.accounts);
        let accounts = &mut *accounts; // Its members are borrowed apart.
        accounts.uses += 1;
        let uses = accounts.uses;
        if let Some((last_use, provider)) = accounts.providers.get_mut(account_id) {
            *last_use = uses;
            return Ok(provider.clone());
        }
        if accounts.providers.len() >= MAX_ACCOUNTS {
            let by_use = accounts.providers.iter().min_by_key(|(_, (last, _))| *last);
            if let Some(longest_unused) = by_use.map(|(id, _)| id.clone()) {
                accounts.providers.remove(&longest_unused);
            }
        }
        let provider = self.beside(self.source().of_account(account_id));
        let entry = (uses, provider.clone());
        accounts.providers.insert(account_id.clone(), entry);
        Ok(provider)
    }

    /// The account of the credentials. If each account has its own role, the account of the
    /// credentials that assume the roles. Asks STS once, if neither settings nor a role name it.
    ///
    /// # Errors
    /// [`CredentialsError`] if it cannot be found out.
    pub fn account(&self) -> BoxFuture<'_, Result<AccountId, CredentialsError>> {
        async move {
            if let Some(account_id) = self.source().account() {
                return Ok(account_id);
            }
            let identity = self.0.identity.as_ref();
            if let Some(account_id) = identity.and_then(|identity| identity.host_account.clone())
                && self.source().is_handed()
                && self.handed().is_some()
            {
                return Ok(account_id);
            }
            let own = self.0.own.get_or_try_init(|| self.ask_account());
            own.await.cloned()
        }
        .boxed()
    }

    async fn ask_account(&self) -> Result<AccountId, CredentialsError> {
        if let Source::AssumeRole { base, .. } = self.source()
            && self.source().needs_account()
        {
            // The role's account is the one in question, so the base's account is the own one.
            return self.beside((**base).clone()).account().await;
        }
        let Some(identity) = self
            .0
            .identity
            .as_ref()
            .filter(|_| !self.source().needs_account())
        else {
            let text = "the account of the credentials is unknown; set \
                        ALIBABA_CLOUD_OIDC_PROVIDER_ARN, or name the instance's account in the event";
            return Err(CredentialsError::Refused(text.to_owned()));
        };
        let credentials = self.kept_or_fetched().await?;
        let caller = sts::caller(&self.0.http, &identity.sts, &credentials).await?;
        Ok(caller.account_id)
    }

    /// Asks STS whose credentials these are: an ARN, or an account ID if STS names no ARN. If each
    /// account has its own role, it is the one of the account of the credentials. Makes one attempt.
    ///
    /// # Errors
    /// [`CredentialsError`] if there are none, or STS does not answer.
    pub async fn caller(&self) -> Result<String, CredentialsError> {
        let Some(identity) = &self.0.identity else {
            let text = "it is not known where STS is".to_owned();
            return Err(CredentialsError::Unavailable(text));
        };
        let credentials = self.get().await?;
        let caller = sts::caller(&self.0.http, &identity.sts, &credentials).await?;
        Ok(match caller.arn {
            arn if arn.is_empty() => format!("the account {}", caller.account_id),
            arn => arn,
        })
    }
}

/// The AWS SDK signs requests to buckets and queues with these credentials.
impl ProvideCredentials for CredentialsProvider {
    fn provide_credentials<'a>(&'a self) -> provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let credentials = self.get().map(|credentials| match credentials {
            Ok(credentials) => Ok(crate::aws::for_sdk(&credentials)),
            Err(error) => Err(AwsError::provider_error(error)),
        });
        provider::future::ProvideCredentials::new(credentials)
    }
}
