//! Work beside the screen: what takes longer than a frame, or waits for a disk, is done by a thread of its own, and taken when it is there.

use std::fmt;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

/// What is made of so many things takes a millisecond or two: it is made at once, so that a key is answered in the next frame.
pub const AT_ONCE: usize = 10_000;

/// `None`: nobody waits for an answer.
type Task<A> = Box<dyn FnOnce() -> Option<A> + Send>;

/// Whoever made it has panicked: there will be no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// One task at a time, and the one that comes after it. Each has a key: of what it is.
pub struct Beside<A, K = ()> {
    /// Of the thread, which is begun with the first task.
    name: &'static str,
    thread: Option<(Sender<Task<A>>, Receiver<A>)>,
    /// Of what is under way, or whose answer is not taken yet.
    under_way: Option<K>,
    next: Option<(K, Task<A>)>,
    /// Of what was asked last, as long as its answer is awaited.
    wanted: Option<K>,
    /// What was done here, where no thread was to be had.
    done: Option<A>,
}

impl<A, K> fmt::Debug for Beside<A, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.name)
            .field("busy", &self.under_way.is_some())
            .field("next", &self.next.is_some())
            .finish_non_exhaustive()
    }
}

impl<A: Send + 'static, K: Copy + PartialEq> Beside<A, K> {
    /// With a thread of this name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, thread: None, under_way: None, next: None, wanted: None, done: None }
    }

    /// Whether something is under way, or its answer not taken yet; wanted or not.
    pub const fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether an answer that is wanted is still to come.
    pub const fn is_awaited(&self) -> bool {
        self.wanted.is_some()
    }

    /// Asks for this. While something else is under way it comes after that, in place of what was to come after it.
    pub fn ask(&mut self, key: K, task: impl FnOnce() -> A + Send + 'static) {
        let task: Task<A> = Box::new(move || Some(task()));
        self.wanted = Some(key);
        if self.is_busy() {
            self.put_off(Some((key, task)));
        } else {
            self.begin(key, task);
        }
    }

    /// What was asked is not wanted any more.
    pub fn forget(&mut self) {
        self.wanted = None;
        self.put_off(None);
    }

    /// What was to come next holds what it would have been made of: that may be the last that does.
    fn put_off(&mut self, next: Option<(K, Task<A>)>) {
        if let Some((_, old)) = std::mem::replace(&mut self.next, next) {
            self.discard(old);
        }
    }

    fn begin(&mut self, key: K, task: Task<A>) {
        self.under_way = Some(key);
        if self.thread.is_none() {
            self.thread = start(self.name);
        }
        let refused = match &self.thread {
            Some((tasks, _)) => tasks.send(task).err().map(|refused| refused.0),
            None => Some(task),
        };
        if let Some(task) = refused {
            (self.thread, self.done) = (None, task());
        }
    }

    /// The answer, if it is there and still wanted.
    pub fn heard(&mut self) -> Option<Result<A, Broken>> {
        if !self.is_busy() {
            return None;
        }
        let answer = match (self.done.take(), &self.thread) {
            (Some(done), _) => Ok(done),
            (None, Some((_, answers))) => answers.try_recv(),
            (None, None) => Err(TryRecvError::Disconnected),
        };
        match answer {
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => self.settle(Err(Broken)),
            Ok(answer) => self.settle(Ok(answer)),
        }
    }

    /// What came; of the same that is asked anew an answer counts, and that there is none does not.
    fn settle(&mut self, answer: Result<A, Broken>) -> Option<Result<A, Broken>> {
        let key = self.under_way.take();
        if answer.is_err() {
            self.thread = None;
        }
        if let Some((key, next)) = self.next.take() {
            self.begin(key, next);
        }
        let is_wanted = key.is_some() && key == self.wanted;
        if !self.is_busy() {
            self.wanted = None;
        }
        match answer {
            Ok(answer) if !is_wanted => {
                self.discard(answer);
                None
            }
            Err(Broken) if !is_wanted || self.is_busy() => None,
            answer => Some(answer),
        }
    }

    /// Lets go of something large: to give a hundred megabytes back takes longer than a frame, too.
    pub fn discard(&self, old: impl Send + 'static) {
        if let Some((tasks, _)) = &self.thread {
            let _gone = tasks.send(Box::new(move || {
                drop(old);
                None
            }));
        }
    }
}

/// `None`: the system has no thread to give.
fn start<A: Send + 'static>(name: &str) -> Option<(Sender<Task<A>>, Receiver<A>)> {
    let (tasks, asked) = channel::<Task<A>>();
    let (answer, answers) = channel();
    let work = move || {
        for answered in asked.into_iter().filter_map(|task| task()) {
            // Nobody asks any more.
            if answer.send(answered).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(work).ok().map(|_| (tasks, answers))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use std::thread::ThreadId;
    use std::time::{Duration, Instant};

    const PATIENCE: Duration = Duration::from_secs(20);

    /// The next answer that is wanted; none once nothing is under way.
    fn wait<A: Send + 'static, K: Copy + PartialEq>(beside: &mut Beside<A, K>) -> Option<Result<A, Broken>> {
        let until = Instant::now() + PATIENCE;
        while beside.is_busy() {
            if let Some(heard) = beside.heard() {
                return Some(heard);
            }
            assert!(Instant::now() < until, "no answer");
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    /// A task that ends when this is dropped.
    fn held<A: Send + 'static, K: Copy + PartialEq>(beside: &mut Beside<A, K>, key: K, answer: A) -> Sender<()> {
        let (go, gate) = channel::<()>();
        beside.ask(key, move || {
            let _ended = gate.recv();
            answer
        });
        go
    }

    #[test]
    fn of_what_is_asked_meanwhile_the_last_counts() {
        let mut beside = Beside::new("test");
        let go = held(&mut beside, (), 1);
        assert!(beside.is_busy() && beside.heard().is_none());
        beside.ask((), || 2);
        beside.ask((), || 3);
        drop(go);
        assert_eq!(wait(&mut beside), Some(Ok(1)));
        assert!(beside.is_busy() && beside.is_awaited());
        assert_eq!(wait(&mut beside), Some(Ok(3)));
        assert!(!beside.is_busy() && !beside.is_awaited() && beside.heard().is_none());
    }

    #[test]
    fn what_is_not_wanted_any_more_is_not_heard_of() {
        let mut beside = Beside::new("test");
        let go = held(&mut beside, 'a', 1);
        beside.ask('b', || 2);
        drop(go);
        assert_eq!(wait(&mut beside), Some(Ok(2)), "another key is another thing");
        let go = held(&mut beside, 'a', 3);
        beside.ask('b', || 4);
        beside.forget();
        assert!(beside.is_busy() && !beside.is_awaited());
        drop(go);
        assert_eq!(wait(&mut beside), None);
    }

    #[test]
    fn what_breaks_is_told_and_does_not_stop_what_comes() {
        let mut beside = Beside::new("test");
        beside.ask('a', || panic!("on purpose"));
        assert_eq!(wait(&mut beside), Some(Err(Broken)));
        assert!(!beside.is_busy() && !beside.is_awaited());
        beside.ask('a', || panic!("on purpose"));
        beside.ask('a', || std::thread::current().id());
        // What comes is of the same: that is told.
        assert!(wait(&mut beside).unwrap().unwrap() != std::thread::current().id());
    }

    /// Tells which thread it goes in.
    #[derive(Debug)]
    struct Large(Sender<ThreadId>);

    impl Drop for Large {
        fn drop(&mut self) {
            let _told = self.0.send(std::thread::current().id());
        }
    }

    #[test]
    fn what_is_let_go_is_gone_elsewhere_and_answers_nothing() {
        let mut beside = Beside::new("test");
        beside.ask((), || 1);
        assert_eq!(wait(&mut beside), Some(Ok(1)));
        let (tell, told) = channel();
        beside.discard(Large(tell));
        assert!(told.recv_timeout(PATIENCE).unwrap() != std::thread::current().id());
        beside.ask((), || 2);
        assert_eq!(wait(&mut beside), Some(Ok(2)));
        // So is an answer that nobody wants.
        let mut beside = Beside::new("test");
        let (tell, told) = channel();
        let go = held(&mut beside, (), Large(tell));
        beside.forget();
        drop(go);
        assert!(wait(&mut beside).is_none());
        assert!(told.recv_timeout(PATIENCE).unwrap() != std::thread::current().id());
    }
}
