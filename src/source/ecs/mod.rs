//! The ECS API. Only this file sends requests. Its modules compute.

mod console_text;
pub mod endpoint;
mod members;
pub mod response;

use crate::alibaba::nonce;
use crate::alibaba::request::{RpcCall, SigningContext, sign};
use crate::alibaba::signature::SignatureVersion;
use crate::clock::{Clock, http_date};
use crate::http::early;
use std::borrow::Cow;

use crate::credentials::source::Source;
use crate::credentials::{CredentialsProvider, Owner};
use crate::model::console::ConsoleOutput;
use crate::model::credentials::Credentials;
use crate::model::ids::{AccountId, InstanceId, RegionId};
use crate::model::screenshot::Screenshot;
use crate::source::{ConsoleSource, Fleet, InstancesPage};
use endpoint::EcsEndpoint;
use response::codes::{self, TIME_EXPIRED, TIME_ILLEGAL, TOKEN_EXPIRED};
use response::{AnswerHead, EcsError};

/// Most bytes that are read of an answer. ECS documents no limit for a console. Other clouds keep
/// 64 KiB to 1 MiB.
pub const MAX_ANSWER_BYTES: usize = 8 << 20;

/// Most bytes that are read of an error answer.
const MAX_ERROR_BYTES: usize = 256 << 10;

/// Client of the ECS API.
#[derive(Debug, Clone)]
pub struct EcsClient {
    /// Sends the requests.
    pub http: reqwest::Client,
    /// Where the requests go.
    pub endpoint: EcsEndpoint,
    /// The signature scheme.
    pub signature_version: SignatureVersion,
    /// The credentials that sign the requests.
    pub credentials: CredentialsProvider,
    /// The time of the signatures. ECS's answers correct it by their `Date`.
    pub clock: Clock,
}

impl ConsoleSource for EcsClient {
    async fn console_output(
        &self,
        owner: Owner<'_>,
        region_id: &RegionId,
        instance_id: &InstanceId,
    ) -> Result<ConsoleOutput, EcsError> {
        let call = RpcCall::get_instance_console_output(region_id, instance_id);
        let answer = self.call(&call, owner, region_id, response::console_output);
        match (answer.await, owner) {
            (Err(error), Owner::Account(account_id)) if error.is_not_found() => {
                self.check_account(account_id).await?;
                Err(error)
            }
            (answer, _) => answer,
        }
    }

    async fn screenshot(
        &self,
        owner: Owner<'_>,
        region_id: &RegionId,
        instance_id: &InstanceId,
        wakes_up: bool,
    ) -> Result<Screenshot, EcsError> {
        let call = RpcCall::get_instance_screenshot(region_id, instance_id, wakes_up);
        self.call(&call, owner, region_id, response::screenshot)
            .await
    }
}

impl Fleet for EcsClient {
    async fn regions(&self, asked_in: &RegionId) -> Result<Vec<RegionId>, EcsError> {
        let call = RpcCall::describe_regions();
        self.call(&call, Owner::Own, asked_in, response::regions)
            .await
    }

    async fn instances(
        &self,
        region_id: &RegionId,
        next_token: Option<&str>,
    ) -> Result<InstancesPage, EcsError> {
        let call = RpcCall::describe_instances(region_id, next_token);
        self.call(&call, Owner::Own, region_id, response::instances)
            .await
    }
}

impl EcsClient {
    /// Checks whether the credentials belong to the account that an event names. With credentials
    /// of another account, ECS does not find an instance that exists.
    async fn check_account(&self, account_id: &AccountId) -> Result<(), EcsError> {
        if self.credentials.source().needs_account() {
            return Ok(()); // The credentials are of a role in the event's account.
        }
        match self.credentials.account().await {
            Ok(own) if own == *account_id => Ok(()),
            Ok(own) => Err(EcsError::OtherAccount {
                account_id: account_id.clone(),
                own,
            }),
            Err(cause) => Err(EcsError::UnknownAccount {
                account_id: account_id.clone(),
                cause,
            }),
        }
    }

    /// Makes one attempt, and reads its answer.
    async fn call<T>(
        &self,
        call: &RpcCall,
        owner: Owner<'_>,
        region_id: &RegionId,
        read: fn(AnswerHead, &[u8]) -> Result<T, EcsError>,
    ) -> Result<T, EcsError> {
        let provider = self.credentials.of(owner).await?;
        let credentials = provider.get().await?;
        let (head, body) = self.send(call, region_id, &credentials).await?;
        let error = match read(head, &body) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        // The next attempt uses the time of ECS's clock, or fresh credentials.
        Err(match (error, head.date) {
            (EcsError::StaleSignature { code, request_id }, date) => {
                match (code.as_str(), date) {
                    (TIME_EXPIRED | TIME_ILLEGAL, Some(date)) => self.clock.set(date),
                    (TOKEN_EXPIRED, _) => drop(provider.replace(&credentials).await),
                    _ => {}
                }
                EcsError::StaleSignature { code, request_id }
            }
            (
                EcsError::Denied {
                    code, request_id, ..
                },
                _,
            ) if codes::refuses_the_key(&code) && provider.replace(&credentials).await => {
                EcsError::StaleSignature { code, request_id }
            }
            // The advice names the settings if the key is in them. Otherwise it names the place
            // that the key comes from.
            (
                EcsError::Denied {
                    code,
                    request_id,
                    advice,
                },
                _,
            ) => {
                let place = match provider.source() {
                    Source::Static(_) => None,
                    source => codes::key_advice(&code, &source.place("")),
                };
                EcsError::Denied {
                    code,
                    request_id,
                    advice: place.map_or(advice, Cow::Owned),
                }
            }
            (error, _) => error,
        })
    }

    /// Sends one attempt, with its own time and nonce.
    async fn send(
        &self,
        call: &RpcCall,
        region_id: &RegionId,
        credentials: &Credentials,
    ) -> Result<(AnswerHead, Vec<u8>), EcsError> {
        let endpoint = self
            .endpoint
            .url(region_id)
            .map_err(|error| EcsError::Transport(error.to_string()))?;
        let context = SigningContext {
            now: self.clock.now(),
            nonce: nonce().map_err(|error| EcsError::Transport(format!("no nonce: {error}")))?,
        };
        let signed = sign(
            call,
            &endpoint,
            self.signature_version,
            credentials,
            &context,
        );
        let mut request = self.http.post(signed.url).header("content-length", "0");
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        let host = endpoint.authority().to_owned(); // No template has a user in it.
        let transport = |error| transport(error, &host);
        let sent = early::to(endpoint, request.send()).await;
        let mut response = sent.map_err(transport)?;
        let header = |name| response.headers().get(name)?.to_str().ok();
        let head = AnswerHead {
            status: response.status().as_u16(),
            retry_after_ms: header("x-acs-retry-after").and_then(|ms| ms.parse().ok()),
            date: header("date").and_then(http_date),
        };
        self.clock.note(head.date);
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(transport)? {
            // An error answer has its code at the start, so the rest of a long page is not needed.
            let is_error = head.status != 200;
            if is_error && body.len() >= MAX_ERROR_BYTES {
                break;
            }
            if body.len() + piece.len() > MAX_ANSWER_BYTES {
                return Err(EcsError::TooLong);
            }
            body.extend_from_slice(&piece);
        }
        Ok((head, body))
    }
}

/// Describes a failure with the host alone: the address may contain a token.
fn transport(error: reqwest::Error, host: &str) -> EcsError {
    let kind = if error.is_timeout() {
        "timed out: "
    } else {
        ""
    };
    let cause = crate::http::cause(error);
    EcsError::Transport(format!("{kind}{cause} (asked {host})"))
}
