//! Keeps credentials and renews them; those of one account, or of each account that events name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

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
use super::{CredentialsError, Expiring, sts};
use crate::model::credentials::Credentials;
use crate::model::ids::AccountId;

/// Keys that are set where the program was started.
const ENVIRONMENT: &str = "the environment";

/// How long before their end credentials are fetched anew.
const RENEWAL: SignedDuration = SignedDuration::from_mins(5);
/// Within this time after a replacement, a refusal of the new ones is not their age's fault.
const REPLACEMENT_PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// Accounts whose credentials are kept. The longest unused make room.
const MAX_ACCOUNTS: usize = 64;

/// Gives credentials that are good now: fetched when they are first needed, kept, and fetched anew
/// before they end. Copies share what one of them fetched.
#[derive(Clone)]
pub struct CredentialsProvider(Arc<Shared>);

struct Shared {
    source: Source,
    http: reqwest::Client,
    identity: Option<Identity>,
    /// What the host handed over last; shared with the accounts' providers.
    handed: Arc<StdMutex<Option<Credentials>>>,
    kept: Mutex<Kept>,
    /// The account the credentials are of, once it was asked for.
    own: OnceCell<AccountId>,
    accounts: StdMutex<Accounts>,
}

#[derive(Default)]
struct Kept {
    credentials: Option<Expiring>,
    /// When the last ones that a service refused were dropped.
    replaced_at: Option<Timestamp>,
}

/// The providers of single accounts, each with the number of its last use.
#[derive(Default)]
struct Accounts {
    providers: BTreeMap<AccountId, (u64, CredentialsProvider)>,
    uses: u64,
}

/// How to learn whose the credentials are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Where STS is.
    pub sts: Url,
    /// The account of what the host hands over.
    pub host_account: Option<AccountId>,
}

/// Whose instance is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    /// This account's: an event says so.
    Account(&'a AccountId),
    /// The credentials' own: a person asks, or a sweep.
    Own,
    /// An event does not say.
    Unknown,
}

impl fmt::Debug for CredentialsProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source.fmt(f)
    }
}

impl CredentialsProvider {
    /// Credentials from `source`, fetched with `http` where that takes requests.
    pub fn new(source: Source, http: reqwest::Client) -> Self {
        Self::with(source, http, None, Arc::default())
    }

    /// The same, and it can be asked whose they are.
    pub fn with_identity(source: Source, http: reqwest::Client, identity: Identity) -> Self {
        Self::with(source, http, Some(identity), Arc::default())
    }

    fn with(
        source: Source,
        http: reqwest::Client,
        identity: Option<Identity>,
        handed: Arc<StdMutex<Option<Credentials>>>,
    ) -> Self {
        Self(Arc::new(Shared {
            source,
            http,
            identity,
            handed,
            kept: Mutex::default(),
            own: OnceCell::new(),
            accounts: StdMutex::default(),
        }))
    }

    /// Another source, with the same means.
    fn beside(&self, source: Source) -> Self {
        let Shared {
            http,
            identity,
            handed,
            ..
        } = &*self.0;
        Self::with(source, http.clone(), identity.clone(), handed.clone())
    }

    /// Where they come from.
    pub fn source(&self) -> &Source {
        &self.0.source
    }

    fn handed(&self) -> Option<Credentials> {
        let handed = self.0.handed.lock();
        handed.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Credentials that are good now. Where each account has its own, they are the own account's.
    ///
    /// # Errors
    /// [`CredentialsError`] when there are none.
    pub async fn get(&self) -> Result<Credentials, CredentialsError> {
        let own = self.of(Owner::Own).await?;
        own.kept_or_fetched().await
    }

    async fn kept_or_fetched(&self) -> Result<Credentials, CredentialsError> {
        let mut kept = self.0.kept.lock().await;
        let kept = &mut kept.credentials;
        let now = Timestamp::now();
        let lasts = |kept: &Expiring, spare| kept.expires_at.is_none_or(|end| end > now + spare);
        if let Some(kept) = kept.as_ref().filter(|kept| lasts(kept, RENEWAL)) {
            return Ok(kept.credentials.clone());
        }
        let handed = self.handed();
        let means = Means {
            http: &self.0.http,
            handed: handed.as_ref(),
        };
        match self.0.source.fetch(means).await {
            Ok(fresh) => {
                // A clock may be wrong, and the service knows better.
                if let Some(end) = fresh.expires_at.filter(|end| *end <= now) {
                    warn!(
                        "the keys of {} ended at {}, unless this machine's clock is wrong; they \
                         are used all the same",
                        self.0.source.place(ENVIRONMENT),
                        crate::clock::iso_second(end)
                    );
                }
                Ok(kept.insert(fresh).credentials.clone())
            }
            Err(error) => match kept.as_ref().filter(|kept| lasts(kept, SPARE)) {
                Some(kept) => {
                    warn!("credentials that end soon are used once more: {error}");
                    Ok(kept.credentials.clone())
                }
                None => Err(error),
            },
        }
    }

    /// Takes what the host hands over with a request. Where a role is to be assumed, they are what
    /// assumes it, and its session goes on until its end.
    pub async fn put(&self, credentials: Credentials) {
        let fresh = Some(credentials);
        {
            let mut handed = self.0.handed.lock().unwrap_or_else(PoisonError::into_inner);
            if *handed == fresh {
                return;
            }
            *handed = fresh;
        }
        if self.0.source.is_handed() {
            self.0.kept.lock().await.credentials = None;
        }
    }

    /// Drops what the host handed over, where there is something else to take.
    fn drop_handed(&self, refused: &Credentials) -> bool {
        let mut handed = self.0.handed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_dropped = handed.as_ref() == Some(refused) && self.0.source.has_more_than_host();
        if is_dropped {
            *handed = None;
        }
        is_dropped
    }

    /// Drops what a service no longer takes. Whether the next request is signed with others: not
    /// where the source can only give the same ones, and not where these just came.
    pub async fn replace(&self, refused: &Credentials) -> bool {
        if self.source().needs_account() {
            // One of the accounts' providers gave them.
            let providers: Vec<_> = {
                let accounts = self.0.accounts.lock();
                let accounts = accounts.unwrap_or_else(PoisonError::into_inner);
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
            return true; // Another request has dropped them since.
        }
        if self.0.source.is_handed() && self.drop_handed(refused) {
            kept.credentials = None;
            return true;
        }
        let now = Timestamp::now();
        let just_came = |at: Timestamp| now.duration_since(at) < REPLACEMENT_PAUSE;
        if !self.0.source.is_renewable(self.handed().is_some())
            || kept.replaced_at.is_some_and(just_came)
        {
            return false;
        }
        *kept = Kept {
            credentials: None,
            replaced_at: Some(now),
        };
        true
    }
}

/// Accounts.
impl CredentialsProvider {
    /// The provider for this owner's instances: itself, unless the role's name holds `{account}`.
    ///
    /// # Errors
    /// [`CredentialsError`] when the role of an account is needed and the account is not known.
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
                    "ALIBABA_CLOUD_ROLE_ARN has {account} in it, and the event names no account";
                return Err(CredentialsError::Refused(text.to_owned()));
            }
        };
        let mut accounts = self.0.accounts.lock();
        let accounts = match &mut accounts {
            Ok(accounts) => &mut **accounts,
            Err(poisoned) => &mut **poisoned.get_mut(),
        };
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

    /// The account the credentials are of. Where each account has its own, that of what assumes
    /// their roles. STS is asked for it once, where nothing else says it.
    ///
    /// # Errors
    /// [`CredentialsError`] when it cannot be known.
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
            // The role's account is the one that is asked for, so the base's is the own.
            return self.beside((**base).clone()).account().await;
        }
        let Some(identity) = self
            .0
            .identity
            .as_ref()
            .filter(|_| !self.source().needs_account())
        else {
            let text = "nothing says which account is the own one; name it in \
                        ALIBABA_CLOUD_OIDC_PROVIDER_ARN, or name the instance's account in the event";
            return Err(CredentialsError::Refused(text.to_owned()));
        };
        let credentials = self.kept_or_fetched().await?;
        sts::caller_account(&self.0.http, &identity.sts, &credentials).await
    }
}

/// For the AWS SDK, which signs requests to buckets and queues.
impl ProvideCredentials for CredentialsProvider {
    fn provide_credentials<'a>(&'a self) -> provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let credentials = self.get().map(|credentials| match credentials {
            Ok(credentials) => Ok(super::for_aws(&credentials)),
            Err(error) => Err(AwsError::provider_error(error)),
        });
        provider::future::ProvideCredentials::new(credentials)
    }
}
