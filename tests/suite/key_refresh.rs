//! When an access key that a secrets manager keeps is read again: the real provider and a double of
//! Secrets Manager over real sockets, at times that the tests set.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ecs_console_archiver::clock::WallClock;
use ecs_console_archiver::credentials::source::Source;
use ecs_console_archiver::credentials::{CredentialsError, CredentialsProvider, ManagedSecret};
use ecs_console_archiver::http::{self, HttpOptions};
use ecs_console_archiver::model::credentials::{Credentials, Secret};
use ecs_console_archiver::secrets::SecretAddress;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::support::s3_server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use crate::support::secret_server::{Behaviour, SECRET_ARN, SecretServer};

const SECOND: Duration = Duration::from_secs(1);
/// As long as docs/credentials.md says that a value is used.
const KEPT: Duration = Duration::from_mins(5);
/// After a refresh that failed, or a key that was refused.
const PAUSE: Duration = Duration::from_mins(1);
const DOWN: Behaviour = Behaviour::Refuses(503, "ServiceUnavailable", "");
const DENIED: Behaviour = Behaviour::Refuses(400, "AccessDeniedException", "not authorized");

struct World {
    manager: SecretServer,
    keys: CredentialsProvider,
    /// How far the clock was set forward, in seconds.
    ahead_seconds: &'static AtomicI64,
}

/// A manager that keeps the key `id`, and a provider that has not asked for it yet.
async fn world(id: &str) -> World {
    let manager = SecretServer::start(&key(id)).await;
    let secret = ManagedSecret {
        address: SecretAddress {
            arn: SECRET_ARN.parse().unwrap(),
            endpoint: manager.url().parse().unwrap(),
        },
        reader: Source::Static(Credentials {
            access_key_id: ACCESS_KEY_ID.to_owned(),
            access_key_secret: Secret::new(SECRET_ACCESS_KEY),
            security_token: None,
        }),
    };
    let source = Source::Managed(Box::new(secret));
    let ahead_seconds: &AtomicI64 = Box::leak(Box::default());
    let clock = WallClock::Set {
        time: Timestamp::now(),
        instant: tokio::time::Instant::now(),
        ahead_seconds,
    };
    let keys = CredentialsProvider::timed(
        source,
        http::client(&HttpOptions::default()).unwrap(),
        clock,
    );
    World {
        manager,
        keys,
        ahead_seconds,
    }
}

impl World {
    /// The ID of the key that is used now.
    async fn used(&self) -> String {
        self.keys.get().await.unwrap().access_key_id
    }

    fn store(&self, id: &str) {
        self.manager.give(&key(id));
    }

    /// Sets the clock, as NTP and people do.
    fn set_clock(&self, ahead_seconds: i64) {
        self.ahead_seconds.store(ahead_seconds, Ordering::Relaxed);
    }
}

fn key(id: &str) -> String {
    json!({"access_key_id": id, "access_key_secret": "hush"}).to_string()
}

fn temporary_key(id: &str, lasts: SignedDuration) -> String {
    let end = (Timestamp::now() + lasts).strftime("%Y-%m-%dT%H:%M:%SZ");
    json!({
        "access_key_id": id, "access_key_secret": "hush", "security_token": "hush",
        "expiration": end.to_string(),
    })
    .to_string()
}

/// Nothing runs meanwhile. Afterwards the clock goes on, so that sockets have the time they need.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_rotated_key_is_used_within_five_minutes() {
    let world = world("first").await;
    assert_eq!(world.used().await, "first");
    world.store("second");
    pass(KEPT - 2 * SECOND).await;
    assert_eq!(
        (world.used().await.as_str(), world.manager.asked()),
        ("first", 1)
    );
    pass(2 * SECOND).await;
    assert_eq!(
        (world.used().await.as_str(), world.manager.asked()),
        ("second", 2)
    );
    // The next five minutes begin now.
    world.store("third");
    pass(KEPT - 2 * SECOND).await;
    assert_eq!(
        (world.used().await.as_str(), world.manager.asked()),
        ("second", 2)
    );
    pass(2 * SECOND).await;
    assert_eq!(
        (world.used().await.as_str(), world.manager.asked()),
        ("third", 3)
    );
}

#[tokio::test]
async fn a_refused_key_is_replaced_at_once_and_once_a_minute() {
    let world = world("first").await;
    let first = world.keys.get().await.unwrap();
    world.store("second");
    assert!(world.keys.replace(&first).await);
    let second = world.keys.get().await.unwrap();
    assert_eq!(
        (second.access_key_id.as_str(), world.manager.asked()),
        ("second", 2)
    );
    // Of two requests that the first key was refused to, the later one finds the new key.
    assert!(world.keys.replace(&first).await);
    assert_eq!(
        (world.used().await.as_str(), world.manager.asked()),
        ("second", 2)
    );
    // One that is refused just after it was stored is no rotation.
    world.store("third");
    pass(PAUSE - 2 * SECOND).await;
    assert!(!world.keys.replace(&second).await);
    assert_eq!(
        (world.used().await.as_str(), world.manager.asked()),
        ("second", 2)
    );
    pass(2 * SECOND).await;
    assert!(world.keys.replace(&second).await);
    assert_eq!(
        (world.used().await.as_str(), world.manager.asked()),
        ("third", 3)
    );
}

#[tokio::test]
async fn a_key_that_is_refused_is_not_used_again_while_the_manager_is_down() {
    let world = world("first").await;
    let first = world.keys.get().await.unwrap();
    world.manager.set(DOWN);
    assert!(world.keys.replace(&first).await);
    let error = world.keys.get().await.unwrap_err();
    assert!(matches!(error, CredentialsError::Unavailable(_)), "{error}");
    world.store("second");
    assert_eq!(world.used().await, "second");
}

#[tokio::test]
async fn a_failed_refresh_keeps_the_key_and_is_tried_again_a_minute_later() {
    for trouble in [DOWN, DENIED, Behaviour::Gives("hush".to_owned())] {
        let world = world("first").await;
        assert_eq!(world.used().await, "first");
        world.manager.set(trouble.clone());
        pass(KEPT).await;
        for asked in 2..5 {
            let state = (world.used().await, world.manager.asked());
            assert_eq!(state, ("first".to_owned(), asked), "{trouble:?}");
            pass(PAUSE - 2 * SECOND).await;
            let state = (world.used().await, world.manager.asked());
            assert_eq!(state, ("first".to_owned(), asked), "{trouble:?}");
            pass(2 * SECOND).await;
        }
        world.store("second");
        let state = (world.used().await, world.manager.asked());
        assert_eq!(state, ("second".to_owned(), 5), "{trouble:?}");
        // After a success it is kept as long as always.
        world.store("third");
        pass(KEPT - 2 * SECOND).await;
        assert_eq!(world.used().await, "second", "{trouble:?}");
        pass(2 * SECOND).await;
        assert_eq!(world.used().await, "third", "{trouble:?}");
    }
}

#[tokio::test]
async fn a_temporary_key_is_kept_through_an_outage_until_it_ends() {
    let world = world("first").await;
    let lasts = SignedDuration::from_mins(20);
    world.manager.give(&temporary_key("first", lasts));
    assert_eq!(world.used().await, "first");
    world.manager.set(DOWN);
    for _ in 0..3 {
        pass(KEPT).await;
        assert_eq!(world.used().await, "first");
    }
    pass(KEPT).await;
    let error = world.keys.get().await.unwrap_err();
    assert!(matches!(error, CredentialsError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_manager_that_hangs_holds_a_request_for_two_seconds() {
    let world = world("first").await;
    assert_eq!(world.used().await, "first");
    world.manager.set(Behaviour::Hangs);
    pass(KEPT).await;
    // From here on the clock runs ahead to whatever is waited for.
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    assert_eq!(world.used().await, "first");
    let waited = before.elapsed();
    assert!(waited >= 2 * SECOND && waited < 3 * SECOND, "{waited:?}");
    // The next request does not wait.
    let before = tokio::time::Instant::now();
    assert_eq!(world.used().await, "first");
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn requests_at_the_same_time_read_the_key_once() {
    let world = world("first").await;
    let twenty = || join_all((0..20).map(|_| world.used()));
    assert!(twenty().await.iter().all(|id| id == "first"));
    assert_eq!(world.manager.asked(), 1);
    world.store("second");
    pass(KEPT).await;
    assert!(twenty().await.iter().all(|id| id == "second"));
    assert_eq!(world.manager.asked(), 2);
    world.manager.set(DOWN);
    pass(KEPT).await;
    assert!(twenty().await.iter().all(|id| id == "second"));
    assert_eq!(world.manager.asked(), 3);
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_no_key_for_longer() {
    let world = world("first").await;
    assert_eq!(world.used().await, "first");
    world.store("second");
    world.set_clock(-86_400);
    assert_eq!(world.used().await, "second");
    // The next five minutes begin now.
    world.store("third");
    pass(KEPT - 2 * SECOND).await;
    assert_eq!(world.used().await, "second");
    pass(2 * SECOND).await;
    assert_eq!(world.used().await, "third");
}

#[tokio::test]
async fn after_a_clock_was_set_back_a_refused_key_is_replaced() {
    let world = world("first").await;
    let first = world.keys.get().await.unwrap();
    world.store("second");
    assert!(world.keys.replace(&first).await);
    let second = world.keys.get().await.unwrap();
    world.store("third");
    world.set_clock(-86_400);
    assert!(world.keys.replace(&second).await);
    assert_eq!(world.used().await, "third");
}
