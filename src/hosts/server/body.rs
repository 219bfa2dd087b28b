//! Bodies of requests: how much of each is read and for how long, and how much of all is held in
//! memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::line::{Line, Place};

/// Most bytes of bodies of all unknown senders together, from their arrival to the answer.
pub(super) const MAX_HELD_BYTES: usize = 16 << 20;
/// Most senders of bodies at the same time.
const MAX_SENDERS: usize = 256;
/// After a rejected request is answered, the rest of its body is read and discarded for a while. If
/// the connection were closed with unread bytes, the sender might lose the answer. Other servers
/// call this "lingering close".
const DRAIN_TIME: Duration = Duration::from_secs(5);
const MAX_DRAINED_BYTES: usize = 16 << 20;
const MAX_DRAINS: usize = 128;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than the limit.
    TooLarge,
    /// It took longer than the limit.
    TooSlow,
    /// The connection ended before the body did.
    CutOff,
    /// The bodies of other requests use all the memory.
    NoRoom,
}

/// The body of a request. It counts towards the limit until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

/// Reads bodies of unknown senders.
pub(super) struct Bodies {
    room: Arc<Semaphore>,
    senders: Arc<Line>,
    drains: Arc<Semaphore>,
}

impl Bodies {
    pub(super) fn new() -> Self {
        Self::with_room(MAX_HELD_BYTES)
    }

    fn with_room(bytes: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(bytes)),
            senders: Line::new(MAX_SENDERS),
            drains: Arc::new(Semaphore::new(MAX_DRAINS)),
        }
    }

    /// Reads a body of at most `limit` bytes. Each piece counts when it arrives, whatever
    /// `content-length` says. If there is no room, the sender that has been sending for the longest
    /// time is disconnected. `cut_off` disconnects this one.
    ///
    /// # Errors
    /// [`Unread`] says why the body was not read.
    pub(super) async fn read<B>(
        &self,
        body: B,
        limit: usize,
        time: Duration,
        cut_off: &CancellationToken,
    ) -> Result<Held, Unread>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let place = self.senders.join(cut_off);
        let reading = read(body, limit, Some((self, &place)));
        let read = tokio::time::timeout(time, reading).await;
        read.map_err(|_| Unread::TooSlow)?
    }

    async fn reserve(&self, place: &Place, bytes: usize) -> Result<OwnedSemaphorePermit, Unread> {
        let count = u32::try_from(bytes).map_err(|_| Unread::TooLarge)?;
        loop {
            if let Ok(room) = self.room.clone().try_acquire_many_owned(count) {
                return Ok(room);
            }
            if !place.cut_off_an_older() {
                return Err(Unread::NoRoom);
            }
            // The other task frees its memory when it runs next.
            tokio::task::yield_now().await;
        }
    }

    /// Reads and discards the rest of a rejected request.
    pub(super) fn drain<B>(&self, body: B)
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        let Ok(permit) = self.drains.clone().try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            let drained = read_and_forget(body, MAX_DRAINED_BYTES);
            let _ = tokio::time::timeout(DRAIN_TIME, drained).await;
            drop(permit);
        });
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self, of: usize) -> usize {
        of - self.room.available_permits()
    }
}

/// Reads a body that the platform itself sends.
///
/// # Errors
/// [`Unread`] says why the body was not read.
pub(super) async fn read_trusted<B>(
    body: B,
    limit: usize,
    time: Duration,
) -> Result<Vec<u8>, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    let read = tokio::time::timeout(time, read(body, limit, None)).await;
    Ok(read.map_err(|_| Unread::TooSlow)??.bytes)
}

/// `counted`: where the bytes count, and the sender's place in the line.
async fn read<B>(
    mut body: B,
    limit: usize,
    counted: Option<(&Bodies, &Place)>,
) -> Result<Held, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    let claimed = body.size_hint().lower();
    if usize::try_from(claimed).is_ok_and(|claimed| claimed > limit) {
        return Err(Unread::TooLarge);
    }
    let (mut bytes, mut room) = (Vec::new(), None::<OwnedSemaphorePermit>);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Unread::CutOff)?;
        let Ok(piece) = frame.into_data() else {
            continue; // Trailers are ignored.
        };
        if bytes.len() + piece.len() > limit {
            return Err(Unread::TooLarge);
        }
        if let Some((bodies, place)) = counted {
            let more = bodies.reserve(place, piece.len()).await?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Held { bytes, _room: room })
}

async fn read_and_forget<B: Body<Data = Bytes> + Unpin>(mut body: B, mut most: usize) {
    while let Some(Ok(frame)) = body.frame().await {
        let piece = frame.into_data().unwrap_or_default();
        most = most.saturating_sub(piece.remaining());
        if most == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    const TIME: Duration = Duration::from_secs(10);
    const MIB: usize = 1 << 20;

    fn pieces(
        sizes: impl IntoIterator<Item = usize>,
    ) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
        stream::iter(sizes.into_iter().collect::<Vec<_>>())
            .map(|size| Ok(Frame::data(Bytes::from(vec![b'a'; size]))))
    }

    fn forever() -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
        stream::pending()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_to_its_limit_whatever_length_it_claims() {
        let bodies = Bodies::new();
        let token = CancellationToken::new();
        for (sizes, read) in [
            (vec![], Ok(0)),
            (vec![MIB], Ok(MIB)),
            (vec![MIB - 1, 1], Ok(MIB)),
            (vec![MIB, 1], Err(Unread::TooLarge)),
            (vec![MIB + 1], Err(Unread::TooLarge)),
        ] {
            let body = StreamBody::new(pieces(sizes));
            let held = bodies.read(body, MIB, TIME, &token).await;
            assert_eq!(held.map(|held| held.bytes.len()), read);
            assert_eq!(bodies.held_bytes(MAX_HELD_BYTES), 0);
        }
        let slow = StreamBody::new(pieces([9]).chain(forever()));
        let held = bodies.read(slow, MIB, TIME, &token).await;
        assert_eq!(held.map(|held| held.bytes), Err(Unread::TooSlow));
        let claims = http_body_util::Full::new(Bytes::from(vec![0; MIB + 1]));
        let held = bodies.read(claims, MIB, TIME, &token).await;
        assert_eq!(held.map(|held| held.bytes), Err(Unread::TooLarge));
    }

    /// An endless body. It counts how much of it was read.
    #[tokio::test]
    async fn of_an_endless_body_little_more_than_the_limit_is_taken() {
        let taken = std::cell::Cell::new(0);
        let endless = stream::repeat_with(|| {
            taken.set(taken.get() + 4096);
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'a'; 4096])))
        });
        let body = StreamBody::new(endless);
        let held = Bodies::new()
            .read(body, MIB, TIME, &CancellationToken::new())
            .await;
        assert_eq!(held.map(|held| held.bytes), Err(Unread::TooLarge));
        assert_eq!(taken.get(), MIB + 4096);
    }

    #[tokio::test]
    async fn bytes_are_counted_until_the_request_is_answered() {
        let bodies = Bodies::new();
        let body = StreamBody::new(pieces([700, 300]));
        let token = CancellationToken::new();
        let held = bodies.read(body, MIB, TIME, &token).await.unwrap();
        assert_eq!(bodies.held_bytes(MAX_HELD_BYTES), 1000);
        drop(held);
        assert_eq!(bodies.held_bytes(MAX_HELD_BYTES), 0);
    }

    /// Sixty-four senders each send a megabyte without its last byte, and then nothing.
    #[tokio::test(start_paused = true)]
    async fn slow_senders_hold_no_more_than_the_bound_and_good_ones_get_through() {
        const ROOM: usize = 4 * MIB;
        let bodies = Arc::new(Bodies::with_room(ROOM));
        let mut tokens = Vec::new();
        let mut tasks = Vec::new();
        for _ in 0..64 {
            let (shared, token) = (bodies.clone(), CancellationToken::new());
            tokens.push(token.clone());
            tasks.push(tokio::spawn(async move {
                let body = StreamBody::new(pieces([4096; 255]).chain(forever()).boxed());
                // The connection does the same.
                tokio::select! {
                    _ = shared.read(body, MIB, TIME, &token) => {}
                    () = token.cancelled() => {}
                }
            }));
            tokio::task::yield_now().await;
            assert!(bodies.held_bytes(ROOM) <= ROOM);
        }
        let token = CancellationToken::new();
        for _ in 0..100 {
            let good = StreamBody::new(pieces([MIB]));
            let held = bodies.read(good, MIB, TIME, &token).await.unwrap();
            assert!(bodies.held_bytes(ROOM) <= ROOM);
            drop(held);
        }
        assert!(!token.is_cancelled());
        // Only the oldest senders were disconnected, and only as many as needed.
        let cut_off: Vec<_> = tokens.iter().map(CancellationToken::is_cancelled).collect();
        assert!(cut_off.is_sorted_by(|one, next| one >= next), "{cut_off:?}");
        assert!(cut_off.contains(&false));
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(bodies.held_bytes(ROOM), 0);
    }

    #[tokio::test]
    async fn what_is_being_served_is_not_cut_off_for_who_comes_later() {
        let bodies = Bodies::with_room(MIB);
        let token = CancellationToken::new();
        let serve = |size| bodies.read(StreamBody::new(pieces([size])), MIB, TIME, &token);
        let held = serve(MIB).await.unwrap();
        let refused = serve(1).await.map(|held| held.bytes);
        assert_eq!(refused, Err(Unread::NoRoom));
        assert!(!token.is_cancelled());
        drop(held);
        assert!(serve(1).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_is_drained_is_forgotten() {
        let bodies = Bodies::new();
        bodies.drain(StreamBody::new(pieces([4096; 1024]).boxed()));
        assert_eq!(bodies.held_bytes(MAX_HELD_BYTES), 0);
        let endless = StreamBody::new(stream::repeat_with(|| {
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'a'; 4096])))
        }));
        // The drain ends.
        assert!(read_and_forget(endless, MIB).now_or_never().is_some());
    }
}
