//! Work beside the screen: what takes longer than a frame, or waits for a disk, is done by a thread of its own, and taken when it is there.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

/// What is made of so many things takes a millisecond or two: it is made at once, so that a key is answered in the next frame.
pub const AT_ONCE: usize = 10_000;

/// `None`: nobody waits for an answer.
type Task<A> = Box<dyn FnOnce() -> Option<A> + Send>;

/// One task at a time, and the one that comes after it.
pub struct Beside<A> {
    /// Of the thread, which is begun with the first task.
    name: &'static str,
    thread: Option<(Sender<Task<A>>, Receiver<A>)>,
    busy: bool,
    next: Option<Task<A>>,
    /// What was done here, where no thread was to be had.
    done: Option<A>,
}

impl<A> fmt::Debug for Beside<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.name).field("busy", &self.busy).field("next", &self.next.is_some()).finish()
    }
}

impl<A: Send + 'static> Beside<A> {
    /// With a thread of this name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, thread: None, busy: false, next: None, done: None }
    }

    /// Whether something is under way, or its answer not taken yet.
    pub const fn is_busy(&self) -> bool {
        self.busy
    }

    /// Asks for this. While something else is under way it comes after that, in place of what was to come after it.
    pub fn ask(&mut self, task: impl FnOnce() -> A + Send + 'static) {
        let task: Task<A> = Box::new(move || Some(task()));
        if self.busy {
            self.next = Some(task);
        } else {
            self.begin(task);
        }
    }

    fn begin(&mut self, task: Task<A>) {
        self.busy = true;
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

    /// The answer, if it is there.
    pub fn heard(&mut self) -> Option<A> {
        let answer = self.done.take().map_or_else(
            || self.thread.as_ref().map_or(Err(TryRecvError::Empty), |(_, answers)| answers.try_recv()),
            Ok,
        );
        self.settle(answer.map_err(|error| error == TryRecvError::Disconnected))
    }

    /// The same, and waits for it at most so long.
    pub fn wait(&mut self, patience: Duration) -> Option<A> {
        if !self.busy || self.done.is_some() {
            return self.heard();
        }
        let (_, answers) = self.thread.as_ref()?;
        let answer = answers.recv_timeout(patience);
        self.settle(answer.map_err(|error| error == RecvTimeoutError::Disconnected))
    }

    /// What came, or whether nothing will come any more: the task before has broken.
    fn settle(&mut self, answer: Result<A, bool>) -> Option<A> {
        if matches!(answer, Err(false)) {
            return None;
        }
        self.busy = false;
        if answer.is_err() {
            self.thread = None;
        }
        if let Some(next) = self.next.take() {
            self.begin(next);
        }
        answer.ok()
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

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn of_what_is_asked_meanwhile_the_last_counts() {
        let (go, gate) = channel::<()>();
        let mut beside = Beside::new("test");
        beside.ask(move || {
            let _ended = gate.recv();
            1
        });
        assert!(beside.is_busy() && beside.heard().is_none());
        assert_eq!(beside.wait(Duration::from_millis(1)), None);
        beside.ask(|| 2);
        beside.ask(|| 3);
        go.send(()).unwrap();
        assert_eq!(beside.wait(PATIENCE), Some(1));
        assert!(beside.is_busy());
        assert_eq!(beside.wait(PATIENCE), Some(3));
        assert!(!beside.is_busy() && beside.wait(PATIENCE).is_none());
    }

    #[test]
    fn what_breaks_does_not_stop_what_comes() {
        let mut beside = Beside::new("test");
        beside.ask(|| panic!("on purpose"));
        beside.ask(|| std::thread::current().id());
        assert_eq!(beside.wait(PATIENCE), None);
        assert!(beside.wait(PATIENCE).unwrap() != std::thread::current().id());
    }

    /// Tells which thread it goes in.
    struct Large(Sender<ThreadId>);

    impl Drop for Large {
        fn drop(&mut self) {
            let _told = self.0.send(std::thread::current().id());
        }
    }

    #[test]
    fn what_is_let_go_is_gone_elsewhere_and_answers_nothing() {
        let mut beside = Beside::new("test");
        beside.ask(|| 1);
        assert_eq!(beside.wait(PATIENCE), Some(1));
        let (tell, told) = channel();
        beside.discard(Large(tell));
        assert!(told.recv_timeout(PATIENCE).unwrap() != std::thread::current().id());
        beside.ask(|| 2);
        assert_eq!(beside.wait(PATIENCE), Some(2));
    }
}
