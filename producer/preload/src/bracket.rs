//! What a thread is in the midst of, for as long as one call of tt-metal lasts.

use std::cell::RefCell;
use std::thread::LocalKey;

/// Where a thread keeps what it is in.
pub(crate) type Place<T> = LocalKey<RefCell<Option<T>>>;

/// Puts back what the thread was in before, also when the bracketed call throws.
pub(crate) struct Bracket<T: 'static> {
    place: &'static Place<T>,
    before: Option<T>,
}

impl<T> Bracket<T> {
    pub(crate) fn enter(place: &'static Place<T>, now: T) -> Self {
        Self { place, before: swap(place, Some(now)) }
    }

    /// The call has returned: what it was in until then. The thread is in nothing until the bracket goes.
    pub(crate) fn done(&self) -> Option<T> {
        swap(self.place, None)
    }
}

impl<T> Drop for Bracket<T> {
    fn drop(&mut self) {
        swap(self.place, self.before.take());
    }
}

fn swap<T>(place: &'static Place<T>, now: Option<T>) -> Option<T> {
    let swap =
        |cell: &RefCell<Option<T>>| cell.try_borrow_mut().ok().and_then(|mut cell| std::mem::replace(&mut *cell, now));
    place.try_with(swap).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static IN: RefCell<Option<u32>> = const { RefCell::new(None) };
    }

    #[test]
    fn what_was_before_is_so_again_also_when_the_call_unwinds() {
        let now = || IN.with_borrow(|now| *now);
        let outer = Bracket::enter(&IN, 1);
        let thrown = std::panic::catch_unwind(|| {
            let inner = Bracket::enter(&IN, 2);
            assert_eq!((now(), inner.done(), now()), (Some(2), Some(2), None));
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(thrown.is_err());
        assert_eq!(now(), Some(1));
        drop(outer);
        assert_eq!(now(), None);
    }
}
