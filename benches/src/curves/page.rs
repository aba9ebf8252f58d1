//! The page: what lies between its markers is made here, of the JSON that is kept, and by nobody's hand.

use super::bars::BARS;
use super::costs;
use super::full;
use super::kept::{All, Kept};
use super::lengths;
use super::peers;
use super::plot::{self, Theme};
use super::plots::{PLOTS, Plot, Series};
use super::programs::PROGRAMS;
use crate::machine::{Distance, Machine};
use crate::report::{Report, figure};
use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The line that a part begins with; its name follows.
const BEGIN: &str = "<!-- begin generated: ";
/// The line that a part ends with.
const END: &str = "<!-- end generated -->";
/// Above this load, somebody else was measured as well.
const QUIET: f64 = 0.5;

/// A page and the pictures beside it.
#[derive(Clone, Debug)]
pub struct Page {
    /// The page.
    pub text: String,
    /// The pictures, by file name.
    pub pictures: BTreeMap<String, String>,
}

/// The page that belongs to a folder: `docs/performance.md` to `docs/performance`.
pub fn path(folder: &Path) -> PathBuf {
    folder.with_extension("md")
}

/// A page of these parts alone, for a folder that has none.
pub fn blank() -> String {
    PARTS.iter().map(|(name, _)| format!("{BEGIN}{name} -->\n{END}\n\n")).collect()
}

/// What makes a part, from what is kept and the name of the folder.
type Part = fn(&All, &str) -> anyhow::Result<String>;
const PARTS: &[(&str, Part)] = &[
    ("machine", |all, _| Ok(machine(all))),
    ("costs", |all, _| costs::table(all)),
    ("bars", |all, _| bars(all)),
    ("peers", beside),
    ("full", |all, _| Ok(full::tables(all))),
    ("curves", curves),
    ("rows", |all, _| Ok(rows(all))),
];

/// Makes the page anew: what is outside the markers stays as it is in `old`.
///
/// # Errors
/// When a marker is missing, or rows do not fit what the tables believe.
pub fn render(old: &str, all: &All, folder: &str) -> anyhow::Result<Page> {
    let mut text = old.to_owned();
    for (name, make) in PARTS {
        let (before, rest) = split(&text, name)?;
        let after = rest.split_once(END).with_context(|| format!("the part {name} has no end"))?.1;
        let part = make(all, folder).with_context(|| format!("the part {name}"))?;
        text = format!("{before}{BEGIN}{name} -->\n\n{}\n\n{END}{after}", part.trim());
    }
    let mut pictures = BTreeMap::new();
    let groups = lengths::groups(all)?;
    for theme in Theme::ALL.into_iter().filter(|_| !groups.is_empty()) {
        pictures.insert(picture(lengths::NAME, theme), lengths::draw(&groups, theme)?);
    }
    for plot in PLOTS {
        let series = plot.series(all)?;
        if series.is_empty() {
            continue;
        }
        for theme in Theme::ALL {
            pictures.insert(picture(plot.name, theme), plot::draw(plot, &series, theme)?);
        }
    }
    Ok(Page { text, pictures })
}

/// What is before a part's first marker, and what is behind it.
fn split<'a>(text: &'a str, name: &str) -> anyhow::Result<(&'a str, &'a str)> {
    text.split_once(&format!("{BEGIN}{name} -->")).with_context(|| format!("no marker for the part {name}"))
}

/// What is written by hand: the page without its parts.
///
/// # Errors
/// When a marker is missing.
pub fn by_hand(text: &str) -> anyhow::Result<String> {
    let mut hand = text.to_owned();
    for (name, _) in PARTS {
        let (before, rest) = split(&hand, name)?;
        hand = format!("{before}{}", rest.split_once(END).with_context(|| format!("the part {name} has no end"))?.1);
    }
    Ok(hand)
}

/// Writes the page and its pictures; pictures of curves that are not there any more go.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write(folder: &Path) -> anyhow::Result<()> {
    let all = All::read(folder)?;
    let (path, name) = (path(folder), folder.file_name().unwrap_or_default().to_string_lossy());
    let old = if path.exists() { std::fs::read_to_string(&path)? } else { blank() };
    let page = render(&old, &all, &name)?;
    for old in pictures_in(folder)?.into_keys().filter(|file| !page.pictures.contains_key(file)) {
        std::fs::remove_file(folder.join(old))?;
    }
    for (file, svg) in &page.pictures {
        std::fs::write(folder.join(file), svg)?;
    }
    std::fs::write(path, page.text).context("write the page")
}

/// Compares what is there with what would be made of the JSON that is there.
///
/// # Errors
/// What differs.
pub fn verify(folder: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path(folder)).context("read the page")?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let page = render(&text, &All::read(folder)?, &name)?;
    for (is, shall) in text.lines().zip(page.text.lines()) {
        ensure!(is == shall, "the page says\n  {is}\nand the JSON\n  {shall}\nrun `just curves --render`");
    }
    ensure!(text == page.text, "the page is longer or shorter than the JSON makes it: run `just curves --render`");
    let there = pictures_in(folder)?;
    ensure!(there.keys().eq(page.pictures.keys()), "pictures are missing or too many: run `just curves --render`");
    for (file, svg) in &page.pictures {
        ensure!(there.get(file) == Some(svg), "{file} does not show what the JSON says: run `just curves --render`");
    }
    Ok(())
}

fn pictures_in(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut pictures = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let file = entry?.file_name().to_string_lossy().into_owned();
        if file.ends_with(".svg") {
            let svg = std::fs::read_to_string(folder.join(&file))?;
            pictures.insert(file, svg);
        }
    }
    Ok(pictures)
}

fn picture(name: &str, theme: Theme) -> String {
    format!("{name}-{}.svg", theme.name())
}

/// The picture's place on the page, for a light and a dark one.
fn place(name: &str, alt: &str, folder: &str) -> String {
    let [light, dark] = Theme::ALL.map(|theme| picture(name, theme));
    format!(
        "<picture>\n  <source media=\"(prefers-color-scheme: dark)\" srcset=\"{folder}/{dark}\">\n  \
         <img alt=\"{alt}\" src=\"{folder}/{light}\">\n</picture>\n\n"
    )
}

fn beside(all: &All, folder: &str) -> anyhow::Result<String> {
    let shown =
        if lengths::groups(all)?.is_empty() { String::new() } else { place(lengths::NAME, lengths::TITLE, folder) };
    Ok(shown + &peers::tables(all))
}

fn machine(all: &All) -> String {
    let mut text = String::from("| program | measures | where | load before |\n|---|---|---|---|\n");
    let mut notes = Vec::new();
    for program in PROGRAMS {
        let Some(Kept { quick, report }) = all.0.iter().find(|kept| kept.report.program == program.name) else {
            let _infallible = writeln!(text, "| `{}` | {} | not measured | |", program.name, program.what);
            continue;
        };
        let Machine { processor, processors, kernel, load } = &report.machine;
        let place = format!("{processor}, {processors} processors, {kernel}");
        let _infallible = writeln!(text, "| `{}` | {} | {place} | {load} |", program.name, program.what);
        if *quick {
            notes.push(format!("`{}` was run with `--quick`: few points, short runs, not to be quoted.", program.name));
        }
        if *load > QUIET {
            notes.push(format!("`{}` shared the machine with others when it began.", program.name));
        }
        notes.extend(report.missing.iter().map(|missing| format!("`{}` did not measure: {missing}.", program.name)));
    }
    for note in notes {
        let _infallible = write!(text, "\n- {note}");
    }
    text
}

fn bars(all: &All) -> anyhow::Result<String> {
    let mut text = String::from("| measure | bar | measured | |\n|---|---|---|---|\n");
    for bar in BARS {
        let (measured, verdict) = bar.judge(all).context(bar.measure)?;
        writeln!(text, "| {} | {} | {measured} | {} |", bar.measure, bar.asked, verdict.name())?;
    }
    Ok(text)
}

fn curves(all: &All, folder: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    for plot in PLOTS {
        let series = plot.series(all)?;
        writeln!(text, "### {}\n", plot.title)?;
        if series.is_empty() {
            text += "Not measured.\n\n";
            continue;
        }
        text += &place(plot.name, &format!("{}, {} over {}", plot.title, plot.y, plot.x), folder);
        text += &table(plot, &series);
        text.push('\n');
    }
    Ok(text)
}

/// A curve's points, medians; points in columns.
fn table(plot: &Plot, series: &[Series]) -> String {
    let mut places: Vec<f64> = series.iter().flat_map(|series| &series.points).map(|point| point.x).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let heads: String = places.iter().map(|place| format!(" {} |", thousands(*place))).collect();
    let mut text = format!("| {} over {} |{heads}\n|---|{}\n", plot.y, plot.x, "---:|".repeat(places.len()));
    for series in series {
        let cell = |place: &f64| {
            let point = series.points.iter().find(|point| point.x == *place);
            format!(" {} |", point.map_or(String::new(), |point| figure(point.median)))
        };
        text += &format!("| {} |{}\n", series.label, places.iter().map(cell).collect::<String>());
    }
    text
}

pub(super) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Every row of every program, folded away.
fn rows(all: &All) -> String {
    let mut text = String::new();
    for program in PROGRAMS {
        let Some(report) = all.of(program.name) else { continue };
        let _infallible = write!(text, "{}", folded(report));
    }
    if text.is_empty() { "Nothing was measured.".into() } else { text }
}

fn folded(report: &Report) -> String {
    let mut text = format!("<details><summary><code>{}</code>: every row</summary>\n\n", report.program);
    text += "| measure | subject | at | | unit | median | p25 to p75 | p99 | worst | n |\n";
    text += "|---|---|---|---|---|---:|---|---:|---:|---:|\n";
    for row in &report.rows {
        let at = row.at.as_ref().map_or(String::new(), |(over, value)| format!("{} {over}", thousands(*value)));
        let s = &row.summary;
        let [median, p25, p75, p99, worst] = [s.median, s.p25, s.p75, s.p99, s.worst].map(figure);
        let distance = row.distance.map_or("", Distance::name);
        text += &format!(
            "| {} | {} | {at} | {distance} | {} | {median} | {p25} to {p75} | {p99} | {worst} | {} |\n",
            row.measure, row.subject, row.unit, s.n
        );
    }
    text + "\n</details>\n\n"
}
