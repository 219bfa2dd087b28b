//! A stream that fails if its other end takes nothing for long: whoever asks and never reads would hold a place for
//! good.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

pub struct WriteWithin<S> {
    stream: S,
    within: Duration,
    /// Runs while bytes wait.
    late: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteWithin<S> {
    pub fn new(stream: S, within: Duration) -> Self {
        Self {
            stream,
            within,
            late: None,
        }
    }

    fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.late = None;
            return written;
        }
        let within = self.within;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(late.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteWithin<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteWithin<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watched(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watched(context, ended)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const WITHIN: Duration = Duration::from_secs(30);

    /// Time goes on by itself where all wait.
    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_is_not_waited_for() {
        let (stream, mut other) = tokio::io::duplex(16);
        let mut stream = WriteWithin::new(stream, WITHIN);
        let failed = stream.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        drop(stream);
        let mut taken = Vec::new();
        other.read_to_end(&mut taken).await.unwrap();
        assert_eq!(taken.len(), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_a_little_now_and_then_is() {
        let (stream, mut other) = tokio::io::duplex(16);
        let mut stream = WriteWithin::new(stream, WITHIN);
        let taken = tokio::spawn(async move {
            let (mut all, mut part) = (0, [0; 8]);
            while all < 100 {
                sleep(WITHIN - Duration::from_secs(1)).await;
                all += other.read(&mut part).await.unwrap();
            }
            all
        });
        stream.write_all(&[0; 100]).await.unwrap();
        drop(stream);
        assert_eq!(taken.await.unwrap(), 100);
    }
}
