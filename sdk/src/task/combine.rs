//! Several futures as one.

use core::pin::Pin;
use core::task::{Context, Poll};

use alloc::boxed::Box;

/// The value of the future that was first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Either<A, B> {
    /// Of the first argument.
    Left(A),
    /// Of the second.
    Right(B),
}

/// See [`select`].
#[derive(Debug)]
pub struct Select<A, B> {
    left: Pin<Box<A>>,
    right: Pin<Box<B>>,
}

/// Waits for either of two futures; the other is dropped with this one. When both are ready, the first
/// argument's value counts.
///
/// ```no_run
/// use sos_sdk::task::{Either, net::TcpListener, select};
///
/// # async fn example(plain: TcpListener, other: TcpListener) -> sos_sdk::Result<()> {
/// match select(plain.accept(), other.accept()).await {
///     Either::Left(accepted) => sos_sdk::info!("plain: {}", accepted?.1),
///     Either::Right(accepted) => sos_sdk::info!("other: {}", accepted?.1),
/// }
/// # Ok(())
/// # }
/// ```
pub fn select<A: Future, B: Future>(left: A, right: B) -> Select<A, B> {
    Select {
        left: Box::pin(left),
        right: Box::pin(right),
    }
}

impl<A: Future, B: Future> Future for Select<A, B> {
    type Output = Either<A::Output, B::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(value) = self.left.as_mut().poll(context) {
            return Poll::Ready(Either::Left(value));
        }
        self.right.as_mut().poll(context).map(Either::Right)
    }
}

/// See [`join`].
pub struct Join<A: Future, B: Future> {
    left: Half<A>,
    right: Half<B>,
}

enum Half<F: Future> {
    Pending(Pin<Box<F>>),
    Done(Option<F::Output>),
}

// What a half holds lies in boxes or was moved out of them: nothing is pinned in place.
impl<F: Future> Unpin for Half<F> {}

impl<F: Future> Half<F> {
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        if let Half::Pending(future) = self
            && let Poll::Ready(value) = future.as_mut().poll(context)
        {
            *self = Half::Done(Some(value));
        }
        matches!(self, Half::Done(_))
    }

    fn take(&mut self) -> Option<F::Output> {
        match self {
            Half::Pending(_) => None,
            Half::Done(value) => value.take(),
        }
    }
}

/// Waits for both of two futures.
pub fn join<A: Future, B: Future>(left: A, right: B) -> Join<A, B> {
    Join {
        left: Half::Pending(Box::pin(left)),
        right: Half::Pending(Box::pin(right)),
    }
}

impl<A: Future, B: Future> Future for Join<A, B> {
    type Output = (A::Output, B::Output);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let is_left_done = this.left.poll(context);
        if !this.right.poll(context) || !is_left_done {
            return Poll::Pending;
        }
        match (this.left.take(), this.right.take()) {
            (Some(left), Some(right)) => Poll::Ready((left, right)),
            _ => panic!("a `join` was polled after its end"),
        }
    }
}

/// See [`yield_now`].
#[derive(Debug)]
pub struct YieldNow {
    has_yielded: bool,
}

/// Lets the other tasks that are ready run first.
pub fn yield_now() -> YieldNow {
    YieldNow { has_yielded: false }
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if core::mem::replace(&mut self.has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
