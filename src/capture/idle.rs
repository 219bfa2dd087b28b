//! Work for the time in which a service is waited for.

/// How often other tasks run before the work begins. A request passes through a few tasks before it is on
/// its way: the one that asks, the connection's, and at first the one that opened the connection.
const TURNS: usize = 4;

/// Waits for an answer, and does this work, if there is any, as soon as the question is on its way. The work
/// must be short, because it holds up the thread.
///
/// An answer that comes at once gains nothing by it, and loses nothing: the work is done either way.
pub async fn meanwhile<F: Future, T>(
    answer: F,
    work: Option<impl FnOnce() -> T>,
) -> (F::Output, Option<T>) {
    let work = async {
        let work = work?;
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        Some(work())
    };
    tokio::join!(answer, work)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn the_work_is_done_while_the_service_has_the_question() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (worked, done) = tokio::sync::oneshot::channel();
        let service = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let question = stream.read_u8().await.unwrap();
            done.await.unwrap();
            stream.write_u8(question + 1).await.unwrap();
        };
        let asked = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_u8(1).await.unwrap();
            stream.read_u8().await.unwrap()
        };
        let work = || worked.send(()).unwrap();
        let ((answer, worked), ()) = tokio::join!(meanwhile(asked, Some(work)), service);
        assert_eq!((answer, worked), (2, Some(())));
    }

    #[tokio::test]
    async fn the_work_is_done_behind_an_answer_that_comes_at_once() {
        assert_eq!(meanwhile(async { 1 }, Some(|| 2)).await, (1, Some(2)));
    }

    /// Each turn looks for answers of all services, which takes a system call.
    #[tokio::test]
    async fn an_answer_is_not_waited_for_in_turns_if_there_is_no_work() {
        let answer = pin!(meanwhile(async { 1 }, None::<fn() -> i32>));
        assert_eq!(answer.now_or_never(), Some((1, None)));
    }
}
