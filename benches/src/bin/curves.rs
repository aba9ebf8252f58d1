//! Runs every program that measures, keeps what they wrote, and makes docs/performance.md of it.
//!
//!     just curves [--quick] [--only NAME]... [--out FOLDER] [--render] [--verify]
//!
//! The other programs are those that lie beside this one. `--render` runs none of them and makes the page of the JSON that is
//! there; `--verify` only says whether the page is what the JSON makes.

use anyhow::{Context, ensure};
use benches::curves::page;
use benches::curves::programs::{self, PROGRAMS, Went};
use clap::Parser;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Parser)]
#[command(about = "Measures everything and makes docs/performance.md of it")]
struct Args {
    /// Few points and short runs; the page says so
    #[arg(long)]
    quick: bool,
    /// Only this program; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Where JSON and pictures are kept; the page is FOLDER.md
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Run nothing, make the page of the JSON that is there
    #[arg(long)]
    render: bool,
    /// Run nothing, write nothing, say whether the page is what the JSON makes
    #[arg(long)]
    verify: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("performance");
    let folder = args.out.unwrap_or_else(own);
    if args.verify {
        return page::verify(&folder);
    }
    std::fs::create_dir_all(&folder).context("the folder for the JSON")?;
    for name in &args.only {
        ensure!(PROGRAMS.iter().any(|program| program.name == name), "{name}: no program of this name");
    }
    let mut failed = Vec::new();
    for program in PROGRAMS.iter().filter(|_| !args.render) {
        if !args.only.is_empty() && !args.only.iter().any(|only| only == program.name) {
            continue;
        }
        println!("== {}: {}", program.name, program.what);
        let begin = Instant::now();
        match programs::run(program, args.quick, &folder) {
            Ok(Went::Measured) => println!("== {}: {:.0} s\n", program.name, begin.elapsed().as_secs_f64()),
            Ok(Went::NotThere) => println!("== {}: missing, not built beside this program\n", program.name),
            Err(error) => {
                eprintln!("== {}: {error:#}\n", program.name);
                failed.push(program.name);
            }
        }
    }
    page::write(&folder)?;
    println!("{}", page::path(&folder).display());
    ensure!(failed.is_empty(), "failed, and what was kept of them before stays: {}", failed.join(", "));
    Ok(())
}
