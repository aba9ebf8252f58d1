//! The picture of ours beside its peers: a bar for each, as long as its median.

use super::kept::All;
use super::plot::{FONT, Theme, WIDTH};
use super::units::convert;
use crate::machine::Distance;
use crate::report::figure;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// File name without its end.
pub const NAME: &str = "peers-returned";
/// Title.
pub const TITLE: &str = "One event, slots returned by a reader on another processor";
/// The rows that it shows.
const MEASURE: &str = "push, returned";
/// What the lengths are.
const UNIT: &str = "ns";
const TOP: i32 = 44;
const LEFT: i32 = 226;
const LONGEST: i32 = 440;
const THICK: i32 = 14;
const GAP: i32 = 12;

/// A subject with its medians by distance, ns.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    subject: String,
    lengths: Vec<(Distance, f64)>,
}

/// What there is to show, in the order of the rows.
///
/// # Errors
/// When the rows are no times.
pub fn groups(all: &All) -> anyhow::Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    let rows = all.of("peers").map_or(&[][..], |report| &report.rows);
    for row in rows.iter().filter(|row| row.measure == MEASURE) {
        let Some(distance) = row.distance else { continue };
        let length = (distance, convert(row.summary.median, &row.unit, UNIT)?);
        match groups.iter_mut().find(|group| group.subject == row.subject) {
            Some(group) => group.lengths.push(length),
            None => groups.push(Group { subject: row.subject.clone(), lengths: vec![length] }),
        }
    }
    groups.iter_mut().for_each(|group| group.lengths.sort_by_key(|(distance, _)| *distance == Distance::Far));
    Ok(groups)
}

/// The picture as SVG.
///
/// # Errors
/// When it cannot be drawn.
pub fn draw(groups: &[Group], theme: Theme) -> anyhow::Result<String> {
    let mut text = String::new();
    let bars: i32 = groups.iter().map(|group| group.lengths.len() as i32 * THICK + GAP).sum();
    draw_into(&mut text, groups, theme, (TOP + bars + 30) as u32).map_err(anyhow::Error::msg)?;
    text.push('\n');
    Ok(text)
}

fn draw_into(text: &mut String, groups: &[Group], theme: Theme, height: u32) -> Result<(), String> {
    let root = SVGBackend::with_string(text, (WIDTH, height)).into_drawing_area();
    let words = |size: u32, h: HPos| (FONT, size).into_font().color(&theme.ink()).pos(Pos::new(h, VPos::Center));
    let write = |what: String, at: (i32, i32), style: TextStyle<'_>| {
        root.draw(&Text::new(what, at, style)).map_err(|error| error.to_string())
    };
    let bar = |from: (i32, i32), to: (i32, i32), colour: RGBColor| {
        root.draw(&Rectangle::new([from, to], colour.filled())).map_err(|error| error.to_string())
    };
    let colour = |distance| theme.colours()[usize::from(distance == Distance::Far)];
    let all = groups.iter().flat_map(|group| &group.lengths);
    let longest = all.clone().map(|(_, length)| *length).fold(f64::MIN_POSITIVE, f64::max);
    write(format!("{TITLE}, {UNIT}"), (WIDTH as i32 / 2, 20), words(19, HPos::Center))?;
    let mut y = TOP;
    for group in groups {
        let middle = y + group.lengths.len() as i32 * THICK / 2;
        write(group.subject.clone(), (LEFT - 10, middle), words(14, HPos::Right))?;
        for (distance, length) in &group.lengths {
            let end = LEFT + ((length / longest * f64::from(LONGEST)) as i32).max(1);
            bar((LEFT, y + 1), (end, y + THICK - 1), colour(*distance))?;
            write(figure(*length), (end + 6, y + THICK / 2), words(12, HPos::Left))?;
            y += THICK;
        }
        y += GAP;
    }
    let mut x = LEFT;
    for distance in [Distance::Near, Distance::Far] {
        if all.clone().any(|(other, _)| *other == distance) {
            bar((x, y + 4), (x + 24, y + 4 + THICK - 2), colour(distance))?;
            write(distance.name().to_owned(), (x + 32, y + 4 + THICK / 2), words(14, HPos::Left))?;
            x += 110;
        }
    }
    root.present().map_err(|error| error.to_string())
}
