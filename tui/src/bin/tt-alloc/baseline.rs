//! `tt-alloc baseline`: what later figures are compared with.

use clap::{Args, Subcommand};
use shm_layout::control::Action;
use shm_layout::event::Memory;
use shm_layout::names::Prefix;
use std::process::ExitCode;
use tui::exit::Exit;
use tui::selection::{Device, Selection, chip_labels};
use tui::table::{Align, Table};
use tui::{baseline, control, output, units};

/// Compare with a moment: set it, clear it, show what has come since
#[derive(Debug, Args)]
pub struct Baseline {
    #[command(subcommand)]
    action: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What is live now is what later figures are compared with
    Set(Whose),
    /// There is nothing to compare with any more
    Clear(Whose),
    /// Show baselines, and what has come since
    Show(Whose),
}

#[derive(Debug, Args)]
pub struct Whose {
    /// Only of this process
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Only on this device: a logical number or a chip id in hex; may be repeated
    #[arg(short, long = "device", value_name = "ID")]
    pub devices: Vec<Device>,
}

impl Whose {
    /// Asks the aggregator, and prints what it says.
    pub fn ask(self, action: Action) -> anyhow::Result<ExitCode> {
        let answers = control::ask(&Prefix::from_environment()?, action, self.pid, &Selection(self.devices))?;
        let mut exit = Exit::Ok;
        for answer in answers {
            match answer {
                Ok(done) => output::print(&format!("{done}\n"))?,
                Err(refused) => {
                    output::complain(format_args!("tt-alloc: {refused}"));
                    exit = Exit::Failure;
                }
            }
        }
        Ok(exit.into())
    }
}

impl Baseline {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Verb::Set(whose) => whose.ask(Action::SetBaseline),
            Verb::Clear(whose) => whose.ask(Action::ClearBaseline),
            Verb::Show(whose) => show(whose),
        }
    }
}

fn show(whose: Whose) -> anyhow::Result<ExitCode> {
    let seen = control::observe(&Prefix::from_environment()?)?;
    let selection = Selection(whose.devices);
    let (snapshot, _) = selection.apply(seen.snapshot);
    let labels = chip_labels(&snapshot.chips);
    let mut table = Table::new(&[
        ("PID", Align::Right),
        ("DEVICE", Align::Left),
        ("MEMORY", Align::Left),
        ("BASELINE", Align::Right),
        ("NOW", Align::Right),
        ("SINCE", Align::Right),
        ("SET BY", Align::Left),
    ]);
    for row in &snapshot.rows {
        let pid = snapshot.processes[row.process as usize].pid;
        let figures = &row.figures;
        let (Some(baseline), Some(since)) = (figures.baseline_bytes(), figures.since_baseline_bytes()) else {
            continue;
        };
        let memory = u8::try_from(row.memory).ok().and_then(Memory::from_u8).map_or("?", Memory::name);
        if whose.pid.is_none_or(|wanted| wanted == pid) && (baseline, figures.footprint_bytes) != (0, 0) {
            let label = labels.get(row.chip as usize).cloned().unwrap_or_default();
            let amounts = [units::bytes(baseline), units::bytes(figures.footprint_bytes), units::change(since)];
            let set_by = baseline::set_by(figures).to_owned();
            table.push([vec![pid.to_string(), label, memory.to_owned()], amounts.to_vec(), vec![set_by]].concat());
        }
    }
    if table.is_empty() {
        output::complain("tt-alloc: no baseline is set there; `tt-alloc baseline set` sets one");
        return Ok(Exit::Nothing.into());
    }
    output::print(&(table.lines(output::columns()).join("\n") + "\n"))?;
    Ok(Exit::Ok.into())
}
