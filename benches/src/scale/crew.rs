//! All tracked processes of one point.

use super::child::{ARGUMENT, Held};
use super::ground::Ground;
use anyhow::{Context, ensure};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

#[derive(Debug)]
struct Member {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// Events that it has written.
    events: u64,
}

/// The tracked processes.
#[derive(Debug)]
pub struct Crew {
    members: Vec<Member>,
}

/// What all of them did when they were told something.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// The moment after the last event of all, `CLOCK_MONOTONIC` ns.
    pub last_ns: u64,
    /// Events written so far, over all.
    pub events: u64,
}

impl Crew {
    /// So many processes with so many devices each; rings of so many slots.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start(ground: &Ground, processes: usize, devices: usize, slots: u64) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("where this program lies")?;
        let mut crew = Self { members: Vec::with_capacity(processes) };
        for number in 0..processes {
            let mut child = Command::new(&program)
                .arg(ARGUMENT)
                .args([&ground.prefix.to_string(), &slots.to_string(), &devices.to_string(), &number.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .context("start a tracked process")?;
            let input = child.stdin.take();
            let output = BufReader::new(child.stdout.take().context("no pipe")?);
            crew.members.push(Member { child, input, output, events: 0 });
        }
        Ok(crew)
    }

    /// Tells all of them the same; they do it side by side.
    ///
    /// # Errors
    /// When one has ended.
    pub fn tell(&mut self, what: &str) -> anyhow::Result<Done> {
        let line = format!("{what}\n");
        for member in &mut self.members {
            let input = member.input.as_mut().context("its input is closed")?;
            input.write_all(line.as_bytes()).context("a tracked process has ended")?;
        }
        self.done()
    }

    /// Waits for the answers.
    ///
    /// # Errors
    /// When one has ended.
    pub fn done(&mut self) -> anyhow::Result<Done> {
        let mut last_ns = 0;
        for member in &mut self.members {
            let answer = member.answer()?;
            let (time, events) = answer.split_once(' ').context("an answer of one word")?;
            last_ns = last_ns.max(time.parse()?);
            member.events = events.parse()?;
        }
        Ok(Done { last_ns, events: self.members.iter().map(|member| member.events).sum() })
    }

    /// What each of them says it holds on each device, by pid.
    ///
    /// # Errors
    /// When one has ended, or lost records: then it is not this point that was measured.
    pub fn holdings(&mut self) -> anyhow::Result<Vec<(u32, Vec<Held>)>> {
        let mut all = Vec::with_capacity(self.members.len());
        for member in &mut self.members {
            member.input.as_mut().context("its input is closed")?.write_all(b"say\n")?;
            let answer = member.answer()?;
            let mut words = answer.split_whitespace();
            ensure!(words.next() == Some("0"), "process {} lost records: {answer:.40}", member.child.id());
            all.push((member.child.id(), words.map(Held::parse).collect::<anyhow::Result<_>>()?));
        }
        Ok(all)
    }

    /// Ends all of them in good order.
    ///
    /// # Errors
    /// When one ended otherwise.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.members.iter_mut().for_each(|member| member.input = None);
        for member in &mut self.members {
            let status = member.child.wait()?;
            ensure!(status.success(), "a tracked process failed: {status}");
        }
        Ok(())
    }
}

impl Member {
    fn answer(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line)?;
        ensure!(read > 0, "a tracked process has ended");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
